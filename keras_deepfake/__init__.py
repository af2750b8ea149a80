"""Reusable, serializable Keras 3 components for telling real face images from fakes.

Importing the package registers every layer, model, metric and loss with Keras, so that
`keras.saving.load_model` finds them. The sub-packages that need more than Keras load on
first use.
"""

import importlib

from keras_deepfake import _results, layers, metrics, models
from keras_deepfake.models import ConvAutoencoder, Detector, EncoderClassifier

__version__ = "0.1.0"

_LAZY = (
    "audit",
    "callbacks",
    "datasets",
    "evaluation",
    "explanation",
    "export",
    "faces",
    "hypermodels",
    "recipes",
    "reports",
    "visualization",
)

__all__ = [
    "ConvAutoencoder",
    "Detector",
    "EncoderClassifier",
    "layers",
    "metrics",
    "models",
    *_LAZY,
]


def __getattr__(name):
    if name in _LAZY:
        return importlib.import_module(f"keras_deepfake.{name}")
    raise AttributeError(f"module 'keras_deepfake' has no attribute {name!r}")


def _make_page(result, sections):
    reports = importlib.import_module("keras_deepfake.reports.result_sections")
    return reports.make_result_page(result, sections)


_results.page_maker = _make_page


def __dir__():
    return sorted({*globals(), *_LAZY})
