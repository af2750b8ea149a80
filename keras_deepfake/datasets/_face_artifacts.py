"""The artifacts of synthetic fakes, each of which alters one aspect of a drawn face."""

from types import SimpleNamespace

import numpy as np

from keras_deepfake.datasets._face_drawing import EARS_VISIBLE, bump, draw_face, smooth_noise

# What a face needs for an artifact to show; real faces are drawn under the same conditions.
NEEDS = {
    "irregular_pupils": {"min_iris": 2},
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
        The picture with the artifact, and the boolean map of the pixels in which it differs.
    """
    shape = picture.shape[1:]
    least = max(2, round(0.0008 * shape[0] * shape[1]))
    while True:  # an artifact may fall where little of it shows: try another of its kind
        if kind in _DESCRIPTION_EDITS:
            altered = SimpleNamespace(**{**vars(face), **_DESCRIPTION_EDITS[kind](face, rng)})
            fake, _ = draw_face(altered, *shape)
        else:
            fake = _PICTURE_EDITS[kind](face, rng, picture, regions)
        noticeable = np.abs(fake - picture).max(axis=0) > _NOTICEABLE
        if np.count_nonzero(noticeable) >= least:
            mask = _coherent(noticeable)
            return np.where(mask, fake, picture), mask


def _coherent(noticeable):
    """Close the gaps of a region and drop its specks."""
    reach = max(1, min(noticeable.shape) // 40)
    grown = _blur(noticeable[None].astype(np.float32), reach)[0]
    grown = grown > 0.3 * grown.max()
    return _blur(grown[None].astype(np.float32), 1)[0] > 0.4


def _irregular_pupils(face, rng):
    def lobes():
        around = rng.permutation([[-1, -1], [-1, 1], [1, -1], [1, 1]])[:3]
        centres = around * rng.uniform(0.45, 1.0, (3, 2))
        return tuple((x, y, rng.uniform(0.55, 0.95)) for x, y in centres)

    return {"pupils": (lobes(), lobes())}


def _misaligned_teeth(face, rng):
    return {
        "teeth": rng.uniform(0.035, 0.12, 6),
        "teeth_lengths": rng.permutation([0.3, 0.45, 0.65, 0.9, 1.15, 1.3]),
        "teeth_offset": rng.uniform(0.04, 0.07) * rng.choice((-1, 1)),
        "teeth_blur": rng.choice((0.0, 3.0)),
    }


def _asymmetric_ears(face, rng):
    side = rng.integers(2)
    sizes = rng.permutation((rng.uniform(0.6, 0.75), rng.uniform(1.2, 1.4)))
    down = (rng.uniform(-0.16, -0.08), rng.uniform(0.08, 0.16))
    ears = [(size, drop, face.ears[0][2]) for size, drop in zip(sizes, rng.permutation(down))]
    if face.ears[side][2] or rng.random() < 0.5:
        other = (("stud", "hoop", "drop")[rng.integers(3)], int(rng.integers(4)))
        earring = None if face.ears[side][2] and rng.random() < 0.5 else other
        ears[side] = (*ears[side][:2], earring)
    return {"ears": tuple(ears)}


def _disconnected_hair(face, rng):
    gaps = []
    for side in (-1, 1):
        x = side * rng.uniform(0.15, 0.75)
        y = -np.sqrt(1.0 - x * x)
        depth, width = rng.uniform(0.07, 0.1), rng.uniform(0.024, 0.036)
        gaps.append((x, y, rng.uniform(0.3, 0.55), depth, width, rng.uniform(-0.08, 0.08)))
    return {"hair_gaps": tuple(gaps)}


def _wrong_proportions(face, rng):
    changes = {}
    for part in rng.permutation(4)[:2]:
        sign = rng.choice((-1, 1))
        amount = rng.uniform(0.8, 1.2)
        if part == 0:
            changes["eye_x"] = face.eye_x + 0.08 * sign * amount
        elif part == 1:
            down = 0.12 * amount
            changes.update(eye_y=face.eye_y + down, brow_y=face.brow_y + down)
        elif part == 2:
            changes["mouth_width"] = face.mouth_width * (1.0 + 0.35 * sign * amount)
            changes["mouth_y"] = face.mouth_y + 0.07 * amount
        else:
            changes["nose_y"] = face.nose_y - 0.1 * amount
            changes["nose_width"] = face.nose_width * (1.0 + 0.4 * amount)
    return changes


def _background_blotches(face, rng, picture, regions):
    shape = picture.shape[1:]
    open_background = np.flatnonzero(regions.background > 0.9)
    fake = picture.copy()
    for _ in range(rng.integers(2, 5)):
        middle = open_background[rng.integers(open_background.size)]
        x0, y0 = regions.x.flat[middle], regions.y.flat[middle]
        ragged = 1.0 + 0.5 * smooth_noise(rng, shape, 12)
        x, y = regions.x - x0, regions.y - y0
        size = rng.uniform(0.2, 0.36) * ragged
        alpha = np.clip(4.0 * (1.0 - np.sqrt(x * x + 1.5 * y * y) / size), 0.0, 1.0)
        tint = picture.reshape(3, -1)[:, middle] + rng.choice((-1, 1)) * rng.uniform(0.1, 0.3, 3)
        blotch = tint.astype(np.float32)[:, None, None] + 0.22 * smooth_noise(rng, shape, 22)
        fake += 0.8 * alpha * regions.background * (np.clip(blotch, 0.0, 1.0) - fake)
    return fake


def _blurred_face(face, rng, picture, regions):
    reach = max(1, round(rng.uniform(0.02, 0.03) * min(picture.shape[1:])))
    within = np.clip(-8.0 * regions.head, 0.0, 1.0) * regions.skin
    return picture + within * (_blur(_blur(picture, reach), reach) - picture)


def _unnatural_skin(face, rng, picture, regions):
    tints = ((0.78, 1.08, 0.86), (1.05, 0.84, 1.22), (0.82, 1.0, 1.22), (1.16, 0.96, 0.55))
    tint = np.array(tints[rng.integers(len(tints))], np.float32)[:, None, None]
    x0, y0 = rng.uniform((-0.35, -0.3), (0.35, 0.6))
    patch = bump(regions.x, regions.y, x0, y0, *rng.uniform(0.4, 0.7, 2))
    patch = np.minimum(1.6 * patch, 1.0) * (0.85 + 0.3 * smooth_noise(rng, regions.x.shape, 9))
    return picture + rng.uniform(0.75, 1.0) * patch * regions.skin * picture * (tint - 1.0)


def _blurred_boundary(face, rng, picture, regions):
    reach = max(1, round(0.035 * min(picture.shape[1:])))
    band = np.clip(2.0 - np.abs(regions.head) * 10.0, 0.0, 1.0)
    return picture + band * (_blur(_blur(picture, reach), reach) - picture)


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


def _blur(maps, reach):
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
