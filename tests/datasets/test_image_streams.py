import os
import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import keras_deepfake as kd
from keras_deepfake.datasets import image_streams
from keras_deepfake.datasets._inspection import inspect_image
from keras_deepfake.datasets.image_resizing import resize_image
from keras_deepfake.datasets.image_streams import stream_images
from keras_deepfake.models.image_batches import image_batches


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Files of many kinds and sizes; every seventh cannot be read."""
    folder = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(0)
    paths = []
    for i in range(150):
        path = folder / f"{i:03d}é.{('jpg', 'png', 'bmp', 'webp', 'jpg')[i % 5]}"
        height, width = rng.integers(8, 40, 2)
        pixels = rng.integers(0, 256, (height, width, 3)).astype("uint8")
        image = Image.fromarray(pixels)
        if i % 10 == 0:
            exif = image.getexif()
            exif[0x0112] = 6
            image.save(path, exif=exif)
        else:
            image.save(path)
        if i % 14 == 3:
            path.write_bytes(path.read_bytes()[:20])
        elif i % 14 == 10:
            # Its header is sound, and so is its end.
            content = bytearray(path.read_bytes())
            content[len(content) // 2 : -40] = bytes(len(content) - 40 - len(content) // 2)
            path.write_bytes(content)
        paths.append(os.fspath(path))
    return paths


def expected(path, image_size):
    try:
        return kd.datasets.load_image(path, image_size)
    except ValueError:
        return None


@pytest.mark.parametrize("image_size", [None, (12, 10)])
def test_a_stream_gives_what_load_image_gives_and_none_for_what_it_refuses(paths, image_size):
    want = [expected(path, image_size) for path in paths]
    assert 100 < sum(image is not None for image in want) < 150
    got = list(stream_images([(path, None) for path in paths], image_size))
    for one, two in zip(got, want, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.usefixtures("in_graphs")
@pytest.mark.parametrize("image_size", [None, (12, 10)])
@pytest.mark.parametrize("sides", [[(9, 14)], [(9, 14), (21, 8), (64, 64)]])
def test_files_are_decoded_together_and_one_by_one_where_that_fails(
    tmp_path, monkeypatch, sides, image_size
):
    rng, paths = np.random.default_rng(0), []
    for i in range(100):
        path = tmp_path / f"{i:02d}.{'jpg' if i < 70 else 'png'}"
        pixels = rng.integers(0, 256, (*sides[i % len(sides)], 3)).astype("uint8")
        Image.fromarray(pixels).save(path)
        paths.append(os.fspath(path))
    files = [(path, inspect_image(path)) for path in paths]
    alone, read_pixels = [], image_streams.read_pixels

    def counted(path, *header):
        alone.append(path)
        return read_pixels(path, *header)

    monkeypatch.setattr(image_streams, "read_pixels", counted)
    check_stream(files, image_size)
    assert not alone
    # One is damaged behind its header by now, and two have another size.
    damaged = pathlib.Path(paths[80])
    damaged.write_bytes(damaged.read_bytes()[:60] + bytes(100) + damaged.read_bytes()[160:])
    Image.fromarray(np.zeros((5, 70, 3), "uint8")).save(paths[3])
    Image.fromarray(np.zeros((14, 9, 3), "uint8")).save(paths[40])
    assert check_stream(files, image_size) == [80]
    assert 1 < len(alone) < 100


def check_stream(files, image_size):
    """Compares a stream with `load_image`; returns the places of what cannot be read."""
    images = list(stream_images(files, image_size))
    for (path, _), image in zip(files, images, strict=True):
        np.testing.assert_array_equal(image, expected(path, image_size), err_msg=path)
    return [place for place, image in enumerate(images) if image is None]


@pytest.mark.parametrize(
    ("files", "image_size", "lengths"),
    [
        ([(8, 8)] * 70, (4, 4), [32, 32, 6]),
        ([(8, 8)] * 70, None, [32, 32, 6]),
        ([(3000, 3000)] * 3, (4, 4), [1, 1, 1]),
        ([(300, 300)] * 8, None, [4, 4]),
        ([(8, 8)] * 7, (1000, 1000), [3, 3, 1]),
        ([None] * 3, None, [1, 1, 1]),
        ([None] * 33, (4, 4), [32, 1]),
    ],
)
def test_threads_share_the_files(files, image_size, lengths):
    files = [("none.png", header and (*header, 0)) for header in files]
    assert [len(part) for part in image_streams._parts(files, image_size)] == lengths


def test_files_of_unknown_size_are_shared_by_their_bytes(tmp_path):
    large = tmp_path / "large.jpg"
    large.write_bytes(bytes(2**20))
    files = [(os.fspath(large), None)] * 3 + [("gone.jpg", None), ("nul\0.jpg", None)]
    assert [len(part) for part in image_streams._parts(files, (4, 4))] == [1, 1, 1, 2]


def test_between_two_images_the_device_is_the_callers(paths):
    stream = stream_images([(path, None) for path in paths], (12, 10))
    # TensorFlow refuses to leave a scope while one that was entered later is open.
    with tf.device("CPU:0"):
        next(stream)
    assert len(list(stream)) == len(paths) - 1


@pytest.mark.parametrize("image_size", [None, (8, 8)])
def test_paths_are_asked_for_as_files_are_read(tmp_path, image_size):
    path, asked = tmp_path / "0.png", []
    Image.fromarray(np.zeros((8, 8, 3), "uint8")).save(path)

    def paths():
        for i in range(1000):
            asked.append(i)
            yield path

    batches = image_batches(paths(), (None, None, None, 3), image_size, batch_size=4)
    assert len(next(batches).pixels) == 4
    assert len(asked) < 500
    assert sum(len(batch.pixels) for batch in batches) == 996


def test_many_files_have_the_rows_and_reasons_of_few(paths):
    images = keras.Input((None, None, 3))
    x = keras.layers.GlobalAveragePooling2D()(images)
    model = keras.Model(images, keras.layers.Dense(2, activation="softmax")(x))
    detector = kd.Detector(model, class_names=("fake", "real"))
    many = kd.evaluation.predict_images(detector, paths, verbose=0)
    few = [
        row
        for start in range(0, len(paths), 50)
        for row in kd.evaluation.predict_images(detector, paths[start : start + 50], verbose=0)
    ]
    assert [row.path for row in many] == paths == [row.path for row in few]
    assert [row.error for row in many] == [row.error for row in few]
    assert sum(row.error is not None for row in many) > 10
    for one, two in zip(many, few, strict=True):
        if one.error is None:
            np.testing.assert_allclose(one.probabilities, two.probabilities, atol=1e-6)


def test_images_of_one_size_share_a_batch_wherever_they_lie(tmp_path):
    rng = np.random.default_rng(0)
    paths = []
    for i in range(40):
        path = tmp_path / f"{i}.png"
        side = (8, 12, 16, 9)[i % 4]
        Image.fromarray(rng.integers(0, 256, (side, side, 3)).astype("uint8")).save(path)
        paths.append(os.fspath(path))
    paths[13] = os.fspath(tmp_path / "none.png")
    images = keras.Input((None, None, 3))
    x = keras.layers.GlobalAveragePooling2D()(images)
    model = keras.Model(images, keras.layers.Dense(2, activation="softmax")(x))
    sizes = []

    class Counted(kd.Detector):
        def score_pixels(self, pixels):
            sizes.append(len(pixels))
            return super().score_pixels(pixels)

    detector = Counted(model, class_names=("fake", "real"))
    rows = kd.evaluation.predict_images(detector, paths, batch_size=8, verbose=0)
    assert sorted(sizes) == [1, 2, 2, 2, 8, 8, 8, 8]
    assert [row.path for row in rows] == paths
    assert [i for i, row in enumerate(rows) if row.error is not None] == [13]
    for path, row in zip(paths, rows, strict=True):
        if row.error is None:
            (score,) = detector.scores(kd.datasets.load_image(path)[None])
            np.testing.assert_allclose(row.probabilities[0], score, atol=1e-6)


@pytest.mark.parametrize(
    ("size", "image_size"),
    [
        ((50, 37), (16, 16)),
        ((20, 31), (45, 9)),
        ((300, 7), (21, 64)),
        ((900, 1100), (35, 60)),
        ((1, 1), (5, 3)),
    ],
)
def test_resizing_is_the_antialiased_triangle(size, image_size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype("uint8")
    expected = tf.image.resize(image, image_size, antialias=True) / 255
    np.testing.assert_allclose(resize_image(image, image_size), expected, atol=2e-6)
    assert resize_image(np.full((*size, 3), 255, "uint8"), image_size).max() == 1


@pytest.mark.parametrize("size", [(900, 1100), (3000, 20), (20, 3000)])
def test_no_product_is_large_enough_for_threads_of_its_own(size, monkeypatch):
    products, matmul = [], np.matmul

    def counted(a, b, out):
        products.append(a.shape[-2] * a.shape[-1] * b.shape[-1])
        return matmul(a, b, out=out)

    monkeypatch.setattr(np, "matmul", counted)
    resize_image(np.zeros((*size, 3), "uint8"), (300, 200))
    assert max(products) <= 2**18


def test_large_images_do_not_wait_for_each_other(paths, monkeypatch):
    events = []

    def read_pixels(path, *header):
        events.append("read")
        return np.zeros((2000, 1500, 3), "uint8")

    def resize_images(images, image_size):
        events.append(len(images))
        return np.zeros((len(images), *image_size, 3), "float32")

    monkeypatch.setattr(image_streams, "read_pixels", read_pixels)
    monkeypatch.setattr(image_streams, "resize_images", resize_images)
    images = image_streams._read([(path, (2000, 1500, 0)) for path in paths[:4]], (8, 8))
    assert [image.shape for image in images] == [(8, 8, 3)] * 4
    assert events == ["read", 1] * 4
