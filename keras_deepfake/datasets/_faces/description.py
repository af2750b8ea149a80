"""Descriptions of synthetic faces, drawn at random.

Lengths are in face units: the head reaches from y = -1 (crown) to y = 1 (chin), x points right
and y down, and the origin lies between the eyes. Colours are red, green and blue in [0, 1].
"""

from types import SimpleNamespace

import numpy as np

_SKIN_TONES = np.array(
    [
        [0.97, 0.83, 0.74],
        [0.93, 0.75, 0.63],
        [0.86, 0.66, 0.52],
        [0.75, 0.54, 0.40],
        [0.60, 0.41, 0.29],
        [0.49, 0.33, 0.23],
        [0.40, 0.27, 0.20],
    ]
)
_HAIR_COLOURS = np.array(
    [
        [0.08, 0.07, 0.07],
        [0.17, 0.12, 0.09],
        [0.30, 0.19, 0.12],
        [0.40, 0.25, 0.15],
        [0.55, 0.39, 0.22],
        [0.76, 0.62, 0.40],
        [0.66, 0.65, 0.64],
    ]
)
# From dark to light, so that a dark skin can be given one of the first.
_IRIS_COLOURS = np.array(
    [
        [0.28, 0.17, 0.10],
        [0.42, 0.27, 0.14],
        [0.45, 0.42, 0.22],
        [0.35, 0.48, 0.36],
        [0.45, 0.52, 0.57],
        [0.32, 0.50, 0.68],
    ]
)
METALS = np.array([[0.92, 0.76, 0.36], [0.84, 0.85, 0.88], [0.85, 0.32, 0.36], [0.35, 0.60, 0.75]])

# Measures that vary from face to face, each drawn evenly from its range.
_RANGES = {
    # pose and camera
    "scale": (0.352, 0.374),
    "shift_x": (-0.012, 0.012),
    "shift_y": (-0.015, 0.005),
    "roll": (-0.04, 0.04),
    "yaw": (-0.07, 0.07),
    "pitch": (-0.02, 0.03),
    "softness": (1.0, 1.35),
    # light
    "light_x": (-0.38, 0.38),
    "light_y": (-0.55, -0.2),
    "ambient": (0.44, 0.62),
    "gloss": (0.06, 0.2),
    # head
    "head_width": (0.72, 0.79),
    "jaw_taper": (0.12, 0.26),
    "jaw_square": (0.0, 0.55),
    "cheekbones": (0.02, 0.06),
    "blush": (0.02, 0.09),
    "freckles": (0.0, 1.0),
    "mottling": (0.01, 0.03),
    # eyes and brows
    "eye_x": (0.32, 0.34),
    "eye_y": (0.0, 0.02),
    "eye_width": (0.175, 0.195),
    "eye_open": (0.105, 0.125),
    "eye_tilt": (-0.01, 0.03),
    "iris": (0.101, 0.109),
    "pupil": (0.042, 0.049),
    "gaze_x": (-0.02, 0.02),
    "brow_y": (-0.23, -0.19),
    "brow_arch": (0.02, 0.07),
    "brow_slant": (-0.03, 0.03),
    "brow_thickness": (0.018, 0.04),
    # nose and mouth
    "nose_y": (0.385, 0.415),
    "nose_width": (0.10, 0.135),
    "nose_height": (0.8, 1.25),
    "mouth_y": (0.63, 0.65),
    "mouth_width": (0.28, 0.32),
    "smile": (0.02, 0.07),
    "lip_upper": (0.045, 0.065),
    "lip_lower": (0.06, 0.085),
    "lip_red": (0.25, 0.8),
    "mouth_open": (0.072, 0.095),
    # ears, neck, hair
    "ear_y": (0.06, 0.12),
    "ear_size": (0.9, 1.1),
    "neck": (0.36, 0.46),
    "part": (-0.28, 0.28),
    "hair_wave": (0.0, 0.05),
    "hair_gloss": (0.1, 0.35),
}
# Hair styles: how far the hair stands off the crown and the sides, down to which y it hangs, its
# growth in width per unit of y, and the face's opening in it: half-width, top and arch.
_HAIR_STYLES = {
    "short": ((0.14, 0.24), (0.03, 0.07), 0.02, -0.10, (0.72, 0.80), (-0.72, -0.62), 0.50),
    "tied": ((0.10, 0.18), (0.01, 0.05), 0.05, -0.12, (0.68, 0.76), (-0.74, -0.66), 0.70),
    "curly": ((0.26, 0.40), (0.14, 0.24), 0.12, -0.16, (0.72, 0.80), (-0.62, -0.54), 0.50),
    "bob": ((0.14, 0.22), (0.12, 0.20), 0.85, 0.05, (0.62, 0.70), (-0.70, -0.42), 0.65),
    "long": ((0.13, 0.22), (0.10, 0.18), 2.00, 0.10, (0.60, 0.68), (-0.74, -0.60), 0.80),
}
EARS_VISIBLE = ("short", "tied")


