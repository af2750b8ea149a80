import numpy as np
import pytest

from keras_deepfake.faces import Face, FaceCropper

POINTS = np.array([[40.0, 50.0], [60.0, 50.0], [50.0, 72.0]])


def test_faces_that_are_sure_the_largest_first():
    seen = []

    def face_detector(photograph):
        seen.append(photograph)
        return [(0.95, POINTS), (0.99, 2 * POINTS), (0.5, 3 * POINTS)]

    photograph = np.full((100, 120, 3), 0.5, "float32")
    faces = FaceCropper(face_detector=face_detector).find(photograph)
    assert [face.confidence for face in faces] == [0.99, 0.95]
    np.testing.assert_array_equal(faces[0].points, 2 * POINTS)
    assert (seen[0].dtype, seen[0].shape, seen[0][0, 0, 0]) == ("uint8", (100, 120, 3), 128)
    assert len(FaceCropper(min_confidence=0.0, face_detector=face_detector).find(photograph)) == 3


@pytest.mark.parametrize("angle", [0, 40])
def test_corners_are_those_of_the_crop(angle):
    """A photograph whose red grows to the right and whose green grows downwards tells places."""
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    points = (POINTS - 55) @ np.array([[cos, sin], [-sin, cos]]) + 100
    cropper = FaceCropper(size=64, margin=0.5, face_detector=lambda photograph: [])
    y, x = np.mgrid[:200, :200] + 0.5
    photograph = np.stack([x, y, 0 * x], axis=-1) / 255
    crop = cropper.crop(photograph.astype("float32"), Face(1.0, points)).astype("float64")
    corners = cropper.corners(Face(1.0, points))
    # Pixels are half a pixel inside of the corners.
    u, v = np.meshgrid(*[(np.arange(64) + 0.5) / 64] * 2)
    across, down = corners[1] - corners[0], corners[3] - corners[0]
    expected = corners[0] + u[..., None] * across + v[..., None] * down
    np.testing.assert_allclose(crop[..., :2], expected, atol=2.0)
    assert np.hypot(*across) == pytest.approx(np.hypot(*down)) == pytest.approx(80)


@pytest.mark.parametrize(
    "found",
    [
        [(0.9, POINTS[:2])],
        [(0.9, np.full((3, 2), 5.0))],
        [(0.9, np.full((3, 2), np.nan))],
        [(7, POINTS)],
        [0.9],
        [{"box": [1, 2]}],
    ],
)
def test_what_a_face_detector_must_return(found):
    cropper = FaceCropper(face_detector=lambda photograph: found)
    with pytest.raises(ValueError, match=r"^`face_detector\(photograph\)\[0\]"):
        cropper.find(np.zeros((90, 90, 3), "uint8"))


def test_arguments():
    for arguments, message in (
        ({"size": 0}, "`size`"),
        ({"margin": -1}, "`margin`"),
        ({"min_confidence": 2}, "`min_confidence`"),
        ({"face_detector": "mtcnn"}, "`face_detector`"),
    ):
        with pytest.raises(ValueError, match=message):
            FaceCropper(**{"face_detector": len, **arguments})
    for photograph in (np.zeros((9, 9)), np.zeros((3, 9, 9)), np.full((9, 9, 3), 255.0)):
        with pytest.raises(ValueError, match="`photograph`"):
            FaceCropper(face_detector=len).find(photograph)
