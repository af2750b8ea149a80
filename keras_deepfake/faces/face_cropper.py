"""Finds the faces of a photograph and cuts them out as detectors expect them."""

from typing import NamedTuple

import keras
import numpy as np

from keras_deepfake._arguments import check_integer, check_number
from keras_deepfake._pixels import unit_pixels
from keras_deepfake.faces._face_geometry import cut_face, face_square

# MTCNN looks at a smaller copy of large photographs: its time grows with the pixels.
_LONGEST_SIDE = 1600


class Face(NamedTuple):
    """A face on a photograph.

    Attributes:
        confidence: Float in [0, 1], how sure the face detector is that this is a face.
        points: Array of shape `(3, 2)`: left eye and right eye (as seen) and the middle of the
            mouth, each `(x, y)` in pixels of the photograph, whose top left corner is (0, 0).

    Example:
    ```python
    face = kd.faces.Face(0.99, np.array([[24.0, 28.0], [40.0, 28.0], [32.0, 44.0]]))
    ```
    """

    confidence: float
    points: np.ndarray


class FaceCropper:
    """Finds faces and cuts an upright square around each, framed as in FFHQ.

    The face detector is replaceable: a function of a photograph, a uint8 array of shape
    `(height, width, 3)`, that returns a `Face`, or such a pair `(confidence, points)`, for each
    face that it sees, in any order. By default it is MTCNN (`pip install "keras-deepfake[faces]"`),
    which needs the TensorFlow backend.

    Args:
        size: Integer, side of a crop in pixels.
        margin: Float of at least 0, what to leave around the face on every side, in sizes of
            the face. Use that of the crops which the detector of fakes was trained on.
        min_confidence: Float in [0, 1]. Faces that the face detector is less sure of are ignored.
        face_detector: A function as described above; `None` for MTCNN.

    Raises:
        ValueError: For wrong arguments, and for MTCNN on another backend than TensorFlow.
        ImportError: If MTCNN is not installed.

    Example:
    ```python
    def in_the_middle(photograph):  # for portraits
        height, width = photograph.shape[:2]
        points = np.array([[0.4, 0.4], [0.6, 0.4], [0.5, 0.65]]) * (width, height)
        return [kd.faces.Face(1.0, points)]

    cropper = kd.faces.FaceCropper(size=64, face_detector=in_the_middle)
    photograph = np.zeros((200, 200, 3), "uint8")
    (face,) = cropper.find(photograph)
    cropper.crop(photograph, face).shape  # (64, 64, 3)
    ```
    """

    def __init__(self, size=256, margin=0.5, min_confidence=0.9, face_detector=None):
        self.size = check_integer("size", size, 1, 10_000)
        self.margin = check_number("margin", margin, 0, 100)
        self.min_confidence = check_number("min_confidence", min_confidence, 0, 1)
        if face_detector is not None and not callable(face_detector):
            raise ValueError(
                "`face_detector` must be a function from a photograph to its faces, or None; got "
                f"{face_detector!r}."
            )
        self.face_detector = face_detector or _load_mtcnn()

    def find(self, photograph):
        """Finds the faces of a photograph.

        Args:
            photograph: Array of shape `(height, width, 3)`, uint8 or floating point in [0, 1].

        Returns:
            List of `Face`s of at least `min_confidence`, the largest first.

        Raises:
            ValueError: If the photograph, or what the face detector returns, is not as described.
        """
        found = self.face_detector(_as_bytes(photograph))
        if not hasattr(found, "__iter__"):
            raise ValueError(
                "`face_detector` must return the faces that it sees, an empty list if none; got "
                f"{found!r}."
            )
        faces = [
            _check_face(face, f"face_detector(photograph)[{i}]") for i, face in enumerate(found)
        ]
        sure = [face for face in faces if face.confidence >= self.min_confidence]
        return sorted(sure, key=lambda face: -face_square(face.points, 0)[2])

    def crop(self, photograph, face):
        """Cuts the square around a face out of its photograph and turns it upright.

        What lies outside the photograph repeats its border.

        Args:
            photograph: As for `find`.
            face: A `Face` on it.

        Returns:
            uint8 array of shape `(size, size, 3)`.
        """
        points = _check_face(face).points
        return np.asarray(cut_face(_as_bytes(photograph), points, self.size, self.margin))

    def corners(self, face):
        """Computes the corners of the square that `crop` cuts out.

        Args:
            face: A `Face`.

        Returns:
            Array of shape `(4, 2)`, each corner `(x, y)` in pixels of the photograph, in the
            order top left, top right, bottom right, bottom left of the upright crop.
        """
        centre, axis, side = face_square(_check_face(face).points, self.margin)
        right, down = side / 2 * axis, side / 2 * np.array([-axis[1], axis[0]])
        return centre + np.stack([-right - down, right - down, right + down, down - right])


def check_faces(faces):
    """Raise unless `faces` is a `FaceCropper` or `None`."""
    if faces is not None and not isinstance(faces, FaceCropper):
        raise ValueError(f"`faces` must be a `FaceCropper` or None; got {faces!r:.200}.")


def _as_bytes(photograph):
    pixels = unit_pixels(photograph, "photograph")
    if pixels.ndim != 3 or pixels.shape[-1] != 3 or 0 in pixels.shape:
        raise ValueError(
            f"`photograph` must have the shape (height, width, 3); got {pixels.shape}."
        )
    return np.round(pixels * 255).astype("uint8")


def _check_face(face, name="face"):
    try:
        confidence, points = face
        points = np.asarray(points, "float64")
    except (TypeError, ValueError):
        points = np.empty(0)
    if points.shape != (3, 2) or not np.isfinite(points).all():
        raise ValueError(
            f"`{name}` must be `(confidence, points)`, the points finite and of shape (3, 2): left "
            f"eye, right eye and middle of the mouth; got {face!r:.200}."
        )
    if not face_square(points, 0)[2] > 0:
        raise ValueError(f"`{name}` must have points that differ; got {face!r:.200}.")
    return Face(check_number(f"{name}[0]", confidence, 0, 1), points)


def _load_mtcnn():
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"MTCNN needs the TensorFlow backend; got {keras.backend.backend()!r}. Set "
            "KERAS_BACKEND=tensorflow, or give another `face_detector`."
        )
    try:
        from mtcnn import MTCNN
    except ImportError as error:
        raise ImportError(
            f"{error}. Install the face detector: pip install 'keras-deepfake[faces]'"
        ) from error
    network = MTCNN(device="CPU:0")

    def find_faces(photograph):
        from PIL import Image

        scale = max(1.0, max(photograph.shape[:2]) / _LONGEST_SIDE)
        shrunk = Image.fromarray(photograph)
        if scale > 1:
            size = [round(side / scale) for side in shrunk.size]
            shrunk = shrunk.resize(size, Image.Resampling.LANCZOS)
        faces = []
        for found in network.detect_faces(np.asarray(shrunk)):
            # MTCNN counts pixels, whose centres are at halves.
            points = {name: (np.array(xy) + 0.5) * scale for name, xy in found["keypoints"].items()}
            mouth = (points["mouth_left"] + points["mouth_right"]) / 2
            points = np.stack([points["left_eye"], points["right_eye"], mouth])
            faces.append(Face(float(found["confidence"]), points))
        return faces

    return find_faces
