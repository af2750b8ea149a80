import gc
import inspect
import itertools
import os
import pathlib
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_deepfake.datasets import (
    ImageIndex,
    classification_dataset,
    image_datasets,
    load_image,
    reconstruction_dataset,
    set_epoch,
)
from keras_deepfake.datasets._image_cache import ImageCache

SIZE = (8, 10)


def fill(folder, count, size=SIZE, suffix=".png"):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(count)
    for i in range(count):
        pixels = rng.integers(0, 256, (*size, 3)).astype("uint8")
        pixels[0, 0] = i  # tells the images apart
        Image.fromarray(pixels).save(folder / f"{i:02d}{suffix}")


@pytest.fixture
def index(tmp_path):
    fill(tmp_path / "faces" / "fake", 5)
    fill(tmp_path / "faces" / "real", 7)
    return ImageIndex.from_directory(tmp_path / "faces")


def unlabelled(folder):
    return ImageIndex.from_directory(folder, class_names=None)


def order(dataset):
    """The first pixel of every image, which is its number."""
    return [round(float(x[0, 0, 0]) * 255) for batch, _ in dataset for x in batch]


def test_classification_dataset(index):
    dataset = classification_dataset(index, SIZE, batch_size=5)
    assert dataset.element_spec == (
        tf.TensorSpec((None, *SIZE, 3), "float32"),
        tf.TensorSpec((None, 2), "float32"),
    )
    assert len(dataset) == 3
    batches = list(dataset.as_numpy_iterator())
    assert [len(x) for x, _ in batches] == [5, 5, 2]
    x, y = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    assert dataset.class_names == ("fake", "real")
    np.testing.assert_array_equal(y, np.eye(2)[index.labels])
    np.testing.assert_array_equal(x, [load_image(path) for path in index.paths])
    assert x.max() <= 1.0


@pytest.mark.once
@pytest.mark.parametrize("most_pixels", [image_datasets._MOST_PIXELS, 0])
def test_reconstruction_dataset(index, most_pixels, monkeypatch):
    monkeypatch.setattr(image_datasets, "_MOST_PIXELS", most_pixels)  # to be resized as a batch
    dataset = reconstruction_dataset(index, [4, 4], batch_size=5)
    assert len(dataset) == 3
    assert dataset.element_spec == (tf.TensorSpec((None, 4, 4, 3), "float32"),) * 2
    for x, target in dataset:
        np.testing.assert_array_equal(x, target)
    expected = [load_image(path, (4, 4)) for path in index.paths]
    np.testing.assert_array_equal(np.concatenate([x for x, _ in dataset]), expected)


@pytest.mark.once
def test_default_batch_sizes(index):
    for make, size in ((reconstruction_dataset, 64), (classification_dataset, 128)):
        assert inspect.signature(make).parameters["batch_size"].default == size


@pytest.mark.once
def test_mixed_files_give_the_numbers_of_load_image(tmp_path):
    fill(tmp_path, 3)
    fill(tmp_path / "jpeg", 3, (16, 12), ".jpg")
    fill(tmp_path / "grey", 1)
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.open(tmp_path / "00.png")
    image.save(tmp_path / "rotated.jpg", exif=exif)
    image.convert("L").save(tmp_path / "grey.jpg")
    image.convert("CMYK").save(tmp_path / "cmyk.jpg")
    image.convert("RGBA").save(tmp_path / "rgba.png")
    image.quantize(16).save(tmp_path / "palette.gif")
    index = unlabelled(tmp_path)
    for cache in (None, "memory"):
        dataset = reconstruction_dataset(index, (9, 9), batch_size=4, cache=cache)
        loaded = np.concatenate([x for x, _ in dataset])
        np.testing.assert_array_equal(loaded, [load_image(path, (9, 9)) for path in index.paths])


@pytest.mark.once
@pytest.mark.parametrize(("buffer", "cache"), [(3, "memory"), (12, None)])
def test_shuffling_is_a_function_of_seed_and_epoch(index, cache, buffer):
    def make(seed):
        return reconstruction_dataset(
            index, SIZE, batch_size=5, shuffle_buffer=buffer, seed=seed, cache=cache
        )

    plain = order(reconstruction_dataset(index, SIZE))
    dataset = make(0)
    assert len(dataset) == 3
    epochs = [order(dataset) for _ in range(3)]
    assert all(sorted(epoch) == sorted(plain) for epoch in epochs)
    assert len({tuple(epoch) for epoch in [plain, *epochs]}) == 4
    # The same in another dataset, whatever the global seed.
    keras.utils.set_random_seed(5)
    again = make(0)
    assert [order(again) for _ in range(3)] == epochs
    assert order(make(1)) != epochs[0]
    # A new process begins at any epoch.
    resumed = make(0)
    set_epoch(2)
    assert order(resumed) == epochs[2]
    set_epoch(1)
    assert order(dataset) == epochs[1]
    if buffer == 3:
        first = [epoch[0] for epoch in epochs]
        assert set(first) <= set(plain[:3])


