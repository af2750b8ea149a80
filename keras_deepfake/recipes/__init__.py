"""Whole trainings."""

from keras_deepfake.recipes.stacked_pretraining import pretrain_stacked

__all__ = ["pretrain_stacked"]
