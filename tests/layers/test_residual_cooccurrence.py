import itertools
import math
from collections import Counter

import keras
import numpy as np
import pytest

import keras_deepfake as kd


def ycbcr(image):
    """Whole Y, Cb and Cr less 128, as libjpeg's fixed-point tables give them."""
    red, green, blue = image.astype("int64").transpose(2, 0, 1)
    return [
        (19595 * red + 38470 * green + 7471 * blue + 32768) // 65536,
        (-11059 * red - 21709 * green + 32768 * blue + 32768) // 65536,
        (32768 * red - 27439 * green - 5329 * blue + 32768) // 65536,
    ]


def twins(triple, mirror):
    """The triples that are counted with this one."""
    found = {triple, tuple(-value for value in triple)}
    return found | {twin[::-1] for twin in found} if mirror else found


def histogram(triples, truncation, symmetric, mirror):
    counts = Counter(triples)
    total = sum(counts.values())
    bins, seen = [], set()
    for triple in itertools.product(range(-truncation, truncation + 1), repeat=3):
        group = twins(triple, mirror) if symmetric else {triple}
        if triple not in seen:
            seen |= group
            bins.append(math.sqrt(sum(counts[twin] for twin in group) / total))
    return bins


def reference(image, orders, steps, truncation, symmetric, cross_channel, half_scale):
    """Counts pixel by pixel."""
    scales = [[plane.astype("float64") for plane in ycbcr(image)]]
    if half_scale:
        height, width = (side // 2 * 2 for side in image.shape[:2])
        scales.append(
            [
                plane[:height, :width].reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3))
                for plane in scales[0]
            ]
        )
    features = []
    for planes, order in itertools.product(scales, orders):
        along, across, cross = [], [], []
        for step in steps:
            symbols = []
            for plane, axis in itertools.product(planes, (1, 0)):
                difference = np.round(np.diff(plane, order, axis=axis))
                symbol = np.clip(np.round(difference / step), -truncation, truncation).astype(int)
                symbols.append(symbol if axis == 1 else symbol.T)
            lines = {
                "along": lambda s: [s[:, :-2], s[:, 1:-1], s[:, 2:]],
                "across": lambda s: [s[:-2], s[1:-1], s[2:]],
            }
            for name, features_of in (("along", along), ("across", across)):
                for plane in range(3):
                    triples = []
                    for symbol in symbols[2 * plane : 2 * plane + 2]:
                        parts = [part.ravel().tolist() for part in lines[name](symbol)]
                        triples += zip(*parts, strict=True)
                    features_of += histogram(triples, truncation, symmetric, mirror=True)
            triples = []
            for direction in (0, 1):
                parts = [symbol.ravel().tolist() for symbol in symbols[direction::2]]
                triples += zip(*parts, strict=True)
            cross += histogram(triples, truncation, symmetric, mirror=False)
        features += along + across + (cross if cross_channel else [])
    return features


CONFIGURATIONS = [
    {},
    pytest.param({"orders": (2,), "steps": (3,), "half_scale": False}, marks=pytest.mark.once),
    {"orders": (1, 3), "steps": (1,), "truncation": 1, "symmetric": False},
    pytest.param(
        {"cross_channel": False, "truncation": 2, "steps": (1, 2, 4)}, marks=pytest.mark.once
    ),
]


@pytest.fixture
def images():
    # Smooth enough that few symbols are cut off; odd sides.
    random = np.random.default_rng(0)
    ramp = np.linspace(40, 200, 19)[None, :, None, None] * np.ones((2, 1, 15, 3))
    return (ramp + random.integers(-4, 5, ramp.shape)).astype("uint8")


def compute(layer, images):
    """Compiled: one operation at a time takes JAX ten times as long."""
    model = keras.Sequential([keras.Input(images.shape[1:]), layer])
    return model.predict(images, verbose=0)


@pytest.mark.parametrize("arguments", CONFIGURATIONS, ids=str)
def test_matches_counting(images, arguments):
    layer = kd.layers.ResidualCooccurrence(**arguments)
    outputs = compute(layer, (images / 255).astype("float32"))
    config = {
        name: getattr(layer, name)
        for name in (
            "orders",
            "steps",
            "truncation",
            "symmetric",
            "cross_channel",
            "half_scale",
        )
    }
    expected = [reference(image, **config) for image in images]
    np.testing.assert_allclose(outputs, expected, atol=1e-6)
    assert layer.compute_output_shape((None, None, None, 3)) == (None, outputs.shape[1])


def test_bytes_give_the_same(images):
    small = {"orders": (1,), "steps": (1,)}
    scaled = compute(kd.layers.ResidualCooccurrence(**small), (images / 255).astype("float32"))
    raw = compute(kd.layers.ResidualCooccurrence(**small, value_range=(0, 255)), images)
    np.testing.assert_array_equal(scaled, raw)


def test_half_levels_are_rounded_alike():
    """Such as resizing makes, which rounds them up here and down there in its last digit."""
    random = np.random.default_rng(0)
    levels = random.integers(0, 255, (2, 8, 9, 3)) + random.choice([0, 0.25, 0.5], (2, 8, 9, 3))
    noisy = np.concatenate([levels, levels - 3e-5, levels + 3e-5]) / 255
    layer = kd.layers.ResidualCooccurrence((1,), (1,))
    exact, less, more = np.split(keras.ops.convert_to_numpy(layer(noisy.astype("float32"))), 3)
    np.testing.assert_array_equal(less, exact)
    np.testing.assert_array_equal(more, exact)


def test_symmetric_features_do_not_change_when_mirrored(images):
    layer = kd.layers.ResidualCooccurrence(value_range=(0, 255), half_scale=False)
    features = compute(layer, np.concatenate([images, images[:, :, ::-1], images[:, ::-1]]))
    for turned in (features[2:4], features[4:]):
        np.testing.assert_allclose(turned, features[:2], atol=1e-6)


def test_number_of_symmetric_bins():
    # Burnside: (343 + 49 + 7 + 1) / 4 on a line; (343 + 1) / 2 across the channels.
    layer = kd.layers.ResidualCooccurrence(orders=(1,), steps=(1,), half_scale=False)
    assert layer.compute_output_shape((None, 8, 8, 3)) == (None, 2 * 3 * 100 + 172)


def test_flat_image_counts_in_one_bin():
    layer = kd.layers.ResidualCooccurrence(half_scale=False, cross_channel=False)
    outputs = compute(layer, np.full((1, 8, 8, 3), 0.5, "float32"))
    assert sorted(set(outputs[0].tolist())) == [0, 1]
    assert outputs.sum() == 2 * 2 * 2 * 3


@pytest.mark.parametrize("shape", [(1, 16, 16, 1), (1, 9, 16, 3)])
def test_bad_images(shape):
    with pytest.raises(ValueError, match=r"3 channels and.* sides of at least 10"):
        kd.layers.ResidualCooccurrence()(np.zeros(shape, "float32"))
