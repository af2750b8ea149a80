"""From scores to figures: reports with intervals, calibration, robustness, verdicts."""

from keras_deepfake.evaluation.calibration import calibrate
from keras_deepfake.evaluation.detector_evaluation import evaluate_detector
from keras_deepfake.evaluation.predictions import Prediction, Predictions, predict_images
from keras_deepfake.evaluation.report import DetectionReport, detection_report
from keras_deepfake.evaluation.report_comparison import ReportComparison
from keras_deepfake.evaluation.robustness import (
    RobustnessReport,
    RobustnessRow,
    evaluate_robustness,
)

__all__ = [
    "DetectionReport",
    "Prediction",
    "Predictions",
    "ReportComparison",
    "RobustnessReport",
    "RobustnessRow",
    "calibrate",
    "detection_report",
    "evaluate_detector",
    "evaluate_robustness",
    "predict_images",
]
