"""Resizing in NumPy: products with bands of the triangle filter."""

import functools

import numpy as np

# Rows or columns of the outcome that one product makes: fewer products are of more zeros.
_BAND = 4
# Multiplications of one product: OpenBLAS would divide larger ones among threads of its own, which
# wait for each other where several threads resize.
_PRODUCT = 2**18


def resize_images(images, image_size):
    """Resizes images bilinearly, antialiased when shrinking, and scales them to [0, 1].

    The filter is the triangle of `tf.image.resize(antialias=True)`, in 0.3 to 0.6 of its time: a
    few rows of the outcome are products of weights with the rows of the image that they see.
    An image comes out the same in whatever batch it is.

    Args:
        images: Array `(images, height, width, 3)` with values in 0-255.
        image_size: `(height, width)`; `None` keeps their size.

    Returns:
        A float32 array `(images, *image_size, 3)`.
    """
    if image_size is None:
        return images / np.float32(255)
    count, height, width, channels = images.shape
    images = images.reshape(count, height, width * channels)
    rows = np.empty((count, image_size[0], width * channels), "float32")
    for i, start, weights in _row_bands(height, image_size[0]):
        for part in _parts(width * channels, weights.size):
            seen = images[:, start : start + weights.shape[1], part].astype("float32", copy=False)
            np.matmul(weights, seen, out=rows[:, i : i + len(weights), part])
    resized = np.empty((count, image_size[0], image_size[1] * channels), "float32")
    for i, start, weights in _column_bands(width, image_size[1], channels):
        seen = rows[..., start : start + len(weights)]
        for part in _parts(image_size[0], weights.size):
            np.matmul(seen[:, part], weights, out=resized[:, part, i : i + weights.shape[1]])
    resized /= 255
    # The weights sum to 1 but for rounding.
    return np.clip(resized, 0, 1, out=resized).reshape(count, *image_size, channels)


def resize_image(image, image_size):
    """Resizes one image, `(height, width, 3)`, as `resize_images` does."""
    return resize_images(image[None], image_size)[0]


def _parts(count, size):
    """Slices of so many vectors that a matrix of `size` values is multiplied with."""
    length = max(1, _PRODUCT // size)
    return [slice(start, start + length) for start in range(0, count, length)]


@functools.lru_cache(maxsize=64)
def _row_bands(size, target):
    """Tuples of a first target, the first source that it sees, and weights `(targets, sources)`."""
    starts, weights = _bands(size, target)
    firsts = range(0, target, _BAND)
    return [
        (first, start, band[: target - first])
        for first, start, band in zip(firsts, starts, weights, strict=True)
    ]


@functools.lru_cache(maxsize=64)
def _column_bands(size, target, channels):
    """The same for columns whose channels lie side by side, with weights `(sources, targets)`."""
    starts, weights = _bands(size, target)
    count, targets, sources = weights.shape
    of_channels = np.zeros((count, sources, channels, targets, channels), "float32")
    for channel in range(channels):
        of_channels[:, :, channel, :, channel] = weights.swapaxes(1, 2)
    of_channels = of_channels.reshape(count, sources * channels, targets * channels)
    firsts = range(0, target * channels, _BAND * channels)
    return [
        (first, start * channels, band[:, : target * channels - first])
        for first, start, band in zip(firsts, starts, of_channels, strict=True)
    ]


def _bands(size, target):
    """The first source of each band, and weights `(bands, targets, sources)`."""
    scale = size / target
    reach = max(scale, 1.0)
    targets = np.arange(-(-target // _BAND) * _BAND).reshape(-1, _BAND)
    centres = (np.minimum(targets, target - 1) + 0.5) * scale
    length = min(size, int((_BAND - 1) * scale + 2 * reach) + 2)
    starts = np.clip(np.floor(centres[:, 0] - reach), 0, size - length).astype(int)
    sources = starts[:, None] + np.arange(length) + 0.5
    weights = np.maximum(0, 1 - np.abs(sources[:, None] - centres[..., None]) / reach)
    weights /= weights.sum(axis=-1, keepdims=True)
    return starts.tolist(), weights.astype("float32")
