"""One or more small instances of every exported layer, model and metric."""

from collections.abc import Callable
from dataclasses import dataclass, field

import keras

import keras_deepfake as kd


@dataclass(frozen=True)
class Case:
    """A component, how to make it, and what goes in.

    Args:
        component: The exported class.
        make: Makes an instance; takes `dtype` (a policy or `None`) and nothing else.
        input_shape: Shape of one input, without the batch axis.
        label: Tells the cases of one component apart.
        input_range: The range that the inputs are drawn from.
        trains: Whether a gradient reaches at least one weight in a training step.
        float32_layers: Names of inner layers that keep float32 under every policy.
    """

    component: type
    make: Callable
    input_shape: tuple = ()
    label: str = "default"
    input_range: tuple = (0.0, 1.0)
    trains: bool = True
    float32_layers: tuple = field(default=())

    def __str__(self):
        return f"{self.component.__name__}-{self.label}"


def layer_case(component, input_shape, label="default", *, options=None, **arguments):
    """A case of a layer made with these arguments; `options` go to `Case`."""

    def make(dtype=None):
        return component(dtype=dtype, **arguments)

    return Case(component, make, input_shape, label, **(options or {}))


def autoencoder(dtype=None, **arguments):
    arguments = {"image_shape": (16, 16, 3), "filters": (6, 4), **arguments}
    return kd.models.ConvAutoencoder(dtype=dtype, **arguments)


def classifier(dtype=None, **arguments):
    return kd.models.EncoderClassifier.from_autoencoder(autoencoder(dtype), **arguments)


def residual_classifier(dtype=None, **arguments):
    # Bounded, as a reconstruction by the random weights of a test would drown the image.
    bounded = autoencoder(dtype, activation="tanh", output_activation="sigmoid")
    return kd.models.EncoderClassifier.from_autoencoder(bounded, pooling="avg", **arguments)


def detector(dtype=None, **arguments):
    return kd.models.Detector(classifier(dtype, pooling="avg"), **arguments)


def ensemble(dtype=None, **arguments):
    members = [classifier(dtype), residual_classifier(dtype, features="both")]
    members.append(classifier(dtype, class_names=("real", "fake"), pooling="max"))
    return kd.models.Detector(members, weights=(0.5, 1.0, 0.25), bias=0.1, **arguments)


def model_case(component, make_with, label="default", *, options=None, **arguments):
    def make(dtype=None):
        return make_with(dtype, **arguments)

    return Case(component, make, (16, 16, 3), label, **(options or {}))


def self_blended_images(dtype=None):
    degradation = kd.layers.RandomDegradation(seed=1, dtype=dtype)
    return kd.layers.SelfBlendedImages(degradation, return_masks=True, seed=2, dtype=dtype)


WITHOUT_WEIGHTS = {"trains": False}
HEAD = {"float32_layers": ("head",)}
DETECTOR = {"float32_layers": ("head", "combination")}

