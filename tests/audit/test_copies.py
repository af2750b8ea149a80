import os

import numpy as np
from PIL import Image

from keras_deepfake.audit import audit_dataset
from keras_deepfake.datasets import ImageIndex
from tests.audit.small_pictures import SIZE, audit, picture, save, severities, write


def test_copies_with_different_labels(clean, tmp_path):
    write(tmp_path)
    real = tmp_path / "real/003.jpg"
    (tmp_path / "fake/bytes.jpg").write_bytes(real.read_bytes())
    save(Image.open(tmp_path / "real/004.jpg"), tmp_path / "fake/pixels.png")
    resaved = save(Image.open(tmp_path / "real/005.jpg"), tmp_path / "fake/q.jpg", quality=40)
    half = Image.open(tmp_path / "real/006.jpg").resize((SIZE * 3 // 4, SIZE * 3 // 4))
    resized = save(half, tmp_path / "fake/resized.jpg")
    result = audit(tmp_path)
    errors = {f.kind: f for f in result.findings if f.severity == "error"}
    assert set(errors) == {"duplicate", "near_duplicate"}
    assert {frozenset(map(os.path.basename, files)) for files in errors["duplicate"].sets} == {
        frozenset({"003.jpg", "bytes.jpg"}),
        frozenset({"004.jpg", "pixels.png"}),
    }
    assert set(errors["duplicate"].paths) == {
        f for files in errors["duplicate"].sets for f in files
    }
    assert {frozenset(files) for files in errors["near_duplicate"].sets} == {
        frozenset({os.fspath(tmp_path / "real/005.jpg"), resaved}),
        frozenset({os.fspath(tmp_path / "real/006.jpg"), resized}),
    }
    assert "2 sets (4 files)" in errors["duplicate"].message


def test_copies_within_a_class(tmp_path):
    write(tmp_path)
    (tmp_path / "real/copy.jpg").write_bytes((tmp_path / "real/003.jpg").read_bytes())
    save(Image.open(tmp_path / "fake/003.jpg"), tmp_path / "fake/resaved.jpg", quality=60)
    result = audit(tmp_path)
    assert result.ok
    found = severities(result)
    assert found.pop("duplicate") == "warning"
    assert found.pop("near_duplicate") == "warning"
    assert found == {}


def test_a_fake_beside_its_source_in_one_group_is_information(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(40):
        image = picture(rng)
        for name in ("fake", "real"):
            image.paste(picture(rng, 6), (21, 21))
            save(image, tmp_path / f"{name}/{number}.jpg")
    paired = audit(tmp_path, groups=lambda path: os.path.basename(path))
    assert paired.ok
    assert severities(paired) == {}
    (finding,) = paired.findings
    assert (finding.kind, finding.severity) == ("near_duplicate", "info")
    assert len(finding.sets) > 20
    assert severities(audit(tmp_path)) == {"near_duplicate": "error"}


def test_leaks_between_splits(tmp_path):
    train, test = write(tmp_path / "train"), write(tmp_path / "test", seed=1)
    (test / "real/copy.jpg").write_bytes((train / "real/003.jpg").read_bytes())
    save(Image.open(train / "fake/003.jpg"), test / "fake/resaved.jpg", quality=60)
    splits = {"train": ImageIndex.from_directory(train), "test": ImageIndex.from_directory(test)}
    result = audit_dataset(splits)
    assert severities(result) == {"duplicate": "error", "near_duplicate": "error"}
    assert all("split" in finding.message for finding in result.findings)
    assert result.splits["test"] == {"fake": 41, "real": 41}
    by_position = audit_dataset(list(splits.values()))
    assert [f.kind for f in by_position.findings] == [f.kind for f in result.findings]
    assert list(by_position.splits) == ["split 0", "split 1"]


def test_a_group_in_two_splits_is_an_error(tmp_path):
    folders = {"train": write(tmp_path / "train"), "test": write(tmp_path / "test", seed=1)}

    def person(path):
        split, name = path.split(os.sep)[-3], os.path.basename(path)[:3]
        return "shared" if name == "007" else split + name

    result = audit_dataset(
        {name: ImageIndex.from_directory(f, groups=person) for name, f in folders.items()}
    )
    assert severities(result) == {"group_leak": "error"}
    (finding,) = result.findings
    assert sorted(finding.paths) == sorted(
        os.fspath(folder / c / "007.jpg") for folder in folders.values() for c in ("fake", "real")
    )
    assert "'shared' in train and test" in finding.message
    # Without groups every image is one of its own, in every split.
    assert not audit_dataset(
        {name: ImageIndex.from_directory(folder) for name, folder in folders.items()}
    ).findings


def test_faces_that_are_aligned_alike_are_no_copies(tmp_path):
    # One face for all, with other features and another light.
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:64, :64] / 63
    for number in range(60):
        face = 90 + 90 * (((rows - 0.5) / 0.45) ** 2 + ((columns - 0.5) / 0.35) ** 2 < 1)
        for x in (0.35, 0.65):
            y, width = 0.42 + rng.normal(0, 0.02), rng.uniform(0.004, 0.012)
            face = face - rng.uniform(50, 90) * np.exp(
                -((rows - y) ** 2 + (columns - x - rng.normal(0, 0.02)) ** 2) / width
            )
        face = face + rng.uniform(-30, 30) * columns + rng.normal(0, 4, face.shape)
        image = Image.fromarray(np.clip(face, 0, 255).astype("uint8")).convert("RGB")
        save(image, tmp_path / f"{('fake', 'real')[number % 2]}/{number}.jpg")
    assert "near_duplicate" not in {finding.kind for finding in audit(tmp_path).findings}


def test_flat_images_are_not_taken_for_copies(tmp_path):
    for number in range(20):
        level = (200 - 3 * number, 100, 5 * number)
        save(Image.new("RGB", (32, 32), level), tmp_path / f"fake/{number}.jpg")
        save(Image.new("RGB", (32, 32), level[::-1]), tmp_path / f"real/{number}.jpg")
    assert "near_duplicate" not in {finding.kind for finding in audit(tmp_path).findings}


def test_without_labels_copies_are_found(tmp_path):
    write(tmp_path, count=6)
    (tmp_path / "copy.jpg").write_bytes((tmp_path / "real/003.jpg").read_bytes())
    result = audit_dataset(ImageIndex.from_directory(tmp_path, class_names=None))
    assert severities(result) == {"duplicate": "warning"}
    assert result.shortcuts == {}
    assert result.splits == {"data": {"unlabelled": 13}}
