"""Whole trainings, and what comes before them."""

from keras_deepfake.recipes.detector_training import train_detector
from keras_deepfake.recipes.face_crops import FaceCrop, FaceCrops, crop_faces
from keras_deepfake.recipes.stacked_pretraining import pretrain_stacked
from keras_deepfake.recipes.study import train_study
from keras_deepfake.recipes.study_settings import StudySettings

__all__ = [
    "FaceCrop",
    "FaceCrops",
    "StudySettings",
    "crop_faces",
    "pretrain_stacked",
    "train_detector",
    "train_study",
]
