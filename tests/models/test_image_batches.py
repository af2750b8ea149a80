import numpy as np
import pytest

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
