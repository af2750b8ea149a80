"""Models: the autoencoder and the classifier built on its encoder."""

from keras_deepfake.models.conv_autoencoder import ConvAutoencoder
from keras_deepfake.models.encoder_classifier import EncoderClassifier

__all__ = ["ConvAutoencoder", "EncoderClassifier"]
