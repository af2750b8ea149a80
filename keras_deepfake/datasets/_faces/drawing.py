"""Draws one synthetic face from its description."""

import math
from types import SimpleNamespace

import numpy as np

from keras_deepfake.datasets._faces.canvas import Canvas, bump, column, fade, lookup, smooth_noise
from keras_deepfake.datasets._faces.description import EARS_VISIBLE, METALS


def draw_face(face, height, width):
    """Draw a described face.

    Args:
        face: What `sample_face` returned.
        height: Picture's height in pixels.
        width: Picture's width in pixels.

    Returns:
        The picture, float32 of shape `(3, height, width)`, and a `SimpleNamespace` of float32
        maps of shape `(height, width)`: `x`, `y` (face coordinates), `head` (signed distance to
        the head's outline), `skin` (share of the pixel that shows the face) and `background`.
    """
    rng = np.random.default_rng(face.texture_seed)
    canvas = Canvas(face, height, width)
    background = np.ones((height, width), np.float32)
    _draw_background(canvas, face, rng)

    hair = _Hair(canvas, face, rng)
    if face.hair_end > 0.5:
        canvas.paint(hair.outer, hair.colour * 0.55)
        background *= 1.0 - hair.outer
    background *= 1.0 - _draw_body(canvas, face, rng)
    for side in (0, 1):
        background *= 1.0 - _draw_ear(canvas, face, side)

    skin = canvas.cover(canvas.head)
    canvas.paint(skin, _lit_skin(canvas, face, hair, rng))
    background *= 1.0 - skin
    features = canvas.turned(face)
    for side in (0, 1):
        _draw_eye(features, face, side)
        _draw_brow(features, face, side)
    _draw_nostrils(features, face)
    _draw_mouth(features, face)

    canvas.paint(hair.front, hair.colour)
    background *= 1.0 - hair.front
    skin *= 1.0 - hair.front
    for side in (0, 1):
        background *= 1.0 - _draw_earring(canvas, face, side)
    regions = SimpleNamespace(
        x=canvas.x, y=canvas.y, head=canvas.head, skin=skin, background=background
    )
    return canvas.image, regions


class _Hair:
    """Where the hair is, as a whole (`outer`) and in front of the face, and its colour."""

    def __init__(self, canvas, face, rng):
        x, y = canvas.x, canvas.y
        shape = x.shape
        wave = smooth_noise(rng, shape, 7)
        fall = np.maximum(y + 0.15, 0.0)
        half_width = (face.head_width + face.hair_side) * (1.0 + face.hair_flare * fall)
        up = np.minimum(y + 0.15, 0.0) * (1.0 / (0.85 + face.hair_top))
        across = x / half_width
        curly = face.style == "curly"
        edge = (np.sqrt(across * across + up * up) - 1.0) * 0.85
        edge += (0.05 if curly else face.hair_wave) * wave
        end = y - face.hair_end - 0.1 * wave
        outer = canvas.cover(np.maximum(edge, end), soft=2.0 if curly else 1.5)
        for gap in face.hair_gaps:
            outer = outer * (1.0 - _gap(canvas, edge + 0.05 * wave, *gap))

        strands, relief = self._texture(canvas, face, rng, curly)
        fringe = x - face.part
        top = face.hairline + face.hairline_arch * fringe * fringe
        top = top + 0.05 * relief
        sides = np.abs(x) - face.opening - 0.03 * relief
        if face.hair_end < 0.5:
            sides = sides - 0.25 * np.maximum(y + 0.25, 0.0)
        outside = np.maximum(top - y, sides)
        if face.hair_end < 0.5:
            outside = np.maximum(outside, canvas.head + 0.04)
        opening = canvas.cover(outside, soft=2.0)
        self.outer = outer
        self.front = outer * (1.0 - opening)
        # The forehead lies in the shadow of the hair.
        self.shadow = fade(top + 0.08 - y, 0.2)

        shine_y = y + 0.78 - 0.35 * x * x - face.light_x * x * 0.3
        shine = np.maximum(1.0 - 9.0 * shine_y * shine_y, 0.0)
        shade = 0.86 + 0.3 * strands - 0.22 * np.maximum(across * across - 0.55, 0.0)
        shade += 0.18 * (face.light_x * x + face.light_y * y)
        shine = face.hair_gloss * shine * shine * (0.6 + 0.6 * strands)
        self.colour = column(face.hair) * shade + shine * column(0.35 + 0.5 * face.hair)

    @staticmethod
    def _texture(canvas, face, rng, curly):
        shape = canvas.x.shape
        if curly:
            fine = smooth_noise(rng, shape, 34)
            coarse = smooth_noise(rng, shape, 15)
            return 0.6 * coarse + 0.6 * fine, coarse
        # Strands leave the parting sideways and bend until they hang.
        across = (canvas.x - face.part) / np.sqrt(np.maximum(canvas.y + 1.35, 0.0) + 0.15) + 4.0
        along = canvas.y + 3.0
        grid = rng.random((24, 128), dtype=np.float32)
        coarse = lookup(grid, along * 1.6, across * 9.0)
        fine = lookup(grid, along * 2.5 + 3.0, across * 15.0)
        return coarse + fine - 1.0, 2.0 * coarse - 1.0


