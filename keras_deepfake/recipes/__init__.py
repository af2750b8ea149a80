"""Whole trainings."""

from keras_deepfake.recipes.detector_training import train_detector
from keras_deepfake.recipes.stacked_pretraining import pretrain_stacked
from keras_deepfake.recipes.study import train_study
from keras_deepfake.recipes.study_settings import StudySettings

__all__ = [
    "StudySettings",
    "pretrain_stacked",
    "train_detector",
    "train_study",
]
