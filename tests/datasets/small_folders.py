"""Folders of small images."""

import pathlib

from PIL import Image


def fill(folder, count, suffix=".png"):
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.new("RGB", (6, 4), (i % 256, 0, 0)).save(folder / f"{i:03d}{suffix}")


def names(index):
    return [pathlib.Path(path).name for path in index.paths]
