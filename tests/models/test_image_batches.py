import keras
import numpy as np
import pytest

import keras_deepfake as kd
from keras_deepfake.models import image_batches
from keras_deepfake.models.image_batches import Image, ImageBatch, compute_by_shape


def batches_of(shapes, seed=0):
    rng = np.random.default_rng(seed)
    for i, shape in enumerate(shapes):
        pixels = rng.random(shape, "float32")
        yield ImageBatch(pixels, [Image(f"{i}[{j}]", image) for j, image in enumerate(pixels)])


class Means:
    """The mean of each image, and how many were asked for at a time."""

    def __init__(self):
        self.counts = []

    def __call__(self, pixels):
        self.counts.append(len(pixels))
        return pixels.mean(axis=(1, 2, 3))


@pytest.mark.parametrize("batch_size", [1, 4, 5])
def test_every_batch_comes_in_its_place_with_its_own_rows(batch_size):
    rng = np.random.default_rng(1)
    shapes = [(rng.integers(1, 6), rng.integers(2, 5), 3, 3) for _ in range(40)]
    shapes[0] = shapes[17] = shapes[39] = (0, 0, 0, 0)
    means = Means()
    got = list(compute_by_shape(means, batches_of(shapes), batch_size))
    for (batch, rows), want in zip(got, batches_of(shapes), strict=True):
        np.testing.assert_array_equal(batch.pixels, want.pixels)
        if len(want.pixels):
            np.testing.assert_array_equal(rows, want.pixels.mean(axis=(1, 2, 3)))
        else:
            assert rows is None
    assert max(means.counts) <= batch_size


def test_images_of_many_sizes_share_full_batches():
    shapes = [(1, 2 + i % 7, 3, 3) for i in range(7 * 16)]
    means = Means()
    list(compute_by_shape(means, batches_of(shapes), 8))
    assert means.counts == [8] * 14


def test_full_batches_do_not_wait():
    source = batches_of([(4, 2, 2, 3)] * 3)
    computed = compute_by_shape(Means(), source, 4)
    next(computed)
    # Only the first was read.
    assert len(list(source)) == 2


@pytest.mark.parametrize(("limit", "value"), [("WAITING_BATCHES", 10), ("WAITING_VALUES", 270)])
def test_no_more_waits_than_there_is_memory_for(monkeypatch, limit, value):
    monkeypatch.setattr(image_batches, limit, value)
    read = 0

    def source():
        nonlocal read
        # The first of its shape, which would wait for another.
        for batch in batches_of([(1, 2, 3, 3), *[(1, 3, 3, 3)] * 99]):
            read += 1
            yield batch

    computed = compute_by_shape(Means(), source(), 1000)
    for i, _ in enumerate(computed):
        assert read - i <= 11


def small_and_large(tmp_path):
    random = np.random.default_rng(0)
    for number, side in enumerate((16, 9, 1, 16, 20)):
        image = random.integers(0, 256, (side, side, 3))
        keras.utils.save_img(tmp_path / f"{number}.png", image, scale=False)
    return tmp_path


def convolutions():
    return [keras.layers.Conv2D(4, 10), keras.layers.GlobalAveragePooling2D()]


@pytest.mark.parametrize("make", [convolutions, lambda: [kd.layers.ResidualCooccurrence()]])
def test_images_that_are_too_small_for_a_network_are_told(make, tmp_path):
    layers = [keras.Input((None, None, 3)), *make(), keras.layers.Dense(2, "softmax")]
    detector = kd.Detector(keras.Sequential(layers), ("fake", "real"))
    folder = small_and_large(tmp_path)
    rows = list(kd.evaluation.predict_images(detector, folder, batch_size=2))
    assert [row.error is None for row in rows] == [True, False, False, True, True]
    assert "(9, 9, 3) is too small" in rows[1].error
    kept = [folder / f"{number}.png" for number in (0, 3, 4)]
    np.testing.assert_allclose(
        [row.probabilities[0] for row in rows if row.error is None],
        detector.scores(kept),
        atol=1e-6,
    )
    with pytest.raises(ValueError, match=r"1\.png' cannot be read: \(9, 9, 3\) is too small"):
        detector.scores(folder)
    with pytest.raises(ValueError, match=r"\(1, 1, 3\) is too small"):
        detector.score_pixels(np.zeros((2, 1, 1, 3), "float32"))


def test_an_image_that_is_too_small_to_be_encoded_is_told(tmp_path):
    network = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(4, 10)])
    classifier = kd.EncoderClassifier(network, pooling="avg")
    for name in ("fake", "real"):
        (tmp_path / name).mkdir()
        small_and_large(tmp_path / name)
    index = kd.datasets.ImageIndex.from_directory(tmp_path)
    with pytest.raises(ValueError, match=r"fake.1\.png' cannot be encoded: \(9, 9, 3\)"):
        classifier.fit_head(index, verbose=0)


def test_a_network_that_fails_at_any_size_says_so_itself():
    class Broken(keras.layers.Layer):
        def call(self, inputs):
            if self.built and self.name == "broken_now":
                raise RuntimeError("out of order")
            return inputs

    broken = Broken()
    layers = [broken, keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2, "softmax")]
    model = keras.Sequential([keras.Input((None, None, 3)), *layers])
    broken.name = "broken_now"
    detector = kd.Detector(model, ("fake", "real"))
    with pytest.raises(RuntimeError, match="out of order"):
        detector.scores(np.zeros((2, 8, 8, 3), "float32"))