def _gap(canvas, edge, toward_x, toward_y, spread, depth, width, slant):
    """A break in the hair along its outline, on the side that faces `toward`."""
    x, y = canvas.x, canvas.y + 0.15
    across = x * toward_y - y * toward_x
    taper = 1.0 - across * across * (1.0 / spread**2)
    distance = np.abs(edge + depth + slant * across) - width * taper
    return canvas.cover(np.maximum(distance, -x * toward_x - y * toward_y))


def _draw_background(canvas, face, rng):
    x, y = canvas.upright_x, canvas.upright_y
    first, second = (column(colour) for colour in face.background)
    slope_x, slope_y = face.background_slope
    mix = np.clip(0.5 + slope_x * x + slope_y * y, 0.0, 1.0)
    mottled = smooth_noise(rng, x.shape, 4) + 0.5 * smooth_noise(rng, x.shape, 9)
    canvas.image[:] = first + mix * (second - first) + face.background_texture * mottled
    for left, width, light in face.bars:
        canvas.image += light * fade(np.abs(x - left) - width, 0.12)
    for x0, y0, radius, light in face.discs:
        distance = np.sqrt((x - x0) * (x - x0) + (y - y0) * (y - y0)) - radius
        canvas.image += light * fade(distance, 0.08)
    np.clip(canvas.image, 0.03, 0.97, out=canvas.image)


def _draw_body(canvas, face, rng):
    """Neck and clothes; returns the share of each pixel that they cover."""
    x, y = canvas.upright_x, canvas.upright_y
    out = np.abs(x)
    neck_width = face.neck + 0.5 * np.maximum(y - 1.05, 0.0)
    neck = canvas.cover(np.maximum(out - neck_width, 0.4 - y))
    shoulders = 1.12 + 0.34 * out * out
    torso = canvas.cover(shoulders - y)
    collar = 1.13 + face.neckline - 1.4 * out * out
    clothes = torso * (1.0 - canvas.cover(np.maximum(y - collar, out - 0.62)))
    body = np.maximum(neck, torso)

    # The chin shades the neck, which is round.
    light = 0.95 - 0.42 * fade(canvas.head - 0.22, 0.3)
    light = light - 0.5 * out * out + 0.25 * face.light_x * x
    canvas.paint(body, column(face.skin) * light * column((1.0, 0.95, 0.92)))
    folds = smooth_noise(rng, x.shape, 9)
    light = 0.95 + 0.1 * folds + 0.3 * face.light_x * x - 0.25 * np.maximum(out - 0.7, 0.0)
    seam = 1.0 - 0.3 * canvas.cover(np.abs(y - collar - 0.03) - 0.015)
    canvas.paint(clothes, column(np.clip(face.clothes, 0.05, 0.92)) * (light * seam))
    return body


def _ear(face, side):
    """Centre, half-width and half-height of an ear, and the sign of its side."""
    sign = 2 * side - 1
    size, down, _ = face.ears[side]
    size *= face.ear_size
    # The far ear hides behind a turned head.
    x = sign * (face.head_width + 0.035) - 0.5 * face.yaw
    return x, face.ear_y + down, 0.105 * size, 0.23 * size, sign


