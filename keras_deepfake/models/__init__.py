"""Models: the autoencoder, classifiers on encoders, and the detector."""

from keras_deepfake.models.conv_autoencoder import ConvAutoencoder
from keras_deepfake.models.detection_model import DetectionModel
from keras_deepfake.models.detector import Detector, as_detector
from keras_deepfake.models.encoder_classifier import EncoderClassifier
from keras_deepfake.models.feature_extractors import feature_extractor
from keras_deepfake.models.hub_encoders import hub_encoder
from keras_deepfake.models.model_files import load_model
from keras_deepfake.models.pretrained_encoders import pretrained_encoder
from keras_deepfake.models.tuning import set_trainable

__all__ = [
    "ConvAutoencoder",
    "DetectionModel",
    "Detector",
    "EncoderClassifier",
    "as_detector",
    "feature_extractor",
    "hub_encoder",
    "load_model",
    "pretrained_encoder",
    "set_trainable",
]
