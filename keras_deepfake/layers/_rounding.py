"""Rounding whose gradient is that of the identity (straight-through)."""


def straight_through(backend, values, x):
    """The numbers `values` with the gradient of `x`."""
    # `x - x` is exactly zero, so the values stay exact.
    return backend.stop_gradient(values) + (x - backend.stop_gradient(x))


def round_to_levels(backend, x):
    """The nearest of the 256 levels of an 8-bit image."""
    levels = straight_through(backend, backend.numpy.round(x), x)
    return backend.numpy.clip(levels, 0.0, 255.0)
