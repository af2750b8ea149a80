"""Every argument of every layer is checked when the layer is made."""

import inspect

import keras
import numpy as np
import pytest

import keras_deepfake as kd

NAN, INF = float("nan"), float("inf")
NO_NUMBER = ["1", None, NAN, INF, True, object(), (0.5,), 1j]
NO_INTEGER = [*NO_NUMBER, 1.5, -1, 10**10, b"2"]
NO_SIDE = [*NO_INTEGER, 0, (3, 0), (3, 3, 3), (3, "3"), {3, 5}, np.array([[3, 3]])]
NO_PROBABILITY = [*NO_NUMBER, -0.1, 1.5]
NO_POSITIVE = [*NO_NUMBER, 0, -1.0]
NO_FLAG = [None, 0, 1, "True", np.array([True, False])]
NO_PAIR = ["ab", (1,), (1, 2, 3), (NAN, 1), (0, INF), ("0", "1"), {1, 2}, np.array(1.0)]
NO_QUALITY = [*NO_INTEGER, 0, 101, (90, 30), (30.5, 90), (0, 50), (30, 60, 90), (True, 50)]
NO_SEED = [-1, 1.5, "1", True, NAN, 2**31, (1, 2)]
NO_FORMAT = ["channel_first", "NHWC", 1, b"channels_last", np.array(["channels_last"])]
NO_RANGE = [*NO_PAIR, None, 255, (5, 1), (1, 1), (0, 1e300)]
COMMON = {"data_format": NO_FORMAT, "value_range": NO_RANGE, "seed": NO_SEED}


def optional(values):
    return [value for value in values if value is not None]


CONVOLUTION = {
    "filters": [*NO_INTEGER, 0],
    "kernel_size": NO_SIDE,
    "strides": NO_SIDE,
    "activation": ["nope", 3],
    "normalization": ["group", 1, True],
}
BAD = {
    "AzimuthalSpectrum": {
        "num_bins": [*optional(NO_INTEGER), 1],
        "window": ["hamming", 1, np.array([1.0])],
    },
    "BlockDCT": {"block_size": [*NO_INTEGER, 1, 65], "epsilon": NO_POSITIVE},
    "ClassToken": {},
    "ConstrainedConv2D": {
        "filters": [*NO_INTEGER, 0],
        "kernel_size": [*NO_SIDE, 1, 4, (3, 2)],
        "strides": NO_SIDE,
        "padding": ["full", None, 1],
        "use_bias": NO_FLAG,
        "kernel_initializer": ["nope", 3],
    },
    "ConvBlock": CONVOLUTION,
    "ConvTransposeBlock": CONVOLUTION,
    "GeMPooling": {"p": NO_POSITIVE, "epsilon": NO_POSITIVE},
    "MaskingNoise": {"rate": NO_PROBABILITY, "patch_size": [*NO_NUMBER, 1.5, 0, -1]},
    "MomentPooling": {
        "num_moments": [*NO_INTEGER, 0, 5],
        "class_token": NO_FLAG,
        "num_register_tokens": [*NO_INTEGER, -1, 4],
    },
    "NativeCrop": {
        "crop_size": [*NO_PAIR, 5, (0, 5), (5, 1.5), (5, -1)],
        "place": [*NO_PAIR, 0.5, (0.5, 1.5), (-0.1, 0.5)],
    },
    "NeighboringPixelResidual": {},
    "RGBToYCbCr": {},
    "RandomDegradation": {
        "blur": [*NO_PAIR, 1.0, (2, 1), (-1, 1)],
        "resize": [*NO_PAIR, 0.5, (0.9, 0.5), (0.0, 0.5), (0.5, 1.5)],
        "jpeg": optional(NO_QUALITY),
        "probability": NO_PROBABILITY,
    },
    "RandomImageLayer": {},
    "RandomJPEGCompression": {
        "quality": NO_QUALITY,
        "chroma_subsampling": ["4:1:1", None, 420, ("4:2:0",)],
    },
    "ResidualCooccurrence": {
        "orders": [(), 1, "12", (0,), (1.5,), (NAN,), {1, 2}, (17,), None],
        "steps": [(), 1, "12", (0,), (1.5,), (NAN,), {1, 2}, (33,), None],
        "truncation": [*NO_INTEGER, 0, 33],
        "symmetric": NO_FLAG,
        "cross_channel": NO_FLAG,
        "half_scale": NO_FLAG,
    },
    "SRMResidual": {"clip": optional(NO_POSITIVE)},
    "SaltAndPepperNoise": {"rate": NO_PROBABILITY},
    "SelfBlendedImages": {
        "degradation": [1, "RandomDegradation", keras.layers.ReLU(), kd.layers.RandomDegradation],
        "return_masks": NO_FLAG,
    },
}
REQUIRED = {"filters": 4, "rate": 0.5, "crop_size": (4, 4)}


