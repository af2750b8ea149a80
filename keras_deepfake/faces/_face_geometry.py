"""The square around a face, and what is cut out there."""

import numpy as np


def face_square(points, margin):
    """Place the upright square around a face.

    With `margin=0.5` it is that of FFHQ: Karras, Laine and Aila, "A style-based generator
    architecture for generative adversarial networks", 2019.

    Args:
        points: Left eye and right eye (as seen) and the middle of the mouth, each `(x, y)`.
        margin: What to leave around the face on every side, in sizes of the face.

    Returns:
        Centre `(x, y)`, unit vector of the crop's horizontal axis, and length of a side.
    """
    left_eye, right_eye, mouth = points
    eyes = (left_eye + right_eye) / 2
    across, down = right_eye - left_eye, mouth - eyes
    # In profile the eyes alone tell little, so the mouth has its say.
    axis = np.add(across, (down[1], -down[0]))
    length = np.hypot(*axis)
    axis = axis / length if length > 0 else np.array([1.0, 0.0])
    face = max(2.0 * np.hypot(*across), 1.8 * np.hypot(*down))
    return eyes + 0.1 * down, axis, face * (1 + 2 * margin)


def cut_face(image, points, size, margin):
    """Cut the square around a face out of a uint8 array and turn it upright.

    Returns:
        A Pillow image of `size` pixels a side.
    """
    from PIL import Image

    centre, axis, side = face_square(points, margin)
    right, down = side / 2 * axis, side / 2 * np.array([-axis[1], axis[0]])
    reach = np.abs(right) + np.abs(down) + 2
    (left, top), (end, bottom) = np.floor(centre - reach), np.ceil(centre + reach)
    columns = np.clip(np.arange(left, end), 0, image.shape[1] - 1).astype(int)
    rows = np.clip(np.arange(top, bottom), 0, image.shape[0] - 1).astype(int)
    surroundings = Image.fromarray(image[rows][:, columns])
    # At its own resolution first: turning does not smooth what shrinking would alias.
    pixels = max(1, round(side))
    x, y = centre - (left, top) - right - down
    (a, d), (b, e) = 2 * right / pixels, 2 * down / pixels
    upright = surroundings.transform(
        (pixels, pixels), Image.Transform.AFFINE, (a, b, x, d, e, y), Image.Resampling.BICUBIC
    )
    return upright.resize((size, size), Image.Resampling.LANCZOS)
