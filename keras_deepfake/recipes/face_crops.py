"""Aligned crops of the faces in ordinary photographs."""

import collections
import os
from typing import NamedTuple

import keras
import numpy as np
from PIL import Image

from keras_deepfake._arguments import check_flag, check_integer, check_number, check_path
from keras_deepfake._files import atomic_write
from keras_deepfake._results import Result
from keras_deepfake.datasets import load_image
from keras_deepfake.datasets.image_files import walk_images
from keras_deepfake.recipes._face_geometry import cut_face, face_square

# The detector looks at a smaller copy of large photographs: its time grows with the pixels.
_LONGEST_SIDE = 1600
_MIN_CONFIDENCE = 0.9


class FaceCrop(NamedTuple):
    """What became of a photograph, or of one face on it.

    Attributes:
        path: Path of the photograph.
        output: Path of the crop; `""` if there is none.
        confidence: Float, the detector's, of the face; `None` if it saw none.
        pixels: Float, pixels of the photograph that a side of the crop covers, or `None`.
        status: `"cropped"`, `"exists"`, `"no face"`, or `"unreadable: "` with the reason.

    Example:
    ```python
    row = kd.recipes.FaceCrop("party.jpg", "crops/party_0.png", 0.99, 310.0, "cropped")
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
    crops = kd.recipes.FaceCrops([kd.recipes.FaceCrop("garden.jpg", status="no face")])
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

    def figures(self):
        return {"rows": [row._asdict() for row in self.rows]}

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


def crop_faces(photographs, output, size=256, margin=0.5, overwrite=False, verbose=1):
    """Crop and align the faces of ordinary photographs, as the detectors expect them.

    Every face becomes a square PNG file `<output>/<folders>/<name>_<i>.png`, the largest face
    first; PNG adds no compression traces of its own. The face is turned upright by its eyes and
    mouth and framed as in FFHQ at the default margin. What lies outside the photograph repeats
    its border. `<output>.csv` lists what became of every file. A photograph that has crops is
    left alone.

    The faces are found by MTCNN (`pip install "keras-deepfake[faces]"`), which needs the
    TensorFlow backend.

    Args:
        photographs: Path of an image, or of a folder that is searched recursively.
        output: Path of the folder for the crops, which must not lie in `photographs`.
        size: Integer, side of a crop in pixels.
        margin: Float of at least 0, what to leave around the face on every side, in sizes of
            the face.
        overwrite: Boolean, whether to make crops that exist anew.
        verbose: 1 for a progress bar, 0 for none.

    Returns:
        `FaceCrops`.

    Raises:
        ValueError: For wrong arguments, another backend, or no face in all the photographs.
        ImportError: If MTCNN is not installed.

    Example:
    ```python
    # With photographs of people in the folder "photographs":
    # crops = kd.recipes.crop_faces("photographs", "crops", size=224)
    # print(crops.summary())
    ```
    """
    photographs, output = check_path("photographs", photographs), check_path("output", output)
    size = check_integer("size", size, 1, 10_000)
    margin = check_number("margin", margin, 0, 100)
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
    detector = _load_face_detector()
    output.mkdir(parents=True, exist_ok=True)

    rows = []
    progress = keras.utils.Progbar(len(files), unit_name="file", verbose=verbose)
    for path, _, problem in files:
        try:
            if problem is not None:
                raise ValueError(problem)
            stem = os.path.join(output, stems[path])
            rows += _crop_photograph(detector, path, stem, size, margin, overwrite)
        except ValueError as error:
            reason = str(error).removeprefix(f"`path`={path!r} cannot be read: ").rstrip(".")
            rows.append(FaceCrop(path, status=f"unreadable: {reason}"))
        progress.add(1)
    crops = FaceCrops(rows)
    crops.to_csv(output.with_name(f"{output.name}.csv"))
    if not any(row.output for row in rows):
        raise ValueError(f"No face was found. {crops.summary()}.")
    return crops


def _load_face_detector():
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"MTCNN needs the TensorFlow backend; got {keras.backend.backend()!r}. Set "
            "KERAS_BACKEND=tensorflow."
        )
    try:
        from mtcnn import MTCNN
    except ImportError as error:
        raise ImportError(
            f"{error}. Install the face detector: pip install 'keras-deepfake[faces]'"
        ) from error
    return MTCNN(device="CPU:0")


def _list_photographs(path):
    """Lists the files with their paths below `path`, and why the others are no images."""
    if not os.path.isdir(path):
        return [(path, os.path.basename(path), None)]
    problems = []
    found = [(os.path.join(path, name), name, None) for name in walk_images(path, "", problems)]
    found += [(file, os.path.relpath(file, path), reason) for file, reason in problems]
    return sorted(found)


def _output_stems(files):
    """Maps each path to that of its crops; two files of one name keep their extensions."""
    stems = [os.path.splitext(name)[0] for _, name, _ in files]
    counts = collections.Counter(stems)
    return {
        path: name if counts[stem] > 1 else stem
        for (path, name, _), stem in zip(files, stems, strict=True)
    }


def _crop_photograph(detector, path, stem, size, margin, overwrite):
    """Crops the faces of one photograph.

    Returns:
        A row for each, the largest first, or one row that says why there is none.
    """
    first = f"{stem}_0.png"
    if os.path.exists(first) and not overwrite:
        return [FaceCrop(path, first)]
    image = np.round(load_image(path) * 255).astype("uint8")
    faces = _find_faces(detector, image)
    sure = [face for face in faces if face[0] >= _MIN_CONFIDENCE]
    if not sure:
        best = max((confidence for confidence, _ in faces), default=None)
        return [FaceCrop(path, confidence=best, status="no face")]
    os.makedirs(os.path.dirname(stem), exist_ok=True)
    rows = []
    # The first crop comes last: where it exists, the photograph is done.
    for i, (confidence, points) in reversed(list(enumerate(sure))):
        with atomic_write(f"{stem}_{i}.png", "wb") as file:
            cut_face(image, points, size, margin).save(file, "PNG")
        pixels = float(face_square(points, margin)[2])
        rows.append(FaceCrop(path, f"{stem}_{i}.png", confidence, pixels, "cropped"))
    return rows[::-1]


def _find_faces(detector, image):
    """Finds faces, the largest first.

    Returns:
        Tuples of confidence and the points left eye, right eye (as seen), middle of the mouth.
    """
    scale = max(1.0, max(image.shape[:2]) / _LONGEST_SIDE)
    shrunk = Image.fromarray(image)
    if scale > 1:
        shrunk = shrunk.resize(
            [round(side / scale) for side in shrunk.size], Image.Resampling.LANCZOS
        )
    faces = []
    for face in detector.detect_faces(np.asarray(shrunk)):
        points = {name: (np.array(xy) + 0.5) * scale for name, xy in face["keypoints"].items()}
        mouth = (points["mouth_left"] + points["mouth_right"]) / 2
        faces.append((float(face["confidence"]), (points["left_eye"], points["right_eye"], mouth)))
    return sorted(faces, key=lambda face: -face_square(face[1], 0)[2])
