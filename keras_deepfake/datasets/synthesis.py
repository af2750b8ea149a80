"""Procedurally drawn faces, real and fake, for demonstrations and tests."""

from typing import NamedTuple

import numpy as np

from keras_deepfake._arguments import MOST_PLACES, check_integer, check_pair, check_seed
from keras_deepfake.datasets._faces.artifacts import NEEDS, draw_fake
from keras_deepfake.datasets._faces.description import sample_face
from keras_deepfake.datasets._faces.drawing import draw_face

_SMALLEST_SIDE, _LARGEST_SIDE = 32, 4096


class SyntheticFaces(NamedTuple):
    """What `synthetic_faces` returns: four arrays along the same images.

    Attributes:
        images: uint8 of shape `(num_images, height, width, 3)`, RGB from 0 to 255.
        labels: One-hot float32 of shape `(num_images, 2)`, columns (fake, real).
        artifacts: The artifact's name of each fake, `"none"` for a real face.
        masks: Boolean, of shape `(num_images, height, width)`: where a fake was altered.
    """

    images: np.ndarray
    labels: np.ndarray
    artifacts: np.ndarray
    masks: np.ndarray


def synthetic_faces(num_images, image_size=(64, 64), artifacts="all", seed=0):
    """Draw faces, half of them with an artifact that betrays generated or altered faces.

    The faces are drawings, made without any photograph or data. They are for demonstrations and
    tests, which they let run on a machine that has no face data. A detector's figures on them
    say nothing about its figures on real faces.

    A fake is drawn like a real face, together with one artifact. In the pixels outside its mask
    it is exactly the picture that it would be without the artifact, and the camera's exposure,
    softness and noise follow after, alike for both classes. Each real face is drawn under the
    conditions of one of the artifacts (with an open mouth, for example, where it is about
    teeth), so that these conditions do not tell the classes apart either.

    With all artifacts together, brightness, contrast, sharpness or colour of the whole image do
    not tell the classes apart. With one artifact alone they can: blurred faces are less sharp.

    The artifacts are:

    - `"irregular_pupils"`: pupils that are not round, and not alike.
    - `"misaligned_teeth"`: teeth of odd widths and lengths off the middle, or fuzzy.
    - `"asymmetric_ears"`: ears of different size and height, often with different earrings.
    - `"background_blotches"`: mottled patches behind the person.
    - `"disconnected_hair"`: hair that is parted from the rest of the hair.
    - `"blurred_face"`: a face that is less sharp than what surrounds it.
    - `"unnatural_skin"`: a skin tone that no light explains.
    - `"wrong_proportions"`: eyes, nose or mouth where, or of a size that, they should not be.
    - `"blurred_boundary"`: a face whose outline is smeared.

    Real and fake come in a mixed order, and the artifacts are spread as evenly as the number of
    fakes allows. The same arguments give the same arrays on every machine, as far as NumPy's
    random streams stay the same between its releases. An image does not depend on how many are
    drawn after it: a longer call begins with the images of a shorter one. The exception is the
    last image of an odd number, which is always real.

    Args:
        num_images: Number of images, at least 1. Half of them are fake; of an odd number,
            there is one real more.
        image_size: `(height, width)` in pixels, both from 32 to 4096. The face fits the shorter
            side. At 32 pixels the smallest artifacts alter two or three pixels.
        artifacts: `"all"`, the name of an artifact, or a sequence of names.
        seed: Non-negative integer. Images of different seeds have nothing in common.

    Returns:
        A named tuple `SyntheticFaces(images, labels, artifacts, masks)` of the images, uint8 of
        shape `(num_images, height, width, 3)`; their one-hot labels, float32 of shape
        `(num_images, 2)`, columns (fake, real); the artifacts' names, `"none"` for real faces;
        and boolean masks of shape `(num_images, height, width)`, true where a fake was altered.

    Raises:
        ValueError: If `num_images` is not a positive integer, `image_size` is not a pair of
            integers from 32 to 4096, `artifacts` is empty or holds an unknown name, or `seed` is
            not a non-negative integer.

    Example:
    ```python
    faces = kd.datasets.synthetic_faces(8, image_size=(64, 64), seed=1)
    x = faces.images.astype("float32") / 255.0  # what the models take
    is_fake = faces.labels[:, 0] == 1.0
    print(faces.artifacts[is_fake])
    ```
    """
    num_images = check_integer("num_images", num_images, 1, MOST_PLACES)
    seed = check_seed(seed)
    height, width = _check_size(image_size)
    names = _check_artifacts(artifacts)

    fake, kinds = _plan(num_images, names, seed)
    images = np.empty((num_images, height, width, 3), np.uint8)
    masks = np.zeros((num_images, height, width), bool)
    for i in range(num_images):
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(i,)))
        face = sample_face(rng, **NEEDS[kinds[i]])
        camera = _sample_camera(rng, height, width)
        picture, regions = draw_face(face, height, width)
        if fake[i]:
            picture, masks[i] = draw_fake(face, kinds[i], rng, picture, regions)
        images[i] = _photograph(picture, *camera)
    labels = np.stack([fake, ~fake], axis=1).astype(np.float32)
    return SyntheticFaces(images, labels, np.where(fake, kinds, "none"), masks)


