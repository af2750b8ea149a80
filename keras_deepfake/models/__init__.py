"""Models: the autoencoder, the classifier built on its encoder, and its calibrated form."""

from keras_deepfake.models.calibrated_classifier import CalibratedClassifier
from keras_deepfake.models.conv_autoencoder import ConvAutoencoder
from keras_deepfake.models.encoder_classifier import EncoderClassifier
from keras_deepfake.models.pretrain_stacked import pretrain_stacked

__all__ = [
    "CalibratedClassifier",
    "ConvAutoencoder",
    "EncoderClassifier",
    "pretrain_stacked",
]
