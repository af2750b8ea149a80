"""KerasTuner search spaces over autoencoders and classifiers, and searches that one can trust."""

from keras_deepfake.hypermodels.hyper_conv_autoencoder import HyperConvAutoencoder
from keras_deepfake.hypermodels.hyper_encoder_classifier import HyperEncoderClassifier
from keras_deepfake.hypermodels.local_workers import run_local_workers
from keras_deepfake.hypermodels.search_results import SearchResults
from keras_deepfake.hypermodels.searches import search
from keras_deepfake.hypermodels.seeded_hyper_model import SeededHyperModel

__all__ = [
    "HyperConvAutoencoder",
    "HyperEncoderClassifier",
    "SearchResults",
    "SeededHyperModel",
    "run_local_workers",
    "search",
]
