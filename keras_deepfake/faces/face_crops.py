"""Aligned crops of the faces in ordinary photographs."""

import collections
import csv
import itertools
import os
from typing import NamedTuple

import keras
import numpy as np

from keras_deepfake._arguments import check_flag, check_integer, check_path
from keras_deepfake._files import atomic_write
from keras_deepfake._results import Result
from keras_deepfake.faces.face_cropper import FaceCropper, check_faces


class FaceCrop(NamedTuple):
    """What became of a photograph, or of one face on it.

    Attributes:
        path: Path of the photograph.
        output: Path of the crop; `""` if there is none.
        confidence: Float, the face detector's; `None` where there is no crop.
        pixels: Float, pixels of the photograph that a side of the crop covers, or `None`.
        status: `"cropped"`, `"exists"`, `"no face"`, or `"unreadable: "` with the reason.

    Example:
    ```python
    row = kd.faces.FaceCrop("party.jpg", "crops/party_0.png", 0.99, 310.0, "cropped")
    ```
    """

    path: str
    output: str = ""
    confidence: float | None = None
    pixels: float | None = None
    status: str = "exists"


class FaceCrops(Result):
    """What `crop_faces` returns: a `FaceCrop` for every face, and for every file without one.

    Args:
        rows: `FaceCrop`s in the order of the photographs.

    Example:
    ```python
    crops = kd.faces.FaceCrops([kd.faces.FaceCrop("garden.jpg", status="no face")])
    print(crops.summary())
    ```
    """

    def __init__(self, rows):
        self.rows = tuple(rows)

    def summary(self):
        status = [row.status for row in self.rows]
        done = {row.path for row in self.rows if row.status == "cropped"}
        return (
            f"{len({row.path for row in self.rows})} files: {status.count('cropped')} faces "
            f"cropped from {len(done)}, {status.count('exists')} were done before, "
            f"{status.count('no face')} without a face, "
            f"{sum(text.startswith('unreadable') for text in status)} unreadable"
        )

    def table(self):
        rows = [
            [
                row.path,
                row.output,
                "" if row.confidence is None else f"{row.confidence:.3f}",
                "" if row.pixels is None else f"{row.pixels:.0f}",
                row.status,
            ]
            for row in self.rows
        ]
        return [list(FaceCrop._fields), *rows]


def crop_faces(photographs, output, faces=None, overwrite=False, verbose=1):
    """Crop and align the faces of ordinary photographs, as the detectors expect them.

    Every face becomes a square PNG file `<output>/<folders>/<name>_<i>.png`, the largest face
    first; PNG adds no compression traces of its own. The face is turned upright by its eyes and
    mouth. What lies outside the photograph repeats its border. `<output>.csv` lists what became
    of every file. A photograph that has crops is left alone.

    Args:
        photographs: Path of an image, or of a folder that is searched recursively.
        output: Path of the folder for the crops, which must not lie in `photographs`.
        faces: A `FaceCropper`, which says how faces are found and framed; `None` for its defaults.
        overwrite: Boolean, whether to make crops that exist anew.
        verbose: 1 for a progress bar, 0 for none.

    Returns:
        `FaceCrops`.

    Raises:
        ValueError: For wrong arguments, or no face in all the photographs.
        ImportError: If faces are to be found by MTCNN, which is not installed.

    Example:
    ```python
    import os

    os.makedirs("photographs")
    keras.utils.save_img("photographs/me.png", np.zeros((200, 200, 3)), scale=False)
    middle = [[80, 80], [120, 80], [100, 130]]
    cropper = kd.faces.FaceCropper(size=64, face_detector=lambda photograph: [(1.0, middle)])
    crops = kd.faces.crop_faces("photographs", "crops", cropper)
    print(crops.summary())
    ```
    """
    photographs, output = check_path("photographs", photographs), check_path("output", output)
    check_faces(faces)
    check_flag("overwrite", overwrite)
    verbose = check_integer("verbose", verbose, 0, 2)
    if not photographs.exists():
        raise ValueError(f"`photographs`={str(photographs)!r}: there is no such file or folder.")
    inside = os.path.commonpath(map(os.path.realpath, (photographs, output)))
    if inside == os.path.realpath(photographs):
        raise ValueError(
            f"`output`={str(output)!r} must not lie in `photographs`, or the crops would be "
            "cropped the next time."
        )
    files = _list_photographs(str(photographs))
    if not files:
        raise ValueError(f"`photographs`={str(photographs)!r} holds no files.")
    stems = _output_stems(files)
    faces = FaceCropper() if faces is None else faces
    output.mkdir(parents=True, exist_ok=True)

    listed = _listed(output)
    rows = []
    progress = keras.utils.Progbar(len(files), unit_name="file", verbose=verbose)
    for path, _, problem in files:
        if problem is None:
            stem = os.path.join(output, stems[path])
            rows += _crop_photograph(faces, path, stem, overwrite, listed)
        else:
            rows.append(FaceCrop(path, status=f"unreadable: {problem}"))
        progress.add(1)
    crops = FaceCrops(rows)
    crops.to_csv(_list_path(output))
    if not any(row.output for row in rows):
        raise ValueError(f"No face was found. {crops.summary()}.")
    return crops


