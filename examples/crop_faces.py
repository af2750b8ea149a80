"""Crop and align the faces of ordinary photographs, as the detectors expect them.

Every face becomes a square PNG file OUT/<folders of IN>/<name>_<i>.png, the largest face first;
PNG adds no compression traces of its own. The face is turned upright by its eyes and mouth and
framed as in FFHQ at the default margin. What lies outside the photograph repeats its border.
OUT.csv lists what became of every file, those without a face included.
"""

import argparse
import collections
import csv
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's notes on the hardware
os.environ["KERAS_BACKEND"] = "tensorflow"  # the face detector knows no other

import keras
import numpy as np
from PIL import Image

import keras_deepfake as kd

# The detector looks at a smaller copy of large photographs: its time grows with the pixels.
LONGEST_SIDE = 1600
MIN_CONFIDENCE = 0.9
COLUMNS = ("path", "output", "confidence", "pixels", "status")


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("input", metavar="IN", help="photograph, or folder searched recursively")
    parser.add_argument("output", metavar="OUT", help="folder for the crops")
    parser.add_argument("--size", type=int, default=256, help="side of a crop (default: 256)")
    parser.add_argument(
        "--margin",
        type=float,
        default=0.5,
        help="what to leave around the face on every side, in sizes of the face (default: 0.5)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace crops that exist")
    arguments = parser.parse_args()
    if not os.path.exists(arguments.input):
        sys.exit(f"error: no such file or folder: {arguments.input}")
    if arguments.size < 1:
        sys.exit(f"error: --size must be a positive number of pixels, not {arguments.size}")
    if not arguments.margin >= 0:
        sys.exit(f"error: --margin must be 0 or more, not {arguments.margin}")
    inside = os.path.commonpath(map(os.path.realpath, (arguments.input, arguments.output)))
    if inside == os.path.realpath(arguments.input):
        sys.exit("error: OUT must not lie in IN, or the crops would be cropped the next time")
    return arguments


def load_detector():
    try:
        from mtcnn import MTCNN
    except ImportError as error:
        sys.exit(f"error: {error}. Install the face detector: pip install 'keras-deepfake[faces]'")
    return MTCNN(device="CPU:0")


def detect(detector, image):
    """Finds faces, the largest first.

    Returns:
        Tuples of confidence and the points left eye, right eye (as seen), middle of the mouth.
    """
    scale = max(1.0, max(image.shape[:2]) / LONGEST_SIDE)
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
    return sorted(faces, key=lambda face: -square(face[1], 0)[2])


def square(points, margin):
    """Places the upright square around a face.

    With `margin=0.5` it is that of FFHQ: Karras, Laine and Aila, "A style-based generator
    architecture for generative adversarial networks", 2019.

    Returns:
        Centre `(x, y)`, unit vector of the crop's horizontal axis, and length of a side.
    """
    left_eye, right_eye, mouth = points
    eyes = (left_eye + right_eye) / 2
    across, down = right_eye - left_eye, mouth - eyes
    # In profile the eyes alone tell little, so the mouth has its say.
    axis = np.add(across, (down[1], -down[0]))
    axis = axis / np.hypot(*axis)
    face = max(2.0 * np.hypot(*across), 1.8 * np.hypot(*down))
    return eyes + 0.1 * down, axis, face * (1 + 2 * margin)


def crop(image, points, size, margin):
    """Cuts the square around a face out of a uint8 array and turns it upright."""
    centre, axis, side = square(points, margin)
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


def photographs(path):
    """Lists the files with their paths below `path`, and why the others are no images."""
    if not os.path.isdir(path):
        return [(path, os.path.basename(path), None)]
    from keras_deepfake.datasets.image_files import walk_images

    problems = []
    found = [(os.path.join(path, name), name, None) for name in walk_images(path, "", problems)]
    found += [(file, os.path.relpath(file, path), reason) for file, reason in problems]
    return sorted(found)


def output_stems(photographs):
    """Maps each path to that of its crops; two files of one name keep their extensions."""
    stems = [os.path.splitext(name)[0] for _, name, _ in photographs]
    counts = collections.Counter(stems)
    return {
        path: name if counts[stem] > 1 else stem
        for (path, name, _), stem in zip(photographs, stems, strict=True)
    }


def crop_faces(detector, path, stem, arguments):
    """Crops the faces of one photograph and yields a row for each, or one that says why not."""
    first = f"{stem}_0.png"
    if os.path.exists(first) and not arguments.overwrite:
        yield path, first, "", "", "exists"
        return
    image = np.round(kd.datasets.load_image(path) * 255).astype("uint8")
    faces = detect(detector, image)
    sure = [face for face in faces if face[0] >= MIN_CONFIDENCE]
    if not sure:
        best = max((confidence for confidence, _ in faces), default=None)
        yield path, "", "" if best is None else f"{best:.3f}", "", "no face"
        return
    os.makedirs(os.path.dirname(stem), exist_ok=True)
    # The first crop comes last: where it exists, the photograph is done.
    for i, (confidence, points) in reversed(list(enumerate(sure))):
        output = f"{stem}_{i}.png"
        crop(image, points, arguments.size, arguments.margin).save(f"{output}.tmp", "PNG")
        os.replace(f"{output}.tmp", output)
        pixels = square(points, arguments.margin)[2]
        yield path, output, f"{confidence:.3f}", f"{pixels:.0f}", "cropped"


def main():
    arguments = parse_arguments()
    files = photographs(arguments.input)
    if not files:
        sys.exit(f"error: no files in {arguments.input}")
    stems = output_stems(files)
    detector = load_detector()
    os.makedirs(arguments.output, exist_ok=True)

    rows = []
    progress = keras.utils.Progbar(len(files), unit_name="file")
    for path, _, problem in files:
        try:
            if problem is not None:
                raise ValueError(problem)
            stem = os.path.join(arguments.output, stems[path])
            rows += sorted(crop_faces(detector, path, stem, arguments))
        except ValueError as error:
            reason = str(error).removeprefix(f"`path`={path!r} cannot be read: ").rstrip(".")
            rows.append((path, "", "", "", f"unreadable: {reason}"))
        progress.add(1)

    table = f"{os.path.normpath(arguments.output)}.csv"
    with open(f"{table}.tmp", "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    os.replace(f"{table}.tmp", table)
    status = [row[-1] for row in rows]
    done = {row[0] for row in rows if row[-1] == "cropped"}
    print(
        f"{len(files)} files: {status.count('cropped')} faces cropped from {len(done)}, "
        f"{status.count('exists')} were done before, {status.count('no face')} without a face, "
        f"{sum(text.startswith('unreadable') for text in status)} unreadable; see {table}"
    )
    if not done and "exists" not in status:
        sys.exit("error: no face was found")


if __name__ == "__main__":
    main()
