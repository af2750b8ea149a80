"""What all forensic layers have in common."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_deepfake as kd

MAPS = {
    "srm": kd.layers.SRMResidual,
    "constrained": lambda **arguments: kd.layers.ConstrainedConv2D(3, **arguments),
    "npr": kd.layers.NeighboringPixelResidual,
    "ycbcr": kd.layers.RGBToYCbCr,
    "dct": kd.layers.BlockDCT,
}
VECTORS = {
    "spectrum": kd.layers.AzimuthalSpectrum,
    "moments": kd.layers.MomentPooling,
    "cooccurrence": lambda **arguments: kd.layers.ResidualCooccurrence((1,), (1,), **arguments),
}
LAYERS = MAPS | VECTORS


def each_layer(*without):
    return pytest.mark.parametrize("name", [name for name in LAYERS if name not in without])


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (2, 18, 16, 3)).astype("float32") / 255


def compute(layer, images):
    """Compiled: one operation at a time takes JAX ten times as long."""
    model = keras.Sequential([keras.Input(images.shape[1:]), layer])
    return model.predict(images, verbose=0)


@each_layer()
def test_channels_first(name, images):
    keras.utils.set_random_seed(0)
    expected = compute(LAYERS[name](data_format="channels_last"), images)
    keras.utils.set_random_seed(0)
    layer = LAYERS[name](data_format="channels_first")
    outputs = compute(layer, images.transpose(0, 3, 1, 2))
    if name in MAPS:
        outputs = outputs.transpose(0, 2, 3, 1)
    # Coefficients of the cosine transform reach 2040, where float32 has steps of 1.2e-4.
    np.testing.assert_allclose(outputs, expected, atol=1e-4)


@pytest.mark.usefixtures("in_graphs")
@each_layer("spectrum")
def test_unknown_sides(name, images):
    layer = LAYERS[name]()
    model = keras.Sequential([keras.Input((None, None, 3)), layer])
    assert model.output_shape[-1] is not None
    for sample in (images, images[:1, :17, :13]):
        expected = compute(layer, sample)
        # A compiler may reorder the sums of a convolution on the 0-255 scale.
        np.testing.assert_allclose(model.predict(sample, verbose=0), expected, atol=3e-5)
        assert layer.compute_output_shape(sample.shape) == expected.shape


@each_layer()
@pytest.mark.parametrize(
    "policy", ["mixed_float16", pytest.param("mixed_bfloat16", marks=pytest.mark.once)]
)
def test_half_precision_rounds_only_the_result(name, policy, images):
    keras.utils.set_random_seed(0)
    # The one call that no layer is compiled for.
    expected = ops.convert_to_numpy(LAYERS[name]()(images))
    keras.utils.set_random_seed(0)
    outputs = compute(LAYERS[name](dtype=policy), images)
    assert keras.backend.standardize_dtype(outputs.dtype) == policy.removeprefix("mixed_")
    rounding = 2.0**-11 if policy == "mixed_float16" else 2.0**-8
    np.testing.assert_allclose(outputs.astype("float32"), expected, rtol=rounding, atol=1e-5)


@each_layer("cooccurrence")
@pytest.mark.parametrize("flat", [False, True])
def test_gradient_reaches_what_comes_before(name, flat, images):
    before = keras.layers.Dense(3, kernel_initializer="identity")
    model = keras.Sequential([keras.Input(images.shape[1:]), before, LAYERS[name]()])
    model.layers[-1].clip = None
    model.compile(keras.optimizers.SGD(1e-3), "mse")
    x = np.full_like(images, 0.5) if flat else images
    old = before.get_weights()
    model.fit(x, np.ones((2, *model.output_shape[1:])), verbose=0)
    new = before.get_weights()
    assert all(np.isfinite(weights).all() for weights in new)
    if not flat:
        assert np.abs(new[0] - old[0]).max() > 0


@pytest.mark.parametrize("name", VECTORS)
def test_vector_under_a_softmax_head(name, images):
    head = keras.layers.Dense(
        2, activation="softmax", kernel_regularizer=keras.regularizers.L1L2(1e-4, 1e-3)
    )
    model = keras.Sequential([keras.Input(images.shape[1:]), LAYERS[name](), head])
    model.compile("adam", "categorical_crossentropy")
    history = model.fit(images, np.eye(2), epochs=2, verbose=0).history["loss"]
    assert np.isfinite(history).all()
    assert history[-1] < history[0]
