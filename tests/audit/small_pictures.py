"""Small pictures in folders of two classes, and what an audit finds in them."""

import os
import pathlib

import numpy as np
from PIL import Image

from keras_deepfake.audit import audit_dataset
from keras_deepfake.datasets import ImageIndex

SIZE = 48


def picture(rng, size=SIZE):
    """A smooth random colour picture with some grain."""
    coarse = Image.fromarray(rng.integers(0, 256, (7, 7, 3), dtype="uint8"))
    smooth = np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC), dtype=float)
    return Image.fromarray(np.clip(smooth + rng.normal(0, 6, smooth.shape), 0, 255).astype("uint8"))


def save(image, path, **options):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jpg":
        options = {"quality": 85, "subsampling": "4:2:0", **options}
    image.save(path, **options)
    return os.fspath(path)


def write(folder, fake=lambda image: image, count=40, seed=0, **fake_options):
    """`count` pictures of both classes; `fake` and `fake_options` plant a difference."""
    rng = np.random.default_rng(seed)
    suffix = fake_options.pop("suffix", ".jpg")
    for number in range(count):
        save(picture(rng), f"{folder}/real/{number:03d}.jpg")
        save(fake(picture(rng)), f"{folder}/fake/{number:03d}{suffix}", **fake_options)
    return folder


def audit(folder, groups=None, **kwargs):
    return audit_dataset(ImageIndex.from_directory(folder, groups=groups), **kwargs)


def severities(audit):
    """The worst severity of each kind that is more than information."""
    found = {}
    for finding in audit.findings:
        if finding.severity != "info":
            found.setdefault(finding.kind, finding.severity)
    return found
