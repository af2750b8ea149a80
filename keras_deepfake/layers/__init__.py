"""Layers: convolutional blocks, pooling, corruptions, forensic features."""

from keras_deepfake.layers.azimuthal_spectrum import AzimuthalSpectrum
from keras_deepfake.layers.block_dct import BlockDCT
from keras_deepfake.layers.class_token import ClassToken
from keras_deepfake.layers.constrained_conv2d import ConstrainedConv2D
from keras_deepfake.layers.conv_block import ConvBlock
from keras_deepfake.layers.conv_transpose_block import ConvTransposeBlock
from keras_deepfake.layers.gem_pooling import GeMPooling
from keras_deepfake.layers.masking_noise import MaskingNoise
from keras_deepfake.layers.moment_pooling import MomentPooling
from keras_deepfake.layers.native_crop import NativeCrop
from keras_deepfake.layers.neighboring_pixel_residual import NeighboringPixelResidual
from keras_deepfake.layers.random_degradation import RandomDegradation
from keras_deepfake.layers.random_image_layer import RandomImageLayer
from keras_deepfake.layers.random_jpeg_compression import RandomJPEGCompression
from keras_deepfake.layers.residual_cooccurrence import ResidualCooccurrence
from keras_deepfake.layers.rgb_to_ycbcr import RGBToYCbCr
from keras_deepfake.layers.salt_and_pepper_noise import SaltAndPepperNoise
from keras_deepfake.layers.self_blended_images import SelfBlendedImages
from keras_deepfake.layers.srm_residual import SRMResidual

__all__ = [
    "AzimuthalSpectrum",
    "BlockDCT",
    "ClassToken",
    "ConstrainedConv2D",
    "ConvBlock",
    "ConvTransposeBlock",
    "GeMPooling",
    "MaskingNoise",
    "MomentPooling",
    "NativeCrop",
    "NeighboringPixelResidual",
    "RGBToYCbCr",
    "RandomDegradation",
    "RandomImageLayer",
    "RandomJPEGCompression",
    "ResidualCooccurrence",
    "SRMResidual",
    "SaltAndPepperNoise",
    "SelfBlendedImages",
]
