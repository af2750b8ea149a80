"""From scores to figures: reports, calibration, unseen kinds, robustness, verdicts."""

from keras_deepfake.evaluation.calibration import calibrate
from keras_deepfake.evaluation.detector_evaluation import evaluate_detector
from keras_deepfake.evaluation.held_out_kinds import (
    HeldOutKindReport,
    HeldOutKindRow,
    evaluate_by_held_out_kind,
)
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
    "HeldOutKindReport",
    "HeldOutKindRow",
    "Prediction",
    "Predictions",
    "ReportComparison",
    "RobustnessReport",
    "RobustnessRow",
    "calibrate",
    "detection_report",
    "evaluate_by_held_out_kind",
    "evaluate_detector",
    "evaluate_robustness",
    "predict_images",
]
