"""Procedurally drawn faces, real and fake, for demonstrations and tests."""

from typing import NamedTuple

import numpy as np

from keras_deepfake.datasets._face_artifacts import NEEDS, draw_fake
from keras_deepfake.datasets._face_drawing import draw_face, sample_face


class SyntheticFaces(NamedTuple):
    """What `synthetic_faces` returns; the arrays run along the same images."""

    images: np.ndarray
    labels: np.ndarray
    artifacts: np.ndarray
    masks: np.ndarray


def synthetic_faces(num_images, image_size=(64, 64), artifacts="all", seed=0):
    height, width = image_size
    names = tuple(NEEDS) if artifacts == "all" else ((artifacts,) if isinstance(artifacts, str) else tuple(artifacts))
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
    """Which images are fake, and the artifact that each image is drawn for.

    One of each two successive images is fake, and both are drawn for the same artifact, so that
    the real faces meet the same conditions; the artifacts come in turns, each turn in its own
    order. Thus an image does not depend on how many follow.
    """
    rng = np.random.default_rng(seed)
    fake = np.zeros(num_images, bool)
    kinds = []
    for first in range(0, num_images, 2):
        pair = first // 2
        if pair % len(names) == 0:
            turn = rng.permutation(names)
        kinds += [str(turn[pair % len(names)])] * 2
        place = first + rng.integers(2)
        if first + 1 < num_images:
            fake[place] = True
    return fake, kinds[:num_images]


def _sample_camera(rng, height, width):
    gain = rng.uniform(0.88, 1.12) * rng.uniform(0.97, 1.03, (3, 1, 1))
    softening = rng.uniform(0.0, 0.12)
    noise = rng.standard_normal((3, height, width), dtype=np.float32)
    return gain.astype(np.float32), np.float32(softening), noise * np.float32(rng.uniform(0.004, 0.014))


def _photograph(picture, gain, softening, noise):
    """A camera's exposure, colour cast, softness and noise, the same for real and fake."""
    picture = picture * gain
    for axis in (1, 2):
        inner = np.moveaxis(picture, axis, 0)
        inner[1:-1] += softening * (inner[2:] + inner[:-2] - 2.0 * inner[1:-1])
    picture = np.clip((picture + noise) * 255.0 + 0.5, 0.0, 255.0)
    return picture.astype(np.uint8).transpose(1, 2, 0)
