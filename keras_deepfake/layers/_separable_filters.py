"""Filters that differ from image to image, as one matrix for the rows and one for the columns.

`backend` is the `backend` attribute of the calling layer and `size` a side of the image; `sigma`,
`scale` and `shift` hold one number an image.
"""


def apply_filter(backend, planes, rows, columns):
    """Filters planes `(batch, channels, height, width)` by two `(batch, size, size)` matrices."""
    matmul, transpose = backend.numpy.matmul, backend.numpy.transpose
    return matmul(matmul(rows[:, None], planes), transpose(columns, (0, 2, 1))[:, None])


def gaussian_matrix(backend, size, sigma):
    """Gaussian blur of standard deviation `sigma` pixels, renormalised at the borders."""
    index = backend.numpy.arange(size, dtype="float32")
    sigma = backend.numpy.maximum(sigma, 1e-3)[:, None, None]
    weights = backend.numpy.exp(-0.5 * ((index[:, None] - index) / sigma) ** 2)
    return weights / backend.numpy.sum(weights, axis=-1, keepdims=True)


def down_up_matrix(backend, size, scale):
    """Antialiased linear reduction to `scale` times the size, and linear enlargement back."""
    ops = backend.numpy
    weights = _enlarging_weights(backend, size, _reduced_size(backend, size, scale))
    down = weights / ops.maximum(ops.sum(weights, axis=-2, keepdims=True), 1e-6)
    return ops.matmul(_normalise(backend, weights), ops.transpose(down, (0, 2, 1)))


def nearest_down_up_matrix(backend, size, scale):
    """The same with the nearest pixel instead of antialiasing, which leaves jagged edges."""
    ops = backend.numpy
    reduced = _reduced_size(backend, size, scale)
    index = ops.arange(size, dtype="float32")
    picked = ops.floor((index[:, None] + 0.5) * backend.cast(size, "float32") / reduced)
    down = backend.cast(picked == index, "float32")
    return ops.matmul(_normalise(backend, _enlarging_weights(backend, size, reduced)), down)


def shift_scale_matrix(backend, size, shift, scale):
    """Moves the content by `shift` times the size and enlarges it about the centre by `scale`."""
    ops = backend.numpy
    index = ops.arange(size, dtype="float32")
    last = backend.cast(size, "float32") - 1.0
    position = (index - last / 2.0 - (shift * (last + 1.0))[:, None]) / scale[:, None] + last / 2.0
    position = ops.clip(position, 0.0, last)[..., None]
    return ops.maximum(1.0 - ops.abs(position - index), 0.0)


def _reduced_size(backend, size, scale):
    ops = backend.numpy
    return ops.maximum(ops.round(scale * backend.cast(size, "float32")), 1.0)[:, None, None]


def _enlarging_weights(backend, size, reduced):
    """Linear weights, not normalised, from the first `reduced` of `size` pixels to all of them."""
    ops = backend.numpy
    index = ops.arange(size, dtype="float32")
    centre = (index[:, None] + 0.5) * reduced / backend.cast(size, "float32")
    weights = ops.maximum(1.0 - ops.abs(centre - (index + 0.5)), 0.0)
    return ops.where(index < reduced, weights, 0.0)


def _normalise(backend, weights):
    return weights / backend.numpy.sum(weights, axis=-1, keepdims=True)
