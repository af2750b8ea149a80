"""What a JPEG encoder and decoder do to the pixels, with libjpeg's rounding.

`backend` is the `backend` attribute of the calling layer; planes are `(batch, channels, height,
width)` on the 0-255 scale.
"""

import numpy as np

from keras_deepfake.layers._rounding import round_to_levels, straight_through
from keras_deepfake.layers.rgb_to_ycbcr import YCBCR_FROM_RGB

# ITU-T T.81, tables K.1 and K.2: the quantisation steps of luminance and chrominance at quality 50.
_LUMINANCE_STEPS = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMINANCE_STEPS = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99),
)

# ITU-R BT.601 at full range, as in JFIF.
_RGB_TO_YCBCR = YCBCR_FROM_RGB.tolist()
_YCBCR_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


def _dct():
    """The orthonormal DCT of 8 numbers."""
    k, j = np.mgrid[:8, :8]
    return np.cos(np.pi * (2 * j + 1) * k / 16) * np.where(k == 0, np.sqrt(1 / 8), 0.5)


# Of a flattened 8x8 block: of its rows, of its columns, and of both.
_ROWS_DCT = np.kron(np.eye(8), _dct())
_COLUMNS_DCT = np.kron(_dct(), np.eye(8))
_BLOCK_DCT = np.kron(_dct(), _dct())


def compress(backend, planes, quality, chroma_subsampling):
    """Compresses RGB planes at one integer `quality` an image, and decompresses them."""
    ops = backend.numpy
    height, width = backend.shape(planes)[2:]
    ycbcr = _mix_channels(backend, round_to_levels(backend, planes), _RGB_TO_YCBCR, 128.0)
    ycbcr = round_to_levels(backend, ycbcr)
    luma = _code(backend, ycbcr[:, :1], _LUMINANCE_STEPS, quality)
    chroma = ycbcr[:, 1:]
    if chroma_subsampling == "4:2:0":
        half = _code(backend, _halve(backend, chroma), _CHROMINANCE_STEPS, quality)
        rows, columns = (height + 1) // 2, (width + 1) // 2
        # Weights 3/4 and 1/4 of the nearest two, which libjpeg calls fancy upsampling.
        chroma = backend.image.resize(
            half[..., :rows, :columns],
            (2 * rows, 2 * columns),
            interpolation="bilinear",
            data_format="channels_first",
        )
        chroma = round_to_levels(backend, chroma)
    else:
        chroma = _code(backend, chroma, _CHROMINANCE_STEPS, quality)
    planes = [luma[..., :height, :width], chroma[..., :height, :width] - 128.0]
    rgb = _mix_channels(backend, ops.concatenate(planes, axis=1), _YCBCR_TO_RGB, 0.0)
    return round_to_levels(backend, rgb)


def _mix_channels(backend, planes, matrix, chroma_offset):
    first, second, third = (planes[:, i : i + 1] for i in range(3))
    mixed = [row[0] * first + row[1] * second + row[2] * third for row in matrix]
    mixed[1:] = [plane + chroma_offset for plane in mixed[1:]]
    return backend.numpy.concatenate(mixed, axis=1)


def _halve(backend, planes):
    ops = backend.numpy
    # libjpeg fills up the last blocks of a row before it halves them, and those of a column after.
    planes = _pad(backend, planes, 2, 16)
    even, odd = planes[:, :, 0::2], planes[:, :, 1::2]
    mean = (even[..., 0::2] + even[..., 1::2] + odd[..., 0::2] + odd[..., 1::2]) / 4.0
    # libjpeg rounds halves down and up in turn.
    bias = backend.cast(1 + ops.arange(backend.shape(mean)[3]) % 2, "float32") / 4.0
    return straight_through(backend, ops.floor(mean + bias), mean)


def _code(backend, planes, steps, quality):
    """Quantises the 8x8 DCT of `planes`; the result keeps the padding to whole blocks."""
    ops = backend.numpy
    planes = _pad(backend, planes, 8, 8)
    batch, channels, height, width = backend.shape(planes)
    rows, columns = channels * (height // 8), width // 8
    blocks = ops.reshape(planes - 128.0, (batch, rows, 8, columns, 8))
    blocks = ops.transpose(blocks, (0, 1, 3, 2, 4))
    blocks = ops.reshape(blocks, (batch, rows * columns, 64))

    # libjpeg's integer DCT rounds after each direction, which decides the many ties of an image
    # that was compressed before.
    rows_dct = backend.convert_to_tensor(_ROWS_DCT.T * 128**0.5, "float32")
    columns_dct = backend.convert_to_tensor(_COLUMNS_DCT.T / 2**0.5, "float32")
    coefficients = ops.matmul(blocks, rows_dct)
    coefficients = straight_through(backend, ops.round(coefficients), coefficients)
    coefficients = ops.matmul(coefficients, columns_dct)
    coefficients = straight_through(backend, ops.round(coefficients), coefficients)

    quality = quality[:, None, None]
    scale = ops.where(quality < 50, ops.floor_divide(5000, quality), 200 - 2 * quality)
    steps = backend.convert_to_tensor(np.ravel(steps), "int32")
    steps = ops.clip(ops.floor_divide(steps * scale + 50, 100), 1, 255)
    steps = backend.cast(steps, "float32")
    indices = coefficients / (8.0 * steps)
    # Half away from zero. Quotients are at least 1/2040 apart: 1e-4 only mends float division.
    nearest = ops.sign(indices) * ops.floor(ops.abs(indices) + 0.5001)
    coefficients = straight_through(backend, nearest, indices) * steps

    blocks = ops.matmul(coefficients, backend.convert_to_tensor(_BLOCK_DCT, "float32"))
    blocks = ops.reshape(blocks + 128.0, (batch, rows, columns, 8, 8))
    blocks = ops.transpose(blocks, (0, 1, 3, 2, 4))
    return round_to_levels(backend, ops.reshape(blocks, (batch, channels, height, width)))


def _pad(backend, planes, rows, columns):
    """Repeats the last row and column until there are a multiple of so many."""
    ops = backend.numpy
    for axis, multiple in ((2, rows), (3, columns)):
        size = backend.shape(planes)[axis]
        index = ops.minimum(ops.arange(size + -size % multiple), size - 1)
        planes = ops.take(planes, index, axis=axis)
    return planes