def sample_face(rng, styles=tuple(_HAIR_STYLES), mouth_open=None, min_iris=0, volume=0.0):
    """Draw a face's description; the other arguments narrow the choice.

    Args:
        rng: `np.random.Generator`.
        styles: Hair styles to choose from.
        mouth_open: Whether the teeth show; `None` leaves it to chance.
        min_iris: Lowest index into the iris colours, which run from dark to light.
        volume: Least height of the hair above the crown.

    Returns:
        A `SimpleNamespace` that `draw_face` understands.
    """
    low, high = np.array(list(_RANGES.values())).T
    face = SimpleNamespace(**dict(zip(_RANGES, rng.uniform(low, high).tolist(), strict=True)))
    face.texture_seed = int(rng.integers(2**32))
    face.style = styles[rng.integers(len(styles))]
    manly = rng.random() * (1.0 if face.style in ("short", "curly") else 0.5)
    face.jaw_square += 0.25 * manly
    face.brow_thickness += 0.012 * manly
    face.lip_red *= 1.0 - 0.7 * manly
    face.freckles = max(0.0, face.freckles - 0.75)
    face.beard = max(0.0, rng.uniform(-0.5, 1.0)) * float(manly > 0.55)

    tone = rng.uniform(0, len(_SKIN_TONES) - 1)
    face.skin = _between(_SKIN_TONES, tone) * rng.uniform(0.97, 1.03, 3)
    # Dark skin goes with dark hair and eyes most of the time.
    lightest = 1.0 if rng.random() < 0.15 else 1.0 - 0.7 * tone / (len(_SKIN_TONES) - 1)
    hair = rng.random() * lightest * (len(_HAIR_COLOURS) - 1)
    face.hair = _between(_HAIR_COLOURS, hair) * rng.uniform(0.85, 1.15)
    iris = rng.random() * lightest * (len(_IRIS_COLOURS) - 1)
    face.iris_colour = _between(_IRIS_COLOURS, max(iris, min_iris)) * rng.uniform(0.9, 1.1)

    top, side, length, flare, opening, hairline, arch = _HAIR_STYLES[face.style]
    face.hair_top = max(rng.uniform(*top), volume)
    face.hair_side = rng.uniform(*side)
    face.hair_end = length
    face.hair_flare = flare
    face.opening = rng.uniform(*opening)
    face.hairline = rng.uniform(*hairline)
    face.hairline_arch = arch * rng.uniform(0.8, 1.2)
    face.hair_gaps = ()

    shows_teeth = rng.random() < 0.6
    if not (shows_teeth if mouth_open is None else mouth_open):
        face.mouth_open = 0.0
    face.teeth = np.full(6, 0.075)  # widths from left to right
    face.teeth_lengths = np.array([0.8, 0.9, 1.0, 1.0, 0.9, 0.8])
    face.teeth_offset = 0.0
    face.teeth_blur = 0.0
    # A pupil is the union of discs: centre and radius, in units of its own radius.
    face.pupils = (((0.0, 0.0, 1.0),),) * 2
    # Left and right ear: size, shift down, and earring (None, or its form and its metal).
    earring = None
    if rng.random() < 0.55 - 0.4 * manly:
        earring = sample_earring(rng)
    face.ears = ((1.0, 0.0, earring),) * 2

    face.clothes = rng.uniform(0.08, 0.85) + rng.uniform(-0.22, 0.22, 3)
    face.neckline = rng.uniform(0.10, 0.42)
    face.background = rng.uniform(0.2, 0.8, (2, 1)) + rng.uniform(-0.1, 0.1, (2, 3))
    face.background_slope = rng.uniform(-0.5, 0.5, 2).tolist()
    face.background_texture = rng.uniform(0.02, 0.08)
    face.discs = [
        (*rng.uniform([-1.3, -1.3, 0.12, -0.25], [1.3, 0.9, 0.4, 0.3]).tolist(),)
        for _ in range(rng.integers(4))
    ]
    face.bars = [
        (rng.uniform(-1.4, 1.4), rng.uniform(0.08, 0.35), rng.uniform(-0.18, 0.18))
        for _ in range(rng.integers(3))
    ]
    return face


def sample_earring(rng):
    """Draw an earring: its form and its metal."""
    return ("stud", "hoop", "drop")[rng.integers(3)], int(rng.integers(len(METALS)))


def _between(table, position):
    """Row of a table at a position that may lie between two rows."""
    below = min(int(position), len(table) - 2)
    return table[below] + (position - below) * (table[below + 1] - table[below])
