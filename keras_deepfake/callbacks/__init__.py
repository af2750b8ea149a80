"""Callbacks for `fit`."""

from keras_deepfake.callbacks.epoch_pictures import EpochPictures
from keras_deepfake.callbacks.resume_training import ResumeTraining

__all__ = [
    "EpochPictures",
    "ResumeTraining",
]