def _list_path(output):
    return output.with_name(f"{output.name}.csv")


def _listed(output):
    """What an earlier list says of crops that exist: path to confidence and pixels."""
    try:
        with open(_list_path(output), newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return {
            row["output"]: (float(row["confidence"]), float(row["pixels"]))
            for row in rows
            if row["confidence"] and row["pixels"]
        }
    except (OSError, KeyError, ValueError):
        return {}  # none, or a list of something else


def _list_photographs(path):
    """Lists the files with their paths below `path`, and why the others are no images."""
    if not os.path.isdir(path):
        return [(path, os.path.basename(path), None)]
    from keras_deepfake.datasets.image_files import walk_images

    problems = []
    found = [(os.path.join(path, name), name, None) for name in walk_images(path, "", problems)]
    found += [(file, os.path.relpath(file, path), reason) for file, reason in problems]
    return sorted(found)


def _output_stems(files):
    """Maps each path to that of its crops; where two would share one, they keep extensions."""
    names = {name for _, name, _ in files}
    stems = [os.path.splitext(name)[0] for _, name, _ in files]
    counts = collections.Counter(stems)
    return {
        path: name if counts[stem] > 1 or stem in names else stem
        for (path, name, _), stem in zip(files, stems, strict=True)
    }


def _existing_crops(stem, start=0):
    """Yields the paths of the crops that are there, from a number on."""
    for i in itertools.count(start):
        if not os.path.exists(f"{stem}_{i}.png"):
            return
        yield f"{stem}_{i}.png"


def _crop_photograph(faces, path, stem, overwrite, listed):
    """Crops the faces of one photograph.

    Returns:
        A row for each, the largest first, or one row that says why there is none.
    """
    # TensorFlow and Pillow load only where images are read.
    from PIL import Image

    from keras_deepfake.datasets import load_image

    if not overwrite and (existing := list(_existing_crops(stem))):
        return [FaceCrop(path, crop, *listed.get(crop, ())) for crop in existing]
    try:
        image = np.round(load_image(path) * 255).astype("uint8")
    except ValueError as error:
        reason = str(error).removeprefix(f"`path`={path!r} cannot be read: ").rstrip(".")
        return [FaceCrop(path, status=f"unreadable: {reason}")]
    try:
        found = faces.find(image)
    except ValueError as error:
        raise ValueError(f"{path!r}: {error}") from error
    # Those of an earlier run, of which there may have been more.
    for crop in reversed(list(_existing_crops(stem, len(found)))):
        os.remove(crop)
    if not found:
        return [FaceCrop(path, status="no face")]
    os.makedirs(os.path.dirname(stem), exist_ok=True)
    rows = []
    # The first crop comes last: where it exists, the photograph is done.
    for i, face in reversed(list(enumerate(found))):
        with atomic_write(f"{stem}_{i}.png", "wb") as file:
            Image.fromarray(faces.crop(image, face)).save(file, "PNG")
        pixels = float(np.hypot(*np.subtract(*faces.corners(face)[:2])))
        rows.append(FaceCrop(path, f"{stem}_{i}.png", face.confidence, pixels, "cropped"))
    return rows[::-1]
