"""Detectors that leave Python: one file or folder that takes raw images, and its card."""

from keras_deepfake.export.detector_export import export_detector

__all__ = ["export_detector"]
