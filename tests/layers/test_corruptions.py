import numpy as np
import pytest
from keras import ops

from keras_deepfake.layers import MaskingNoise, SaltAndPepperNoise

IMAGES = np.random.default_rng(0).uniform(0.2, 0.8, (4, 32, 32, 3)).astype("float32")


def corrupt(layer, images=IMAGES):
    return ops.convert_to_numpy(layer(images, training=True))


@pytest.mark.parametrize("layer", [MaskingNoise(0.5), SaltAndPepperNoise(0.5)])
def test_identity_at_inference(layer):
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(IMAGES)), IMAGES)
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(IMAGES, training=False)), IMAGES)


@pytest.mark.parametrize("component", [MaskingNoise, SaltAndPepperNoise])
def test_seeded_and_new_in_every_call(component):
    first, second = component(0.3, seed=7), component(0.3, seed=7)
    one, two = corrupt(first), corrupt(first)
    np.testing.assert_array_equal(corrupt(second), one)
    assert np.any(one != two)


def test_masking_erases_whole_pixels_at_the_rate():
    outputs = corrupt(MaskingNoise(0.25, seed=0))
    erased = outputs == 0
    assert np.all(erased.all(axis=-1) == erased.any(axis=-1))
    assert erased.mean() == pytest.approx(0.25, abs=0.03)
    np.testing.assert_array_equal(outputs[~erased], IMAGES[~erased])


def test_masking_patches_are_aligned_squares():
    images = np.ones((2, 3, 10, 14), "float32")
    outputs = corrupt(MaskingNoise(0.5, patch_size=4, seed=1, data_format="channels_first"), images)
    assert outputs.shape == images.shape
    for row in range(0, 10, 4):
        for column in range(0, 14, 4):
            patch = outputs[:, :, row : row + 4, column : column + 4]
            assert np.all(patch == patch[:, :1, :1, :1])
    assert 0 < outputs.mean() < 1


def test_salt_and_pepper_share_the_rate():
    outputs = corrupt(SaltAndPepperNoise(0.3, seed=0))
    assert np.mean(outputs == 0) == pytest.approx(0.15, abs=0.03)
    assert np.mean(outputs == 1) == pytest.approx(0.15, abs=0.03)
    kept = (outputs > 0) & (outputs < 1)
    np.testing.assert_array_equal(outputs[kept], IMAGES[kept])


def test_salt_and_pepper_in_other_ranges():
    outputs = corrupt(SaltAndPepperNoise(1.0, value_range=(0, 255), seed=0), IMAGES * 255)
    assert set(np.unique(outputs)) == {0.0, 255.0}


def test_patch_may_be_larger_than_the_image():
    outputs = corrupt(MaskingNoise(0.5, patch_size=10**9, seed=0))
    assert {float(np.mean(image == 0)) for image in outputs} == {0.0, 1.0}
