"""Where in an image the evidence lies."""

from keras_deepfake.explanation.activation_maps import grad_cam
from keras_deepfake.explanation.reconstruction_errors import reconstruction_error_map

__all__ = ["grad_cam", "reconstruction_error_map"]