@pytest.mark.once
def test_order_is_the_same_with_and_without_cache(index, tmp_path):
    orders = [
        order(reconstruction_dataset(index, SIZE, shuffle_buffer=4, seed=3, cache=cache))
        for cache in (None, "memory", tmp_path / "cache")
    ]
    assert orders[0] == orders[1] == orders[2]


@pytest.mark.once
def test_only_passes_read_to_their_end_count(index):
    dataset = reconstruction_dataset(index, SIZE, batch_size=4, shuffle_buffer=12, seed=0)
    first = order(dataset)
    second = order(dataset)
    peeked = reconstruction_dataset(index, SIZE, batch_size=4, shuffle_buffer=12, seed=0)
    iter(peeked)
    next(iter(peeked))
    order(peeked.take(2))
    assert order(peeked) == first
    # Keras reads the batches that the length promises and does not ask for another.
    iterator = iter(peeked)
    taken = [x for _ in range(len(peeked)) for x in order([next(iterator)])]
    assert taken == second
    assert order(peeked) not in (first, second)
    repeated = reconstruction_dataset(index, SIZE, batch_size=4, shuffle_buffer=12, seed=0)
    assert order(repeated.repeat(2)) == first + second


@pytest.mark.once
def test_without_a_seed_the_order_follows_the_global_seed(index):
    def draw():
        return order(reconstruction_dataset(index, SIZE, shuffle_buffer=12))

    keras.utils.set_random_seed(1)
    first, second = draw(), draw()
    assert first != second
    keras.utils.set_random_seed(1)
    assert draw() == first


@pytest.mark.once
def test_a_dataset_that_is_gone_says_so(index):
    sources = [classification_dataset(index, SIZE, shuffle_buffer=4, seed=0)]
    dataset = tf.data.Dataset.range(1).flat_map(lambda _: sources[0])
    assert len(list(dataset)) > 0
    sources.clear()
    gc.collect()
    with pytest.raises(tf.errors.OpError, match="keep it in a variable"):
        list(dataset)


def test_an_iterator_outlives_its_dataset(index):
    iterator = iter(
        classification_dataset(index, SIZE, batch_size=2, shuffle_buffer=5, seed=0, cache="memory")
    )
    gc.collect()
    assert sum(len(x) for x, _ in iterator) == 12


@pytest.mark.once
@pytest.mark.parametrize("size", [SIZE, (5, 5)])
def test_cache_in_memory(index, size):
    dataset = reconstruction_dataset(index, size, batch_size=5, cache="memory")
    first = np.concatenate([x for x, _ in dataset])
    for path in index.paths:
        os.remove(path)
    np.testing.assert_array_equal(np.concatenate([x for x, _ in dataset]), first)


@pytest.mark.once
def test_cache_in_a_folder(index, tmp_path, monkeypatch):
    cache, size = tmp_path / "cache", (5, 5)

    def make(image_size=size, chosen=index):
        return reconstruction_dataset(chosen, image_size, batch_size=5, cache=cache)

    def read(dataset):
        return np.concatenate([x for x, _ in dataset])

    first = read(make())
    (complete,) = cache.glob("*.npy")
    np.testing.assert_array_equal(first, [load_image(path, size) for path in index.paths])

    # It is really served, with no image read; and not where it is damaged.
    with monkeypatch.context() as patch:
        patch.setattr(ImageCache, "put", lambda *_: pytest.fail("not served"))
        np.testing.assert_array_equal(read(make()), first)
    stored = complete.read_bytes()
    complete.write_bytes(stored[:-1] + b"\1")
    with pytest.warns(UserWarning, match="is damaged"):
        np.testing.assert_array_equal(read(make()), first)
    assert complete.read_bytes() == stored

    # Never for other sizes, other files, or files that have changed.
    assert read(make((3, 3))).shape == (12, 3, 3, 3)
    half = index.split((0.5, 0.5), seed=0)[0]
    np.testing.assert_array_equal(
        read(make(chosen=half)), [load_image(path, size) for path in half.paths]
    )
    Image.new("RGB", SIZE[::-1], "white").save(index.paths[0])
    changed = read(make())
    np.testing.assert_allclose(changed[0], 1, atol=1e-6)
    np.testing.assert_array_equal(changed[1:], first[1:])


@pytest.mark.once
def test_a_dataset_frees_what_it_kept(index, tmp_path):
    dataset = reconstruction_dataset(index, SIZE, shuffle_buffer=4, cache="memory")
    list(dataset)
    kept = weakref.ref(dataset.image_cache)
    del dataset
    gc.collect()
    assert kept() is None


