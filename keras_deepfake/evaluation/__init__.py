"""Evaluation: curves, reports with intervals, calibration, robustness, audits of data."""

from keras_deepfake.evaluation.audit_dataset import DatasetAudit, Finding, audit_dataset
from keras_deepfake.evaluation.calibrate import calibrate
from keras_deepfake.evaluation.curves import precision_recall_curve, reliability_curve, roc_curve
from keras_deepfake.evaluation.detection_report import DetectionReport, detection_report
from keras_deepfake.evaluation.evaluate_detector import evaluate_detector
from keras_deepfake.evaluation.html_page import save_html
from keras_deepfake.evaluation.predict_images import Prediction, Predictions, predict_images
from keras_deepfake.evaluation.report_comparison import ReportComparison
from keras_deepfake.evaluation.robustness import RobustnessReport, RobustnessRow, robustness

__all__ = [
    "DatasetAudit",
    "DetectionReport",
    "Finding",
    "Prediction",
    "Predictions",
    "ReportComparison",
    "RobustnessReport",
    "RobustnessRow",
    "audit_dataset",
    "calibrate",
    "detection_report",
    "evaluate_detector",
    "precision_recall_curve",
    "predict_images",
    "reliability_curve",
    "robustness",
    "roc_curve",
    "save_html",
]
