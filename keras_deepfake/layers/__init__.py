"""Layers: convolutional blocks, pooling, corruptions for denoising, calibration."""

from keras_deepfake.layers.conv_block import ConvBlock
from keras_deepfake.layers.conv_transpose_block import ConvTransposeBlock
from keras_deepfake.layers.gem_pooling import GeMPooling
from keras_deepfake.layers.masking_noise import MaskingNoise
from keras_deepfake.layers.salt_and_pepper_noise import SaltAndPepperNoise
from keras_deepfake.layers.temperature_scaling import TemperatureScaling

__all__ = [
    "ConvBlock",
    "ConvTransposeBlock",
    "GeMPooling",
    "MaskingNoise",
    "SaltAndPepperNoise",
    "TemperatureScaling",
]
