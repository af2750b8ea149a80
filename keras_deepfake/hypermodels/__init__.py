"""KerasTuner search spaces over autoencoders and classifiers, and searches that one can trust."""

from keras_deepfake.hypermodels.hyper_conv_autoencoder import HyperConvAutoencoder
from keras_deepfake.hypermodels.hyper_encoder_classifier import HyperEncoderClassifier
from keras_deepfake.hypermodels.local_workers import run_local_workers
from keras_deepfake.hypermodels.searches import SearchResults, search

__all__ = [
    "HyperConvAutoencoder",
    "HyperEncoderClassifier",
    "SearchResults",
    "run_local_workers",
    "search",
]