def _plan(num_images, names, seed):
    """Which images are fake, and which artifact's conditions each image is drawn under.

    Of each two successive images one is fake and both are drawn for the same artifact. The
    artifacts come in turns, each turn in an order of its own.
    """
    rng = np.random.default_rng(seed)
    fake = np.zeros(num_images, bool)
    kinds = []
    for pair in range((num_images + 1) // 2):
        if pair % len(names) == 0:
            turn = rng.permutation(names).tolist()
        kinds += 2 * [turn[pair % len(names)]]
        fake[2 * pair + rng.integers(2) :][:1] = 2 * pair + 1 < num_images
    return fake, kinds[:num_images]


def _sample_camera(rng, height, width):
    gain = rng.uniform(0.92, 1.08) * rng.uniform(0.98, 1.02, (3, 1, 1))
    softening = rng.uniform(0.0, 0.12)
    deviation = np.float32(rng.uniform(0.004, 0.008))
    noise = deviation * rng.standard_normal((3, height, width), dtype=np.float32)
    return gain.astype(np.float32), softening, noise


def _photograph(picture, gain, softening, noise):
    """What a camera makes of a picture: exposure, colour cast, softness, noise, 8 bits."""
    picture = picture * gain
    for axis in (1, 2):
        lines = np.moveaxis(picture, axis, 0)
        lines[1:-1] += softening * (lines[2:] + lines[:-2] - 2.0 * lines[1:-1])
    picture = np.clip((picture + noise) * 255.0 + 0.5, 0.0, 255.0)
    return picture.astype(np.uint8).transpose(1, 2, 0)


def _check_size(image_size):
    try:
        return check_pair(
            "image_size",
            image_size,
            lambda name, side: check_integer(name, side, _SMALLEST_SIDE, _LARGEST_SIDE),
        )
    except ValueError as error:
        raise ValueError(
            f"`image_size` must be a pair of integers (height, width), both from {_SMALLEST_SIDE} "
            f"to {_LARGEST_SIDE}; got {image_size!r}. Smaller faces can be had by resizing."
        ) from error


def _check_artifacts(artifacts):
    if isinstance(artifacts, str):
        names = tuple(NEEDS) if artifacts == "all" else (artifacts,)
    else:
        names = tuple(artifacts) if isinstance(artifacts, (list, tuple, np.ndarray)) else ()
    unknown = [name for name in names if not isinstance(name, str) or name not in NEEDS]
    if unknown or not names or len(set(names)) < len(names):
        raise ValueError(
            "`artifacts` must be 'all', the name of an artifact, or a sequence of different "
            f"names; got {artifacts!r}. The names are: {', '.join(NEEDS)}."
        )
    return names
