import keras
import numpy as np
import pytest
from keras import ops

import keras_deepfake as kd

IMAGES = np.random.default_rng(0).random((2, 11, 9, 3)).astype("float32")


@pytest.mark.parametrize(
    ("place", "top", "left"),
    [((0.5, 0.5), 3, 2), ((0, 1), 0, 4), ((1, 0), 6, 0), ((0.2, 0.8), 1, 3)],
)
def test_pixels_are_taken_as_they_are(place, top, left):
    crops = kd.layers.NativeCrop((5, 5), place)(IMAGES)
    expected = IMAGES[:, top : top + 5, left : left + 5]
    np.testing.assert_array_equal(ops.convert_to_numpy(crops), expected)


def test_an_image_of_the_window_s_size_stays_as_it_is():
    crops = kd.layers.NativeCrop((11, 9), (0.3, 1.0))(IMAGES)
    np.testing.assert_array_equal(ops.convert_to_numpy(crops), IMAGES)


def test_small_images_are_enlarged_in_proportion():
    square = IMAGES[:, 1:10]
    expected = ops.convert_to_numpy(ops.image.resize(square, (22, 22), data_format="channels_last"))
    crops = ops.convert_to_numpy(kd.layers.NativeCrop((22, 22))(square))
    np.testing.assert_allclose(crops, expected, atol=1e-5)
    # Of a taller image the largest square; at its borders what lies beyond is interpolated with.
    crops = ops.convert_to_numpy(kd.layers.NativeCrop((22, 22))(IMAGES))
    np.testing.assert_allclose(crops[:, 2:-2], expected[:, 2:-2], atol=1e-5)


def test_data_formats_agree():
    expected = ops.convert_to_numpy(kd.layers.NativeCrop((5, 30), (0.2, 0.4))(IMAGES))
    layer = kd.layers.NativeCrop((5, 30), (0.2, 0.4), data_format="channels_first")
    crops = ops.convert_to_numpy(layer(np.moveaxis(IMAGES, -1, 1)))
    np.testing.assert_array_equal(np.moveaxis(crops, 1, -1), expected)


@pytest.mark.usefixtures("in_graphs")
def test_sides_may_be_unknown_when_a_model_is_built():
    images = keras.Input((None, None, 3))
    model = keras.Model(images, kd.layers.NativeCrop((5, 5))(images))
    assert model.output_shape == (None, 5, 5, 3)
    for sides in ((11, 9), (4, 20)):
        part = np.zeros((1, *sides, 3), "float32")
        assert model.predict(part, verbose=0).shape == (1, 5, 5, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"crop_size": 5}, "`crop_size` must be a tuple"),
        ({"crop_size": (5, 5), "place": (0.5, 1.5)}, r"`place\[1\]` must"),
        ({"crop_size": (5, 5), "place": 0.5}, "`place` must"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        kd.layers.NativeCrop(**arguments)


@pytest.mark.once
def test_a_window_on_a_whole_pixel_stays_there():
    """A product such as 0.29 * 100 is a little less than it should be."""
    for hundredths in range(101):
        row = np.arange(107.0, dtype="float32").reshape(1, 1, 107, 1)
        crop = kd.layers.NativeCrop((1, 7), (0.0, hundredths / 100), "channels_last")(row)
        np.testing.assert_allclose(
            ops.convert_to_numpy(crop)[0, 0, :, 0], np.arange(7) + hundredths
        )