def broken(path, way):
    contents = path.read_bytes()
    if way == "vanished":
        path.unlink()
    elif way == "empty":
        path.write_bytes(b"")
    elif way == "text":
        path.write_text("this is no image any more")
    elif way == "cut":
        path.write_bytes(contents[: len(contents) // 2])
    elif way == "damaged inside":
        path.write_bytes(contents[:50] + b"\x13" * 20 + contents[70:])
    elif way == "damaged tables":
        tables = contents.index(b"\xff\xc4") + 4
        path.write_bytes(contents[:tables] + b"\xff" * 16 + contents[tables + 16 :])
    elif way == "resized":
        Image.new("RGB", (3, 3)).save(path)


@pytest.mark.once
@pytest.mark.parametrize(
    ("suffix", "way"),
    [
        *itertools.product((".jpg", ".png", ".webp"), ("vanished", "empty", "text", "cut")),
        (".png", "damaged inside"),
        (".jpg", "damaged tables"),
        (".jpg", "resized"),
    ],
)
def test_a_file_that_breaks_later_is_named(tmp_path, way, suffix):
    fill(tmp_path, 4, suffix=suffix)
    index = unlabelled(tmp_path)
    dataset = reconstruction_dataset(index, SIZE, batch_size=2)
    broken(pathlib.Path(index.paths[2]), way)
    with pytest.raises(tf.errors.OpError) as caught:
        list(dataset)
    assert f"02{suffix}" in str(caught.value)


@pytest.mark.once
def test_a_file_that_was_damaged_before_is_named(tmp_path):
    fill(tmp_path, 4, suffix=".jpg")
    broken(tmp_path / "02.jpg", "damaged tables")
    fill(tmp_path / "odd", 1)  # of several decoders one is chosen in the graph
    index = unlabelled(tmp_path)  # a header does not show it
    # Whether it is the first or the last of its batch.
    for cache, batch_size in itertools.product((None, "memory"), (1, 2, 3, 5)):
        dataset = reconstruction_dataset(index, SIZE, batch_size, cache=cache)
        with pytest.raises(tf.errors.OpError, match=r"02\.jpg' cannot be read"):
            list(dataset)


@pytest.mark.once
def test_device_scopes_do_not_reach_the_pipelines(index):
    soft = tf.config.get_soft_device_placement()
    tf.config.set_soft_device_placement(False)
    try:
        with tf.device("GPU:7"):
            dataset = classification_dataset(index, SIZE, batch_size=12)
            image = load_image(index.paths[0], (4, 4))
        x, y = next(iter(dataset))
    finally:
        tf.config.set_soft_device_placement(soft)
    assert (image.shape, x.shape, y.shape) == ((4, 4, 3), (12, *SIZE, 3), (12, 2))


def test_fit_on_this_backend(index):
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2, activation="softmax")])
    model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])
    dataset = classification_dataset(index, SIZE, batch_size=5, shuffle_buffer=12, seed=0)
    order = dataset.shuffled_order
    seen = []
    watch = keras.callbacks.LambdaCallback(on_epoch_begin=lambda *_: seen.append(order.epoch))
    history = model.fit(
        dataset,
        validation_data=dataset.take(1),
        epochs=3,
        shuffle=False,
        verbose=0,
        callbacks=[watch],
    )
    # One order an epoch, although backends make more iterators, and look at a batch first.
    assert seen == [0, 1, 2]
    assert np.isfinite(history.history["loss"]).all()
    assert model.predict(dataset, verbose=0).shape == (12, 2)


def test_resumed_fit_ends_with_the_same_weights(index):
    def fit(epochs, initial_epoch=0, weights=None):
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [keras.Input((*SIZE, 3)), keras.layers.Flatten(), keras.layers.Dense(2)]
        )
        if weights:
            model.set_weights(weights)
        model.compile("sgd", "mse")
        dataset = classification_dataset(index, SIZE, batch_size=5, shuffle_buffer=12, seed=0)
        follow = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: set_epoch(epoch))
        model.fit(
            dataset,
            epochs=epochs,
            initial_epoch=initial_epoch,
            shuffle=False,  # else Keras warns that it will not shuffle a `tf.data.Dataset`
            verbose=0,
            callbacks=[follow],
        )
        return model.get_weights()

    whole = fit(4)
    resumed = fit(4, initial_epoch=2, weights=fit(2))
    for a, b in zip(whole, resumed, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.once
def test_wrong_arguments(index, tmp_path):
    for make in (classification_dataset, reconstruction_dataset):
        with pytest.raises(ValueError, match="`index` must hold at least one image"):
            make(index.take([]), (8, 8))
        for arguments in (
            {"image_size": 8},
            {"image_size": (0, 8)},
            {"batch_size": 0},
            {"batch_size": 2.5},
            {"batch_size": 10**9},
            {"batch_size": None},
            {"image_size": (10**6, 10**6)},
            {"image_size": None},
            {"shuffle_buffer": float("nan")},
            {"cache": b"x"},
            {"cache": 1},
            {"shuffle_buffer": -1},
            {"seed": -1},
            {"seed": "a"},
        ):
            (name,) = arguments
            with pytest.raises(ValueError, match=f"`{name}`"):
                make(index, **{"image_size": SIZE, **arguments})
        with pytest.raises(ValueError, match="must be an `ImageIndex`; got list"):
            make(list(index.paths), SIZE)
        (tmp_path / "file").write_text("x")
        with pytest.raises(ValueError, match="`cache`"):
            make(index, SIZE, cache=tmp_path / "file")
    with pytest.raises(ValueError, match="class_names=None"):
        classification_dataset(unlabelled(tmp_path / "faces"), SIZE)
    for epoch in (-1, 10**30, None, 0.5):
        with pytest.raises(ValueError, match="`epoch`"):
            set_epoch(epoch)