def _draw_ear(canvas, face, side):
    x0, y0, rx, ry, sign = _ear(face, side)
    view = canvas.window(x0, y0, ry + 0.1)
    v = (view.y - y0) * (1.0 / ry)
    u = (view.x - x0 - sign * 0.12 * rx * (-3.0 * v)) * (1.0 / (rx * (1.0 - 0.18 * v)))
    radius = np.sqrt(u * u + v * v)
    ear = view.cover((radius - 1.0) * rx * 1.2)
    light = 0.86 + 0.5 * face.light_x * sign * rx - 0.12 * v
    # The rim is light, the hollow within it dark.
    hollow = np.maximum(1.0 - 1.9 * ((u + 0.25 * sign) ** 2 + (v + 0.1) ** 2), 0.0)
    view.paint(ear, column(face.skin * (1.0, 0.93, 0.9)) * (light - 0.42 * hollow))
    covered = np.zeros_like(canvas.x)
    covered[view.part] = ear
    return covered


def _draw_earring(canvas, face, side):
    covered = np.zeros_like(canvas.x)
    earring = face.ears[side][2]
    if earring is None or face.style not in EARS_VISIBLE:
        return covered
    form, metal = earring
    x0, y0, rx, ry, sign = _ear(face, side)
    x0, y0 = x0 - 0.35 * sign * rx, y0 + 0.92 * ry
    view = canvas.window(x0, y0 + 0.12, 0.3)
    x, y = view.x - x0, view.y - y0
    if form == "stud":
        distance = np.sqrt(x * x + y * y) - 0.045
    elif form == "hoop":
        y = y - 0.1
        distance = np.abs(np.sqrt(x * x * 1.3 + y * y) - 0.1) - 0.022
    else:
        u, v = x / 0.05, (y - 0.13) / 0.1
        drop = (np.sqrt(u * u + v * v) - 1.0) * 0.06
        distance = np.minimum(drop, np.maximum(np.abs(x) - 0.012, np.abs(y - 0.03) - 0.06))
    alpha = view.cover(distance)
    light = 0.75 + 6.0 * (face.light_x * x + face.light_y * (y - 0.05))
    view.paint(alpha, column(METALS[metal]) * np.clip(light, 0.45, 1.25))
    covered[view.part] = alpha
    return covered


def _lit_skin(canvas, face, hair, rng):
    """Colour of the face's skin: a relief under a lamp, with cast shadows, blush and pores."""
    view = canvas.turned(face)
    x, y = view.x, view.y
    nose = 0.1 * face.nose_height
    nose_y = face.nose_y
    relief = 0.52 * (1.0 - canvas.radius2)
    relief += 0.55 * nose * bump(x, y, 0.0, nose_y - 0.28, 0.075, 0.2)
    relief += nose * bump(x, y, 0.0, nose_y - 0.06, 0.085, 0.09)
    relief += 0.05 * bump(x, y, 0.0, face.mouth_y, 0.25, 0.16)
    relief += 0.05 * bump(x, y, 0.0, 0.89, 0.16, 0.09)
    relief -= 0.03 * bump(x, y, 0.0, face.mouth_y + 0.15, 0.15, 0.05)
    out = np.abs(x)
    relief += 0.35 * nose * bump(out, y, face.nose_width * 0.8, nose_y - 0.02, 0.045, 0.05)
    relief -= 0.055 * bump(out, y, face.eye_x - 0.02, face.eye_y - 0.02, 0.15, 0.1)
    relief += 0.03 * bump(out, y, face.eye_x, face.brow_y, 0.18, 0.06)
    relief += face.cheekbones * bump(out, y, 0.44, 0.24, 0.2, 0.15)

    slope_y, slope_x = np.gradient(relief, np.float32(1.0 / canvas.pixels))
    length = 1.0 / np.sqrt(1.0 + slope_x * slope_x + slope_y * slope_y)
    lamp = math.sqrt(1.0 - face.light_x**2 - 0.5 * face.light_y**2)
    facing = (lamp - face.light_x * slope_x - face.light_y * slope_y) * length
    facing = np.maximum(facing, 0.0)
    shade = face.ambient + (1.0 - face.ambient) * facing
    # Cast by the nose, away from the lamp, and by the hair.
    shade -= 0.16 * bump(x, y, -0.16 * face.light_x, nose_y + 0.09, 0.13, 0.055)
    shade -= 0.18 * hair.shadow
    shade -= 0.12 * bump(out, y, face.eye_x - 0.1, face.eye_y - 0.07, 0.1, 0.07)
    pores = rng.standard_normal(x.shape, dtype=np.float32)
    shade += face.mottling * (smooth_noise(rng, x.shape, 22) + 0.5 * pores)

    shine = np.maximum(facing * 1.04 - 0.06, 0.0)
    shine *= shine
    shine *= shine
    shine *= shine
    red = face.blush * bump(out, y, 0.42, 0.3, 0.2, 0.17)
    red += 0.6 * face.blush * bump(x, y, 0.0, nose_y, 0.12, 0.1)
    tone = column(face.skin)
    # Light that leaves the skin again turns its shadows warm.
    warm = shade * (1.0 - shade)
    colour = tone * (shade + column((0.22, 0.02, -0.08)) * warm)
    colour += column((0.3, -0.7, -0.5)) * (red * tone[0] * tone[0])
    colour += face.gloss * shine
    if face.freckles:
        spots = np.maximum(smooth_noise(rng, x.shape, 30) - 0.35, 0.0)
        spots *= bump(x, y, 0.0, 0.25, 0.5, 0.18)
        colour -= column((0.5, 0.8, 0.8)) * (face.freckles * 1.2 * spots) * tone[0]
    if face.beard:
        # Below a line from the ears round the cheeks to the nose.
        cheeks = 0.64 - np.sqrt(1.6 * x * x + (y - 0.05) * (y - 0.05))
        lip = np.maximum(np.abs(y - face.mouth_y + 0.11) - 0.04, out - 0.26)
        jaw = np.maximum(fade(cheeks, 0.22) * fade(0.12 - y, 0.3), fade(lip, 0.12))
        alpha = face.beard * jaw * (0.75 + 0.04 * pores)
        colour += alpha * (column(face.hair) * (0.5 + 0.5 * shade) - colour)
    return colour


