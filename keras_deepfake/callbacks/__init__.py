"""Callbacks for `fit`."""

from keras_deepfake.callbacks.epoch_pictures import EpochPictures

__all__ = ["EpochPictures"]
