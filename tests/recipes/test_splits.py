import os
import pathlib
import re
import shutil

import numpy as np
import pytest
from keras.utils import save_img

from keras_deepfake.datasets import ImageIndex
from keras_deepfake.recipes._splits import (
    groups_with_copies,
    index_digest,
    leave_out,
    split_with_pretraining,
    unused_note,
)

SPLIT = (0.5, 0.25, 0.25)


def person(path):
    return re.search(r"p\d+", os.path.basename(path)).group()


@pytest.fixture
def faces(tmp_path):
    """Eight persons, each with two fake and two real images."""
    random = np.random.default_rng(0)
    for name in ("fake", "real"):
        (tmp_path / "faces" / name).mkdir(parents=True)
        for i in range(16):
            path = tmp_path / "faces" / name / f"p{i // 2}_{i % 2}.png"
            save_img(path, random.uniform(0, 255, (8, 8, 3)), scale=False)
    return tmp_path / "faces"


def test_one_folder_serves_both_stages(faces):
    index = ImageIndex.from_directory(faces, groups=person)
    parts, pretraining, num_left_out = split_with_pretraining(index, SPLIT, seed=0, subset=0.5)
    assert num_left_out == 0
    assert sum(map(len, parts)) == pytest.approx(16, abs=4)
    train, validation, test = (set(part.groups) for part in parts)
    assert not (test & set(pretraining.groups))
    assert not (train & validation) | (train & test) | (validation & test)
    # Images that the classifier does without are pretrained on all the same.
    assert len(pretraining) > len(parts[0]) + len(parts[1])


def test_images_that_are_not_used_are_told(faces):
    index = ImageIndex.from_directory(faces)
    assert unused_note(index) == ""
    assert " 6 of 26 images were not used:" in unused_note(index.take(np.arange(26)))


def test_persons_of_the_test_part_are_not_pretrained_on(faces, tmp_path):
    """Their other images have other names and bytes, and lie in another folder."""
    other = tmp_path / "unlabelled"
    other.mkdir()
    random = np.random.default_rng(1)
    for i in range(12):
        save_img(other / f"p{i}_other.png", random.uniform(0, 255, (8, 8, 3)), scale=False)
    index = ImageIndex.from_directory(faces, groups=person)
    unlabelled = ImageIndex.from_directory(other, class_names=None, groups=person)
    parts, pretraining, num_left_out = split_with_pretraining(
        index, SPLIT, seed=0, unlabelled=unlabelled
    )
    held_out = set(parts[2].groups)
    assert held_out
    assert set(pretraining.groups) == {f"p{i}" for i in range(12)} - held_out
    assert num_left_out == len(held_out)

    ungrouped = ImageIndex.from_directory(other, class_names=None)
    with pytest.raises(ValueError, match="`unlabelled` must have groups"):
        split_with_pretraining(index, SPLIT, seed=0, unlabelled=ungrouped)


@pytest.mark.parametrize("how", [shutil.copyfile, os.symlink, os.link])
def test_test_images_are_known_under_another_name(how, faces, tmp_path):
    parts, _, _ = split_with_pretraining(ImageIndex.from_directory(faces), SPLIT, seed=0)
    other = tmp_path / "unlabelled"
    other.mkdir()
    how(parts[2].paths[0], other / "copy.png")
    how(parts[0].paths[0], other / "allowed.png")
    unlabelled = ImageIndex.from_directory(other, class_names=None)
    assert leave_out(unlabelled, parts[2], "unlabelled").paths == (str(other / "allowed.png"),)
    (other / "allowed.png").unlink()
    unlabelled = ImageIndex.from_directory(other, class_names=None)
    with pytest.raises(ValueError, match="`unlabelled` holds no image but those"):
        leave_out(unlabelled, parts[2], "unlabelled")


@pytest.mark.parametrize("with_unlabelled", [False, True])
def test_copies_among_the_labelled_images_are_left_out(with_unlabelled, faces):
    """A copy of a test image may be neither trained on nor calibrated on."""
    for path in sorted(faces.glob("*/*_0.png")):
        shutil.copyfile(path, path.with_name(f"copy_of_{path.name}"))
    index = ImageIndex.from_directory(faces)
    unlabelled = ImageIndex.from_directory(faces, class_names=None) if with_unlabelled else None
    parts, pretraining, num_left_out = split_with_pretraining(
        index, SPLIT, seed=0, unlabelled=unlabelled
    )
    train, validation, test, pretrained = (
        {pathlib.Path(path).read_bytes() for path in part.paths} for part in (*parts, pretraining)
    )
    assert num_left_out > 0
    assert not test & (train | validation | pretrained)


def test_copies_and_their_persons_are_one_group(faces):
    shutil.copy(faces / "fake" / "p0_0.png", faces / "real" / "p5_9.png")
    shutil.copy(faces / "fake" / "p0_1.png", faces / "fake" / "p6_9.png")
    index = ImageIndex.from_directory(faces, groups=person)
    found = dict(zip(map(os.path.basename, index.paths), groups_with_copies(index), strict=True))
    together = {name for name, group in found.items() if group == found["p0_0.png"]}
    assert {name[:2] for name in together} == {"p0", "p5", "p6"}
    assert len(set(found.values())) == 8 - 2
    without = ImageIndex.from_directory(faces)
    assert len(set(groups_with_copies(without))) == len(without) - 2


def test_digest_tells_other_data(faces):
    index = ImageIndex.from_directory(faces)
    assert index_digest(index) == index_digest(ImageIndex.from_directory(faces))
    others = [
        ImageIndex.from_directory(faces, class_names=("real", "fake")),
        ImageIndex.from_directory(faces, class_names=None),
        ImageIndex.from_directory(faces, groups=person),
        index.subset(0.5, seed=0),
    ]
    assert len({index_digest(other) for other in [index, *others]}) == 5
    before = index_digest(index)
    # Cropped anew, say: the same name and size.
    path = pathlib.Path(index.paths[0])
    path.write_bytes(path.read_bytes()[::-1])
    assert index_digest(index) != before
