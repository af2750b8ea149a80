"""The artifacts of synthetic fakes, each of which alters one aspect of a drawn face."""

import math
from types import SimpleNamespace

import numpy as np

from keras_deepfake.datasets._faces.canvas import bump, column, smooth_noise
from keras_deepfake.datasets._faces.description import EARS_VISIBLE, sample_earring
from keras_deepfake.datasets._faces.drawing import draw_face

# What a face needs for an artifact to show; real faces are drawn under the same conditions.
NEEDS = {
    "irregular_pupils": {"min_iris": 3},
    "misaligned_teeth": {"mouth_open": True},
    "asymmetric_ears": {"styles": EARS_VISIBLE},
    "background_blotches": {},
    "disconnected_hair": {"volume": 0.2},
    "blurred_face": {},
    "unnatural_skin": {},
    "wrong_proportions": {},
    "blurred_boundary": {},
}
# A difference of this much, of the range from black to white, is noticeable.
_NOTICEABLE = 0.04


def draw_fake(face, kind, rng, picture, regions):
    """Draw a face once more, with an artifact.

    Args:
        face: The face's description.
        kind: Name of the artifact.
        rng: `np.random.Generator` that the artifact is drawn from.
        picture: The face without the artifact, as `draw_face` returned it.
        regions: Its maps.

    Returns:
        The picture with the artifact, and the boolean map of the pixels in which it may differ.
    """
    shape = picture.shape[1:]
    least = max(2, round(0.0008 * shape[0] * shape[1]))
    threshold = _NOTICEABLE
    while True:
        if kind in _DESCRIPTION_EDITS:
            altered = SimpleNamespace(**{**vars(face), **_DESCRIPTION_EDITS[kind](face, rng)})
            fake, _ = draw_face(altered, *shape)
        else:
            fake = _PICTURE_EDITS[kind](face, rng, picture, regions)
        noticeable = np.abs(fake - picture).max(axis=0) > threshold
        if np.count_nonzero(noticeable) >= least:
            mask = _coherent(noticeable)
            return np.where(mask, fake, picture), mask
        # It fell where little of it shows, as on black before black: draw another, ask for less.
        threshold *= 0.8


