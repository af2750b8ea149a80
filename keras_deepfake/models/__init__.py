"""Models: the autoencoder, the detectors built on it, and their calibrated form."""

from keras_deepfake.models.calibrated_classifier import CalibratedClassifier
from keras_deepfake.models.conv_autoencoder import ConvAutoencoder
from keras_deepfake.models.detection_model import DetectionModel
from keras_deepfake.models.encoder_classifier import EncoderClassifier

__all__ = [
    "CalibratedClassifier",
    "ConvAutoencoder",
    "DetectionModel",
    "EncoderClassifier",
]
