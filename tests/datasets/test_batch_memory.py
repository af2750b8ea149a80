import gc

import keras
import numpy as np
import pytest
from PIL import Image

import keras_deepfake as kd
from keras_deepfake.datasets import _batch_memory
from keras_deepfake.datasets._batch_memory import empty_batch


@pytest.fixture(autouse=True)
def nothing_is_free():
    _batch_memory._FREE.clear()
    yield
    _batch_memory._FREE.clear()


def start_of(array):
    return array.__array_interface__["data"][0]


def test_arrays_have_the_shape_and_dtype_and_are_aligned():
    for shape, dtype in (((2, 3, 5), "float32"), ((7,), "uint8"), ((0, 4), "float32")):
        array = empty_batch(shape, dtype)
        assert array.shape == shape
        assert array.dtype == dtype
        assert array.flags.writeable
        assert array.size == 0 or start_of(array) % 64 == 0


def test_memory_is_used_again_once_nobody_holds_it():
    array = empty_batch((100, 100), "float32")
    start = start_of(array)
    del array
    gc.collect()
    again = empty_batch((90, 100), "float32")
    assert start_of(again) == start
    assert start_of(empty_batch((90, 100), "float32")) != start


def test_memory_is_kept_as_long_as_any_view_of_it_lives():
    array = empty_batch((100, 100), "float32")
    array[...] = 1.0
    part = array[50:].T
    del array
    gc.collect()
    others = [empty_batch((100, 100), "float32") for _ in range(3)]
    for other in others:
        other[...] = 2.0
    np.testing.assert_array_equal(part, 1.0)


def test_little_memory_waits_for_its_use():
    arrays = [empty_batch((10,), "float32") for _ in range(20)]
    del arrays
    gc.collect()
    assert 0 < len(_batch_memory._FREE) <= 6


def test_a_batch_of_another_size_takes_neither_too_little_memory_nor_much_too_much():
    array = empty_batch((1000,), "float32")
    start = start_of(array)
    del array
    gc.collect()
    small, large = empty_batch((100,), "float32"), empty_batch((9000,), "float32")
    large[...] = 1.0
    assert start not in (start_of(small), start_of(large))
    assert start_of(empty_batch((1000,), "float32")) == start


@pytest.mark.parametrize("cache", [None, "memory"])
def test_an_epoch_lies_in_the_memory_of_the_one_before_until_the_dataset_ends(
    tmp_path, monkeypatch, cache
):
    for i in range(16):
        Image.fromarray(np.full((16, 16, 3), i, "uint8")).save(tmp_path / f"{i:02d}.png")
    index = kd.datasets.ImageIndex.from_directory(tmp_path, class_names=None)
    dataset = kd.datasets.reconstruction_dataset(index, (16, 16), 2, cache=cache)
    made = []
    storage = _batch_memory._storage
    monkeypatch.setattr(
        _batch_memory, "_storage", lambda size: made.append(storage(size)) or made[-1]
    )
    starts = []
    for _ in range(6):
        made.clear()
        for _ in dataset:
            pass
        assert len(made) == len(dataset)
        starts.append({storage.ctypes.data for storage in made})
        made.clear()
        gc.collect()
    # At most five batches are alive at a time, whichever those are.
    assert len(set.union(*starts)) <= 6
    assert 0 < len(_batch_memory._FREE) <= 6
    del dataset
    gc.collect()
    assert not _batch_memory._FREE


KEEPS = {
    "tensors": lambda x: x,
    "views": lambda x: np.asarray(x)[:, 1:],
    "tensors of the backend": keras.ops.convert_to_tensor,
}


@pytest.mark.parametrize("keep", KEEPS.values(), ids=KEEPS)
@pytest.mark.parametrize("cache", [None, "memory"])
@pytest.mark.parametrize("image_size", [(16, 16), (16, 20)])
def test_batches_that_somebody_keeps_are_not_overwritten(tmp_path, keep, cache, image_size):
    rng = np.random.default_rng(0)
    for i in range(12):
        pixels = rng.integers(0, 256, (16, 16, 3)).astype("uint8")
        Image.fromarray(pixels).save(tmp_path / f"{i:02d}.png")
    index = kd.datasets.ImageIndex.from_directory(tmp_path, class_names=None)
    dataset = kd.datasets.reconstruction_dataset(index, image_size, 2, cache=cache)
    kept = []
    for _ in range(3):
        kept += [keep(x) for x, _ in dataset]
        gc.collect()
    images = np.stack([kd.datasets.load_image(path, image_size) for path in index.paths])
    assert len(kept) == 18
    for i, batch in enumerate(kept):
        batch, want = keras.ops.convert_to_numpy(batch), images[2 * (i % 6) :][:2]
        np.testing.assert_array_equal(batch, want[:, -batch.shape[1] :])
