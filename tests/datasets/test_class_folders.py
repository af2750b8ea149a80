import pytest

from keras_deepfake.datasets import find_class_folders


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (("fake", "real"), ("fake", "real")),
        (("fake", "masks", "real"), ("fake", "real")),
        (("REAL", "FAKE"), ("FAKE", "REAL")),
        (("1_fake", "0_real"), ("0_real", "1_fake")),
        (("original", "manipulated", ".cache"), ("manipulated", "original")),
    ],
)
def test_names_that_tell(folders, expected, tmp_path):
    for name in folders:
        (tmp_path / name).mkdir()
    (tmp_path / "readme.txt").write_text("")
    assert find_class_folders(tmp_path) == expected


@pytest.mark.parametrize("folders", [(), ("train", "test"), ("fake",), ("Fake", "Real", "masks")])
def test_names_that_do_not_tell_are_listed(folders, tmp_path):
    for name in folders:
        (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match="a folder for each of two classes") as error:
        find_class_folders(tmp_path)
    assert str(sorted(folders)) in str(error.value)


def test_fake_class_tells(tmp_path):
    for name in ("b", "a"):
        (tmp_path / name).mkdir()
    assert find_class_folders(str(tmp_path), fake_class="b") == ("a", "b")
    with pytest.raises(ValueError, match="`fake_class` must be one of 'a', 'b'; got 'c'"):
        find_class_folders(tmp_path, fake_class="c")
    with pytest.raises(ValueError, match="`directory` must be an existing folder"):
        find_class_folders(tmp_path / "nowhere")


def test_order_of_a_model(tmp_path):
    for name in ("0_real", "1_fake"):
        (tmp_path / name).mkdir()
    assert find_class_folders(tmp_path, like=("fake", "real")) == ("1_fake", "0_real")
    assert find_class_folders(tmp_path, like=("REAL", "FAKE")) == ("0_real", "1_fake")
    assert find_class_folders(tmp_path, like=("1_fake", "0_real")) == ("1_fake", "0_real")
