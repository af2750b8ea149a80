"""What faces are drawn on and with.

Pixels are computed with additions, multiplications, divisions and square roots alone: unlike
`exp` or `sin` those give the same float32 on every processor.
"""

from copy import copy

import numpy as np


class Canvas:
    """The picture and, for each of its pixels, the face coordinates."""

    def __init__(self, face, height, width):
        side = min(height, width)
        self.pixels = face.scale * side
        self.soft = face.softness
        x0, y0 = 0.5 * width + face.shift_x * side, 0.5 * height + face.shift_y * side
        self.origin, self.roll, self.turn = (x0, y0), face.roll, (0.0, 0.0)
        upright_x = (np.arange(width, dtype=np.float32) + np.float32(0.5 - x0)) / self.pixels
        upright_y = (np.arange(height, dtype=np.float32) + np.float32(0.5 - y0)) / self.pixels
        self.upright_x = np.broadcast_to(upright_x.astype(np.float32), (height, width))
        self.upright_y = np.broadcast_to(upright_y.astype(np.float32)[:, None], (height, width))
        self.x = self.upright_x + np.float32(face.roll) * self.upright_y
        self.y = self.upright_y - np.float32(face.roll) * self.upright_x
        self.image = np.empty((3, height, width), np.float32)

        down = np.maximum(self.y, 0.0)
        down *= down
        half_width = face.head_width * (1.0 - face.jaw_taper * down)
        across = self.x / half_width
        along = self.y * self.y
        along += face.jaw_square * 0.5 * down * (along - 1.0)
        # 0 at the middle of the face, 1 on its outline.
        self.radius2 = across * across + along
        self.head = (np.sqrt(self.radius2) - 1.0) * 0.8

    def turned(self, face):
        """A view whose coordinates follow the turn of the head, the more the nearer its middle."""
        view = copy(self)
        view.turn = face.yaw, face.pitch
        front = np.maximum(1.0 - self.radius2, 0.0)
        view.x = self.x - np.float32(face.yaw) * front
        view.y = self.y - np.float32(face.pitch) * front
        return view

    def window(self, x, y, reach):
        """A view of the pixels about `(x, y)`."""
        front = max(1.0 - 1.8 * x * x - y * y, 0.0)
        x, y = x + self.turn[0] * front, y + self.turn[1] * front
        reach += 0.02
        middle = (x - self.roll * y, y + self.roll * x)
        columns, rows = (
            slice(*(max(round((m + step) * self.pixels + o), 0) for step in (-reach, reach)))
            for m, o in zip(middle, self.origin, strict=True)
        )
        view = copy(self)
        view.part = rows, columns
        view.x, view.y = self.x[view.part], self.y[view.part]
        view.image = self.image[:, rows, columns]
        return view

    def cover(self, distance, soft=1.0):
        """Share of each pixel that lies within a shape, from the signed distance to its edge."""
        share = 0.5 - distance * (self.pixels / (soft * self.soft))
        return np.minimum(np.maximum(share, 0.0, out=share), 1.0, out=share)

    def paint(self, alpha, colour):
        """Lay a colour, one for all pixels or one for each, over the picture."""
        colour = np.asarray(colour, np.float32)
        if colour.ndim == 1:
            colour = colour[:, None, None]
        self.image += alpha * (colour - self.image)


def fade(distance, width):
    """Share of a shape with a soft edge, `width` face units wide."""
    return np.minimum(np.maximum(0.5 - distance * (1.0 / width), 0.0), 1.0)


def column(colour):
    return np.asarray(colour, np.float32)[:, None, None]


def smooth_noise(rng, shape, cells):
    """Noise in [-1, 1] that changes smoothly over `cells` cells of the shorter side."""
    cell = min(shape) / cells
    grid = rng.random((int(shape[0] / cell) + 2, int(shape[1] / cell) + 2), dtype=np.float32)
    for axis, size in enumerate(shape):
        at = np.arange(size, dtype=np.float32) / np.float32(cell)
        node = at.astype(np.intp)
        at -= node
        at *= at * (3.0 - 2.0 * at)
        before = np.take(grid, node, axis=axis)
        grid = np.take(grid, node + 1, axis=axis) - before
        grid *= at if axis else at[:, None]
        grid += before
    grid *= 2.0
    grid -= 1.0
    return grid


def bump(x, y, x0, y0, rx, ry):
    """A round bump of height 1 and finite reach, close to a Gaussian of deviation `r / 1.4`."""
    u, v = (x - x0) * (1.0 / rx), (y - y0) * (1.0 / ry)
    rest = np.maximum(1.0 - 0.25 * (u * u + v * v), 0.0)
    rest *= rest
    return rest * rest


def lookup(grid, rows, columns):
    """Values of a grid between its nodes, with smooth transitions."""
    rows, columns = np.broadcast_arrays(rows, columns)
    i, j = rows.astype(np.intp), columns.astype(np.intp)
    s, t = rows - i.astype(np.float32), columns - j.astype(np.float32)
    s, t = s * s * (3.0 - 2.0 * s), t * t * (3.0 - 2.0 * t)
    flat = grid.ravel()
    at = np.minimum(np.maximum(i, 0), grid.shape[0] - 2) * grid.shape[1]
    at += np.minimum(np.maximum(j, 0), grid.shape[1] - 2)
    width = grid.shape[1]
    top = flat[at] + t * (flat[at + 1] - flat[at])
    bottom = flat[at + width] + t * (flat[at + width + 1] - flat[at + width])
    return top + s * (bottom - top)