def _draw_eye(canvas, face, side):
    sign = 2 * side - 1
    x0 = sign * face.eye_x
    view = canvas.window(x0, face.eye_y, 0.26)
    t = (view.x - x0) * (sign / face.eye_width)  # -1 at the inner corner, 1 at the outer
    y = view.y - face.eye_y + face.eye_tilt * t
    arch = np.maximum(1.0 - t * t, 0.0)
    upper = -face.eye_open * arch * (1.08 - 0.12 * t)
    lower = 0.62 * face.eye_open * arch * (1.0 + 0.15 * t)
    within = (np.abs(t) - 1.0) * face.eye_width
    eye = view.cover(np.maximum(np.maximum(upper - y, y - lower), within))
    white = 0.86 - 0.16 * t * t - 0.3 * fade(y - upper - 0.035, 0.08)
    view.paint(eye, white * column((1.0, 0.97, 0.95)))

    x = view.x - x0 - face.gaze_x
    y_iris = view.y - face.eye_y + 0.018
    radius = np.sqrt(x * x + y_iris * y_iris)
    ring = radius * (1.0 / face.iris)
    tint = 1.25 - 0.75 * ring * ring * ring - np.float32(0.15) * (y_iris < -0.03)
    view.paint(eye * view.cover(radius - face.iris), column(face.iris_colour) * tint)
    pupil = np.full_like(x, np.inf)
    for dx, dy, size in face.pupils[side]:
        dx, dy = x - dx * face.pupil, y_iris - dy * face.pupil
        pupil = np.minimum(pupil, np.sqrt(dx * dx + dy * dy) - size * face.pupil)
    view.paint(eye * view.cover(pupil), (0.03, 0.025, 0.025))
    x_light, y_light = x - 0.09 * face.light_x, y_iris + 0.035
    light = np.sqrt(x_light * x_light + y_light * y_light) - 0.024
    view.paint(0.92 * eye * view.cover(light), (1.0, 1.0, 1.0))

    lid = face.skin * 0.55
    inside = view.cover(within - 0.02, soft=2.0)
    lash = np.abs(y - upper + 0.006) - 0.018 - 0.008 * t
    view.paint(0.9 * inside * view.cover(lash), face.hair * 0.3 + 0.03)
    view.paint(0.4 * inside * view.cover(np.abs(y - lower) - 0.01), lid)
    crease = np.abs(y - 1.05 * upper + 0.055) - 0.012
    view.paint(0.38 * inside * view.cover(crease, soft=1.5), lid)