def _coherent(noticeable):
    """Drop the specks of a region, close its gaps and grow it by a pixel."""
    reach = max(1, min(noticeable.shape) // 16)
    one_pixel = 0.5 / (2 * reach + 1) ** 2
    share = _mean_filter(noticeable[None], reach)[0]
    region = noticeable & (share > 0.1 * share.max())
    # The margin keeps a gap between the region and the picture's edge from being closed.
    region = np.pad(region, reach)[None]
    region = _mean_filter(region, reach) > one_pixel
    region = _mean_filter(region, reach) > 1.0 - one_pixel
    return (_mean_filter(region, 1) > 0.05)[0, reach:-reach, reach:-reach]


def _irregular_pupils(face, rng):
    def lobes():
        corners = rng.permutation([[-1, -1], [-1, 1], [1, -1], [1, 1]])[:3]
        centres = (corners * rng.uniform(0.6, 1.2, (3, 2))).tolist()
        return tuple((x, y, rng.uniform(0.8, 1.15)) for x, y in centres)

    return {"pupils": (lobes(), lobes())}


def _misaligned_teeth(face, rng):
    return {
        "teeth": rng.uniform(0.04, 0.11, 6),
        "teeth_lengths": rng.permutation([0.4, 0.55, 0.7, 0.95, 1.15, 1.3]),
        "teeth_offset": _either(rng) * rng.uniform(0.04, 0.07),
        "teeth_blur": (0.0, 3.0)[rng.integers(2)],
    }


def _asymmetric_ears(face, rng):
    larger, lower, side = rng.integers(2, size=3)
    earring = face.ears[0][2]
    ears = [
        (
            rng.uniform(1.2, 1.4) if ear == larger else rng.uniform(0.6, 0.75),
            rng.uniform(0.08, 0.16) * (1 if ear == lower else -1),
            earring,
        )
        for ear in (0, 1)
    ]
    if rng.random() < 0.6:
        ears[side] = (*ears[side][:2], None if earring else sample_earring(rng))
    return {"ears": tuple(ears)}


def _disconnected_hair(face, rng):
    gaps = []
    for side in rng.permutation([-1, -1, 1, 1])[:3].tolist():
        x = side * rng.uniform(0.1, 0.85)
        y = -math.sqrt(1.0 - x * x)
        depth, width = rng.uniform(0.05, 0.1), rng.uniform(0.026, 0.042)
        gaps.append((x, y, rng.uniform(0.2, 0.35), depth, width, rng.uniform(-0.12, 0.12)))
    return {"hair_gaps": tuple(gaps)}


def _wrong_proportions(face, rng):
    changes = {}
    for part in rng.permutation(["gaze", "forehead", "mouth", "nose"])[:2]:
        amount = rng.uniform(0.7, 1.05)
        if part == "gaze":
            changes["eye_x"] = face.eye_x + 0.08 * _either(rng) * amount
        elif part == "forehead":
            down = 0.12 * amount
            changes.update(eye_y=face.eye_y + down, brow_y=face.brow_y + down)
        elif part == "mouth":
            changes["mouth_width"] = face.mouth_width * (1.0 + 0.35 * _either(rng) * amount)
            changes["mouth_y"] = face.mouth_y + 0.07 * amount
        else:
            changes["nose_y"] = face.nose_y - 0.1 * amount
            changes["nose_width"] = face.nose_width * (1.0 + 0.4 * amount)
    return changes


def _background_blotches(face, rng, picture, regions):
    shape = picture.shape[1:]
    visible = np.flatnonzero(regions.background > 0.9)
    fake = picture.copy()
    for _ in range(rng.integers(3, 6)):
        middle = visible[rng.integers(visible.size)]
        x = regions.x - regions.x.flat[middle]
        y = regions.y - regions.y.flat[middle]
        size = rng.uniform(0.26, 0.4) * (1.0 + 0.5 * smooth_noise(rng, shape, 12))
        alpha = np.clip(4.0 * (1.0 - np.sqrt(x * x + 1.5 * y * y) / size), 0.0, 1.0)
        tint = picture.reshape(3, -1)[:, middle] + _either(rng) * rng.uniform(0.05, 0.25, 3)
        blotch = np.clip(column(tint) + 0.3 * smooth_noise(rng, shape, 30), 0.0, 1.0)
        fake += 0.8 * alpha * regions.background * (blotch - fake)
    return fake


def _blurred_face(face, rng, picture, regions):
    within = np.clip(-8.0 * regions.head, 0.0, 1.0) * regions.skin
    blurred = _blurred(picture, rng.uniform(0.015, 0.019))
    return picture + within * (blurred - picture)


def _unnatural_skin(face, rng, picture, regions):
    tints = ((-0.11, 0.06, -0.07), (-0.02, -0.06, 0.14), (-0.1, 0.01, 0.08))
    tint = column(tints[rng.integers(len(tints))])
    x0, y0 = rng.uniform((-0.25, -0.2), (0.25, 0.4)).tolist()
    patch = bump(regions.x, regions.y, x0, y0, *rng.uniform(0.6, 1.0, 2).tolist())
    patch = np.minimum(1.6 * patch, 1.0) * (0.8 + 0.4 * smooth_noise(rng, regions.x.shape, 9))
    # The darker the skin, the smaller a change shows.
    lightness = 0.4 + 0.65 * picture.mean(axis=0)
    return picture + rng.uniform(0.8, 1.1) * patch * regions.skin * lightness * tint


def _blurred_boundary(face, rng, picture, regions):
    band = np.clip(2.0 - 10.0 * np.abs(regions.head), 0.0, 1.0)
    return picture + band * (_blurred(picture, rng.uniform(0.026, 0.032)) - picture)


_DESCRIPTION_EDITS = {
    "irregular_pupils": _irregular_pupils,
    "misaligned_teeth": _misaligned_teeth,
    "asymmetric_ears": _asymmetric_ears,
    "disconnected_hair": _disconnected_hair,
    "wrong_proportions": _wrong_proportions,
}
_PICTURE_EDITS = {
    "background_blotches": _background_blotches,
    "blurred_face": _blurred_face,
    "unnatural_skin": _unnatural_skin,
    "blurred_boundary": _blurred_boundary,
}


def _either(rng):
    return (-1, 1)[rng.integers(2)]


def _blurred(picture, deviation):
    """Blur by about a Gaussian whose deviation is this fraction of the shorter side."""
    # Two passes of a box of 2 r + 1 pixels have the variance 2 r (r + 1) / 3.
    variance = (deviation * min(picture.shape[1:])) ** 2
    reach = math.ceil(math.sqrt(1.5 * variance + 0.25) - 0.5)
    blurred = _mean_filter(_mean_filter(picture, reach), reach)
    # The box of whole pixels blurs too much; mixing with the picture makes the variance right.
    return picture + (1.5 * variance / (reach * (reach + 1))) * (blurred - picture)


def _mean_filter(maps, reach):
    """Mean over the square of `2 * reach + 1` pixels about each pixel."""
    for axis in (1, 2):
        padding = [(0, 0)] * 3
        padding[axis] = (reach + 1, reach)
        total = np.cumsum(np.pad(maps, padding, mode="edge"), axis=axis, dtype=np.float32)
        window = 2 * reach + 1
        size = maps.shape[axis]
        after = np.take(total, range(window, window + size), axis=axis)
        before = np.take(total, range(size), axis=axis)
        maps = (after - before) / np.float32(window)
    return maps
