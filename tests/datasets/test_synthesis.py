import importlib

import numpy as np
import pytest

import keras_deepfake as kd

KINDS = (
    "irregular_pupils",
    "misaligned_teeth",
    "asymmetric_ears",
    "background_blotches",
    "disconnected_hair",
    "blurred_face",
    "unnatural_skin",
    "wrong_proportions",
    "blurred_boundary",
)


def rank_auc(scores, positive):
    """Share of (positive, negative) pairs in the right order; scores without ties."""
    ranks = np.empty(len(scores))
    ranks[np.argsort(scores)] = np.arange(1, len(scores) + 1)
    positives, negatives = positive.sum(), (~positive).sum()
    return (ranks[positive].sum() - positives * (positives + 1) / 2) / (positives * negatives)


def test_what_is_returned():
    faces = kd.datasets.synthetic_faces(18, image_size=(40, 48))
    assert faces._fields == ("images", "labels", "artifacts", "masks")
    assert faces.images.shape == (18, 40, 48, 3)
    assert faces.images.dtype == np.uint8
    assert faces.labels.shape == (18, 2)
    assert faces.labels.dtype == np.float32
    assert faces.artifacts.dtype.kind == "U"
    assert faces.masks.shape == (18, 40, 48)
    assert faces.masks.dtype == bool

    fake = faces.labels[:, 0] == 1
    np.testing.assert_array_equal(faces.labels.sum(axis=1), 1)
    assert sorted(faces.artifacts[fake]) == sorted(KINDS)
    assert set(faces.artifacts[~fake]) == {"none"}
    assert not faces.masks[~fake].any()
    assert (faces.masks[fake].mean(axis=(1, 2)) > 0).all()
    assert (faces.masks[fake].mean(axis=(1, 2)) < 0.6).all()
    assert len({image.tobytes() for image in faces.images}) == 18


@pytest.mark.parametrize(("num_images", "num_fake"), [(1, 0), (2, 1), (7, 3), (40, 20)])
def test_half_are_fake_and_the_artifacts_evenly_spread(num_images, num_fake):
    faces = kd.datasets.synthetic_faces(num_images, image_size=(32, 32), seed=5)
    fake = faces.labels[:, 0] == 1
    assert fake.sum() == num_fake
    counts = [np.sum(faces.artifacts == kind) for kind in KINDS]
    assert max(counts) - min(counts) <= 1


def test_order_is_mixed():
    fake = kd.datasets.synthetic_faces(40, image_size=(32, 32)).labels[:, 0]
    assert len(set(fake[::2])) == len(set(fake[1::2])) == 2


def test_same_seed_gives_the_same_faces_however_many():
    first = kd.datasets.synthetic_faces(6, image_size=(32, 40), seed=3)
    again = kd.datasets.synthetic_faces(11, image_size=(32, 40), seed=3)
    other = kd.datasets.synthetic_faces(6, image_size=(32, 40), seed=4)
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two[:6])
    assert not any(np.array_equal(a, b) for a in first.images for b in other.images)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fake_is_a_real_face_outside_its_mask(kind, monkeypatch):
    faces = kd.datasets.synthetic_faces(6, image_size=(48, 48), artifacts=kind, seed=1)
    module = importlib.import_module("keras_deepfake.datasets.synthesis")
    nothing = np.zeros((48, 48), bool)
    monkeypatch.setattr(module, "draw_fake", lambda f, k, rng, picture, regions: (picture, nothing))
    clean = kd.datasets.synthetic_faces(6, image_size=(48, 48), artifacts=kind, seed=1)

    fake = faces.labels[:, 0] == 1
    assert set(faces.artifacts[fake]) == {kind}
    difference = np.abs(faces.images.astype(int) - clean.images).max(axis=-1)
    # The camera's softness spreads a difference by one pixel at most, and faintly.
    assert difference[~faces.masks].max() <= 24
    assert (difference[~faces.masks] > 0).mean() < 0.02
    for image, mask in zip(difference[fake], faces.masks[fake], strict=True):
        assert image[mask].max() > 10


def test_no_global_scalar_tells_fake_from_real():
    faces = kd.datasets.synthetic_faces(600, image_size=(40, 40), seed=2)
    fake = faces.labels[:, 0] == 1
    images = faces.images.astype(np.float64)
    grey = images.mean(axis=-1)
    laplacian = 4 * grey[:, 1:-1, 1:-1] - (
        grey[:, 2:, 1:-1] + grey[:, :-2, 1:-1] + grey[:, 1:-1, 2:] + grey[:, 1:-1, :-2]
    )
    scalars = {
        "mean": grey.mean(axis=(1, 2)),
        "contrast": grey.std(axis=(1, 2)),
        "sharpness": np.abs(laplacian).mean(axis=(1, 2)),
        "gradient": np.abs(np.diff(grey, axis=2)).mean(axis=(1, 2)),
        "red": images[..., 0].mean(axis=(1, 2)),
        "green": images[..., 1].mean(axis=(1, 2)),
        "blue": images[..., 2].mean(axis=(1, 2)),
        "saturation": (images.max(axis=-1) - images.min(axis=-1)).mean(axis=(1, 2)),
    }
    for name, scalar in scalars.items():
        assert 0.35 < rank_auc(scalar, fake) < 0.65, name


def test_some_artifacts_only():
    faces = kd.datasets.synthetic_faces(
        8, image_size=(32, 32), artifacts=["blurred_face", "asymmetric_ears"]
    )
    names, counts = np.unique(faces.artifacts, return_counts=True)
    assert dict(zip(names, counts, strict=True)) == {
        "asymmetric_ears": 2,
        "blurred_face": 2,
        "none": 4,
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_images": 0}, "`num_images` must be an integer from 1 to 1000000; got 0"),
        ({"num_images": 2.5}, "`num_images` must be an integer from 1 to 1000000; got 2.5"),
        ({"seed": -1}, "`seed` must be an integer from 0 to 2147483647; got -1"),
        ({"seed": None}, "`seed` must be an integer from 0 to 2147483647; got None"),
        ({"num_images": 10**9}, "`num_images` must be an integer from 1 to 1000000; got 10"),
        ({"image_size": (64, 31)}, r"both from 32 to 4096; got \(64, 31\)"),
        ({"image_size": (10**6, 64)}, r"both from 32 to 4096; got \(10"),
        ({"image_size": float("nan")}, "`image_size` .* got nan"),
        ({"artifacts": 3}, "`artifacts` .* got 3"),
        ({"artifacts": [["blurred_face"]]}, "`artifacts` .* got "),
        ({"image_size": 64}, "`image_size` must be a pair of integers"),
        ({"image_size": (64, 64, 3)}, "`image_size` must be a pair of integers"),
        ({"image_size": (64.0, 64.0)}, "`image_size` must be a pair of integers"),
        ({"artifacts": "blurry"}, "got 'blurry'. The names are: irregular_pupils, "),
        ({"artifacts": ["blurred_face", "none"]}, "`artifacts` must be 'all', the name"),
        ({"artifacts": ["blurred_face", "blurred_face"]}, "different names"),
        ({"artifacts": []}, "`artifacts` must be 'all', the name"),
        ({"artifacts": None}, "`artifacts` must be 'all', the name"),
    ],
)
def test_mistakes_are_explained(arguments, message):
    with pytest.raises(ValueError, match=message):
        kd.datasets.synthetic_faces(**{"num_images": 2, **arguments})
