"""Evaluation of detectors: curves, reports with intervals, calibration."""

from keras_deepfake.evaluation.curves import (
    precision_recall_curve,
    reliability_curve,
    roc_curve,
)

__all__ = ["precision_recall_curve", "reliability_curve", "roc_curve"]
