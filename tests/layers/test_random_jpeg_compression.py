import io

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from PIL import Image

import keras_deepfake as kd
from tests.compiled_calls import compiled

PILLOW_SUBSAMPLING = {"4:4:4": 0, "4:2:0": 2}


def natural_image(height, width, seed=0):
    """Noise whose amplitude falls as 1/f, as in photographs, on a smooth coloured face oval."""
    random = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    amplitude = 1 / np.maximum(frequency, 1 / max(height, width))
    noise = np.fft.fft2(random.normal(size=(3, height, width))) * amplitude
    noise = np.fft.ifft2(noise).real.transpose(1, 2, 0)
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    oval = 1 / (1 + np.exp(20 * (np.hypot(x / 0.6, y / 0.8) - 1)))
    image = oval[..., None] * [200, 150, 120] + (1 - oval[..., None]) * [60, 80, 110]
    return np.clip(np.round(image + 25 * noise / noise.std()), 0, 255).astype("uint8")


def pillow_jpeg(image, quality, chroma_subsampling):
    file = io.BytesIO()
    subsampling = PILLOW_SUBSAMPLING[chroma_subsampling]
    Image.fromarray(image).save(file, "JPEG", quality=quality, subsampling=subsampling)
    return np.asarray(Image.open(file))


def psnr(first, second):
    error = np.mean((np.asarray(first, "float64") - np.asarray(second, "float64")) ** 2)
    return 10 * np.log10(255**2 / max(error, 1e-12))


def compress(images, *arguments, **options):
    layer = kd.layers.RandomJPEGCompression(*arguments, value_range=(0, 255), **options)
    return call(layer, images) if images.ndim == 4 else call(layer, images[None])[0]


def call(layer, images):
    return ops.convert_to_numpy(compiled(layer, training=True)(images.astype("float32")))


class EachQuality(kd.layers.RandomJPEGCompression):
    """Compresses one image of the batch by each of the qualities, in place of drawing them."""

    qualities = (10, 30, 49, 50, 75, 95, 100)

    def draw_transformation(self, batch_size, seed):
        return self.backend.numpy.array(self.qualities, dtype="int32")


@pytest.mark.parametrize("size", [(64, 40), (45, 35)])
@pytest.mark.parametrize("chroma_subsampling", ["4:2:0", "4:4:4"])
def test_agrees_with_pillow(chroma_subsampling, size):
    image = natural_image(*size)
    layer = EachQuality(chroma_subsampling=chroma_subsampling, value_range=(0, 255))
    results = call(layer, np.stack([image] * len(layer.qualities)))
    for quality, compressed in zip(layer.qualities, results, strict=True):
        expected = pillow_jpeg(image, quality, chroma_subsampling)
        assert psnr(compressed, expected) > 42, quality
        # What fills up the last block of a row is the same.
        assert chroma_subsampling == "4:4:4" or np.abs(compressed - expected).max() <= 10
        # The agreement is not that of two images that are both nearly the original.
        assert quality > 95 or psnr(compressed, image) < psnr(compressed, expected) - 3


def test_agrees_with_pillow_on_an_image_that_was_compressed_before():
    once = pillow_jpeg(natural_image(64, 48), 75, "4:2:0")
    for quality in (50, 75):
        assert psnr(compress(once, quality), pillow_jpeg(once, quality, "4:2:0")) > 45


def test_one_quality_an_image():
    image = natural_image(32, 32)
    compressed = compress(np.stack([image] * 24), quality=(40, 43), seed=0)
    qualities = set()
    for result in compressed:
        agreement = [psnr(result, pillow_jpeg(image, q, "4:2:0")) for q in range(38, 46)]
        qualities.add(38 + int(np.argmax(agreement)))
    assert qualities == {40, 41, 42, 43}


def test_seed_decides():
    images = np.stack([natural_image(32, 32)] * 24)
    first, same, other = (compress(images, (10, 95), seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert np.any(first != other)
    layer = kd.layers.RandomJPEGCompression((10, 95), seed=1, value_range=(0, 255))
    batches = [ops.convert_to_numpy(layer(images.astype("float32"))) for _ in range(2)]
    assert np.any(batches[0] != batches[1])


def test_value_range_and_data_format():
    image = natural_image(45, 35)
    expected = compress(image[None], 60)
    unit = call(kd.layers.RandomJPEGCompression(60), image[None] / 255.0)
    np.testing.assert_allclose(255 * unit, expected, atol=1e-3)
    planes = image.transpose(2, 0, 1)[None] / 127.5 - 1
    layer = kd.layers.RandomJPEGCompression(60, value_range=(-1, 1), data_format="channels_first")
    planes = call(layer, planes)
    np.testing.assert_allclose(127.5 * (planes.transpose(0, 2, 3, 1) + 1), expected, atol=1e-3)
    levels = expected - np.round(expected)
    assert not levels.any()


def test_only_while_training():
    images = np.stack([natural_image(32, 32)] * 24) / np.float32(255)
    layer = kd.layers.RandomJPEGCompression(10)
    model = keras.Sequential([keras.Input((32, 32, 3)), layer])
    np.testing.assert_array_equal(model.predict(images, verbose=0), images)
    assert np.any(ops.convert_to_numpy(layer(images, training=True)) != images)


def test_gradient_passes_through_the_rounding():
    image = natural_image(16, 16)[None] / np.float32(255)
    offset = keras.layers.Dense(3, kernel_initializer="identity")
    compression = kd.layers.RandomJPEGCompression(50, seed=0)
    model = keras.Sequential([keras.Input((16, 16, 3)), offset, compression])
    model.compile(keras.optimizers.SGD(1.0), "mse")
    model.fit(image, image - 0.1, verbose=0)
    # Of the mean over pixels and channels: 2 * 0.1 / 3 a channel, were the layer the identity.
    np.testing.assert_allclose(offset.get_weights()[1], -0.2 / 3, rtol=0.2)


def test_maps_a_dataset_and_joins_in_labels():
    images = np.stack([natural_image(32, 32, seed) for seed in range(24)])
    layer = kd.layers.RandomJPEGCompression(40, value_range=(0, 255))
    expected = compress(images, 40)
    dataset = tf.data.Dataset.from_tensor_slices(images)
    single = np.stack([image.numpy() for image in dataset.map(layer)])
    assert psnr(single, expected) > 60
    pairs = tf.data.Dataset.from_tensors({"images": images, "labels": np.arange(24)}).map(layer)
    pair = next(iter(pairs))
    assert psnr(pair["images"].numpy(), expected) > 60
    np.testing.assert_array_equal(pair["labels"].numpy(), np.arange(24))


def test_quality_is_one_integer_of_any_kind_or_two():
    assert kd.layers.RandomJPEGCompression(np.int64(50)).quality == (50, 50)
    assert kd.layers.RandomDegradation(jpeg=50).jpeg == (50, 50)
    assert kd.layers.RandomDegradation(jpeg=np.array([30, 90])).jpeg == (30, 90)


def test_refuses_grey_images():
    with pytest.raises(ValueError, match="RGB"):
        kd.layers.RandomJPEGCompression()(np.zeros((1, 8, 8, 1), "float32"), training=True)
