"""Metrics of detectors that Keras does not have, for `compile`."""

from keras_deepfake.metrics.equal_error_rate import EqualErrorRate
from keras_deepfake.metrics.expected_calibration_error import ExpectedCalibrationError
from keras_deepfake.metrics.score_histogram import ScoreHistogram

__all__ = ["EqualErrorRate", "ExpectedCalibrationError", "ScoreHistogram"]