def _draw_brow(canvas, face, side):
    sign = 2 * side - 1
    view = canvas.window(sign * face.eye_x, face.brow_y, 0.34)
    t = (view.x - sign * (face.eye_x + 0.015)) * (sign / 0.235)
    middle = face.brow_y - face.brow_arch * (1.0 - (t - 0.25) * (t - 0.25)) - face.brow_slant * t
    thickness = face.brow_thickness * np.minimum(1.15 - 0.75 * np.maximum(t, 0.0), 1.0)
    edge = np.maximum(np.abs(view.y - middle) - thickness, (np.abs(t) - 1.0) * 0.2)
    view.paint(0.8 * view.cover(edge, soft=1.7), face.hair * 0.55 + face.skin * 0.08)


def _draw_nostrils(canvas, face):
    view = canvas.window(0.0, face.nose_y, 0.25)
    u = (np.abs(view.x) - 0.52 * face.nose_width) * (1.0 / 0.042)
    v = (view.y - face.nose_y - 0.035 + 0.2 * np.abs(view.x)) * (1.0 / 0.02)
    edge = (np.sqrt(u * u + v * v) - 1.0) * 0.028
    view.paint(0.62 * view.cover(edge, soft=1.5), face.skin * (0.35, 0.24, 0.22))
    wing = np.sqrt((np.abs(view.x) - 0.5 * face.nose_width) ** 2 + (view.y - face.nose_y) ** 2)
    crease = np.abs(wing - 0.55 * face.nose_width - 0.012) - 0.01
    outside = view.cover(0.62 * face.nose_width - np.abs(view.x), soft=2.0)
    view.paint(0.3 * outside * view.cover(crease, soft=2.0), face.skin * (0.6, 0.5, 0.48))


def _draw_mouth(canvas, face):
    view = canvas.window(0.0, face.mouth_y, face.mouth_width + 0.12)
    x = view.x
    t = x * (1.0 / face.mouth_width)
    arch = np.maximum(1.0 - t * t, 0.0)
    y = view.y - face.mouth_y + face.smile * t * t
    within = (np.abs(t) - 1.0) * face.mouth_width
    gape = face.mouth_open
    open_top, open_bottom = -0.6 * gape * arch, 1.5 * gape * arch
    bow = arch * (1.0 - 0.35 * np.maximum(1.0 - 30.0 * t * t, 0.0))
    thin = 1.0 - 3.0 * gape  # lips stretch over an open mouth
    lips_top = open_top - face.lip_upper * thin * bow
    lips_bottom = open_bottom + face.lip_lower * thin * arch * (0.55 + 0.45 * arch)

    lips = view.cover(np.maximum(np.maximum(lips_top - y, y - lips_bottom), within), soft=1.6)
    red = face.skin * (0.84, 0.62, 0.6)
    red = red + face.lip_red * (np.array((0.72, 0.26, 0.28)) * (0.4 + 0.7 * face.skin[0]) - red)
    light = 0.9 + 0.9 * np.clip(y, -0.15, 0.09) + 0.1 * face.light_x * t
    view.paint(lips, column(red) * light)
    shine = bump(x, y, 0.15 * face.light_x, 0.045 + 1.4 * gape, 0.1, 0.016)
    view.paint(0.35 * lips * shine, (1.0, 0.93, 0.9))
    if not gape:
        line = np.abs(y - 0.006 * t * t) - 0.011
        view.paint(0.75 * lips * view.cover(line), red * 0.35)
        return
    mouth = view.cover(np.maximum(np.maximum(open_top - y, y - open_bottom), within))
    view.paint(mouth, (0.22, 0.06, 0.06))
    _draw_teeth(view, face, mouth, x - face.teeth_offset, y, open_top, arch)


def _draw_teeth(view, face, mouth, x, y, gum, arch):
    borders = (np.cumsum(face.teeth) - face.teeth.sum() / 2).tolist()
    tooth = sum((x > border).astype(np.intp) for border in borders[:-1])
    ends = gum + 1.45 * face.mouth_open * face.teeth_lengths.astype(np.float32)[tooth] * (
        0.35 + 0.65 * arch
    )
    gaps = np.min([np.abs(x - border) for border in borders[:-1]], axis=0)
    soft = 1.0 + face.teeth_blur
    row = mouth * view.cover(y - ends, soft=1.2 * soft)
    light = 0.62 + 0.3 * arch - 0.25 * fade(y - gum - 0.015, 0.05)
    view.paint(row, light * column((1.0, 0.97, 0.9)))
    view.paint(0.42 * row * view.cover(gaps - 0.006, soft=1.2), (0.38, 0.25, 0.2))