CASES = [
    layer_case(kd.layers.ConvBlock, (8, 8, 3), filters=4),
    layer_case(kd.layers.ConvBlock, (9, 7, 3), "batch", filters=4, normalization="batch"),
    layer_case(kd.layers.ConvBlock, (8, 8, 3), "layer", filters=4, normalization="layer"),
    layer_case(kd.layers.ConvTransposeBlock, (4, 4, 3), filters=4, activation="elu"),
    layer_case(kd.layers.ConvTransposeBlock, (4, 4, 3), "batch", filters=4, normalization="batch"),
    layer_case(kd.layers.GeMPooling, (4, 5, 6)),
    layer_case(
        kd.layers.GeMPooling, (6, 4, 5), "channels_first", p=2.0, data_format="channels_first"
    ),
    layer_case(kd.layers.MaskingNoise, (8, 8, 3), rate=0.3, seed=1, options=WITHOUT_WEIGHTS),
    layer_case(
        kd.layers.MaskingNoise,
        (3, 9, 8),
        "patches",
        rate=0.3,
        patch_size=4,
        seed=2,
        data_format="channels_first",
        options=WITHOUT_WEIGHTS,
    ),
    layer_case(kd.layers.RandomDegradation, (16, 24, 3), seed=1, options=WITHOUT_WEIGHTS),
    layer_case(
        kd.layers.RandomJPEGCompression,
        (3, 17, 12),
        "channels_first",
        quality=(30, 90),
        chroma_subsampling="4:4:4",
        value_range=(-1, 1),
        seed=1,
        data_format="channels_first",
        options=WITHOUT_WEIGHTS,
    ),
    Case(kd.layers.SelfBlendedImages, self_blended_images, (16, 24, 3), **WITHOUT_WEIGHTS),
    layer_case(kd.layers.SaltAndPepperNoise, (8, 8, 3), rate=0.3, seed=1, options=WITHOUT_WEIGHTS),
    layer_case(
        kd.layers.SRMResidual, (8, 8, 3), value_range=(0, 2), clip=2.0, options=WITHOUT_WEIGHTS
    ),
    layer_case(kd.layers.ConstrainedConv2D, (9, 8, 3), filters=4, kernel_size=(3, 5), strides=2),
    layer_case(kd.layers.NeighboringPixelResidual, (7, 8, 3), options=WITHOUT_WEIGHTS),
    layer_case(kd.layers.RGBToYCbCr, (8, 8, 3), options=WITHOUT_WEIGHTS),
    layer_case(kd.layers.AzimuthalSpectrum, (8, 8, 3), options=WITHOUT_WEIGHTS),
    layer_case(
        kd.layers.AzimuthalSpectrum,
        (1, 8, 9),
        "resampled",
        num_bins=5,
        window=None,
        data_format="channels_first",
        options=WITHOUT_WEIGHTS,
    ),
    layer_case(kd.layers.ClassToken, (5, 4), options=WITHOUT_WEIGHTS),
    layer_case(kd.layers.MomentPooling, (6, 5, 4), options=WITHOUT_WEIGHTS),
    layer_case(
        kd.layers.MomentPooling,
        (6, 4),
        "tokens",
        num_moments=2,
        class_token=True,
        num_register_tokens=2,
        options=WITHOUT_WEIGHTS,
    ),
    layer_case(
        kd.layers.NativeCrop, (9, 8, 3), crop_size=(4, 5), place=(0.0, 0.7), options=WITHOUT_WEIGHTS
    ),
    # Coefficients are differences of sums of pixels, which are rounded by more than backends may
    # differ where pixels are bright.
    layer_case(
        kd.layers.BlockDCT,
        (9, 8, 3),
        block_size=4,
        options={"input_range": (0.0, 0.1), **WITHOUT_WEIGHTS},
    ),
    layer_case(kd.layers.ResidualCooccurrence, (12, 13, 3), options=WITHOUT_WEIGHTS),
    layer_case(
        kd.layers.ResidualCooccurrence,
        (3, 9, 8),
        "small",
        orders=(3,),
        steps=(2,),
        truncation=2,
        symmetric=False,
        cross_channel=False,
        half_scale=False,
        value_range=(0, 255),
        data_format="channels_first",
        options=WITHOUT_WEIGHTS,
    ),
    model_case(kd.models.ConvAutoencoder, autoencoder),
    model_case(
        kd.models.ConvAutoencoder,
        autoencoder,
        "denoising",
        normalization="batch",
        corruption=keras.layers.GaussianNoise(0.1, seed=0),
        output_activation="sigmoid",
        image_shape=(16, 16, 3),
    ),
    *(
        model_case(kd.models.EncoderClassifier, classifier, pooling, pooling=pooling, options=HEAD)
        for pooling in ("flatten", "avg", "max", "gem")
    ),
    model_case(
        kd.models.EncoderClassifier,
        classifier,
        "linear-probe",
        activation="sigmoid",
        l1=0.01,
        l2=0.1,
        dropout=0.2,
        class_names=("real", "swap", "fake"),
        trainable_encoder=False,
        options=HEAD,
    ),
    *(
        model_case(
            kd.models.EncoderClassifier,
            residual_classifier,
            features,
            features=features,
            options=HEAD,
        )
        for features in ("residual", "both")
    ),
    model_case(
        kd.models.Detector,
        detector,
        weights=(0.6,),
        threshold=0.3,
        false_positive_rate=0.05,
        validation_digests=("0a1b2c",),
        options=DETECTOR,
    ),
    model_case(kd.models.Detector, ensemble, "ensemble", options=DETECTOR),
]