def arguments_of(component):
    names = inspect.signature(component.__init__).parameters
    return [name for name in names if name not in ("self", "kwargs")]


def test_every_argument_has_wrong_values():
    assert set(BAD) == set(kd.layers.__all__)
    for name, arguments in BAD.items():
        expected = arguments_of(getattr(kd.layers, name))
        assert set(expected) == set(arguments) | (set(expected) & set(COMMON)), name


@pytest.mark.parametrize("name", BAD)
def test_wrong_values_are_refused_by_name(name):
    component = getattr(kd.layers, name)
    names = arguments_of(component)
    required = {name: value for name, value in REQUIRED.items() if name in names}
    for argument in names:
        for value in (BAD[name] | COMMON)[argument]:
            # Keras names activations and initializers in its own words.
            words = argument.removeprefix("kernel_")
            with pytest.raises(ValueError, match=f"`{argument}|{words} .*identifier"):
                component(**{**required, argument: value})


def test_levels_of_cooccurrences_are_limited():
    with pytest.raises(ValueError, match="`steps` times `truncation` must be at most 32"):
        kd.layers.ResidualCooccurrence(steps=(1, 9), truncation=4)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (kd.layers.ConvBlock(4), (2, 8, 8)),
        (kd.layers.ConvTransposeBlock(4), (8, 8, 3)),
        (kd.layers.GeMPooling(), (2, 8)),
        (kd.layers.MomentPooling(), (2, 8)),
        (kd.layers.MomentPooling(), (2, 2, 8, 8, 3)),
        (kd.layers.SRMResidual(), (8, 8, 3)),
        (kd.layers.BlockDCT(), (8, 8, 3)),
        (kd.layers.ResidualCooccurrence(), (16, 16, 3)),
        (kd.layers.MaskingNoise(0.5), (8, 8, 3)),
    ],
    ids=str,
)
def test_inputs_of_another_rank_are_refused(layer, shape):
    with pytest.raises(ValueError, match=r"expected (min_|max_)?ndim="):
        layer(np.zeros(shape, "float32"))


@pytest.mark.parametrize("name", ["SRMResidual", "BlockDCT", "MomentPooling"])
def test_unknown_channels_are_refused(name):
    with pytest.raises(ValueError, match=f"`{name}` needs a known number of channels"):
        getattr(kd.layers, name)()(keras.Input((8, 8, None)))


def test_configurations_hold_plain_numbers():
    layer = kd.layers.RandomDegradation(
        blur=np.array([0.5, 1.0]),
        jpeg=(np.int64(30), np.uint8(90)),
        probability=np.float32(0.5),
        value_range=np.array([0, 255]),
        seed=np.int32(3),
    )
    config = layer.get_config()
    assert config["blur"] == (0.5, 1.0)
    assert config["value_range"] == (0.0, 255.0)
    for value in (*config["blur"], *config["value_range"], config["probability"]):
        assert type(value) is float
    for value in (*config["jpeg"], config["seed"]):
        assert type(value) is int
