import pytest
from PIL import Image

from keras_deepfake.visualization import plot_confusion_matrix, save_figure

FIGURE = plot_confusion_matrix([[3, 1], [0, 4]])


def test_picture_is_whole_and_alone(tmp_path):
    save_figure(FIGURE, tmp_path / "matrix.png")
    save_figure(FIGURE, str(tmp_path / "matrix.png"))
    with Image.open(tmp_path / "matrix.png") as picture:
        picture.verify()
    assert [path.name for path in tmp_path.iterdir()] == ["matrix.png"]


def test_failed_writing_leaves_the_old_picture(tmp_path):
    path = tmp_path / "matrix.unknown"
    path.write_text("old")
    with pytest.raises(ValueError, match=r"`path` must end in a format of pictures.*unknown"):
        save_figure(FIGURE, path)
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("suffix", ["svg", "PDF", "jpg"])
def test_other_formats(suffix, tmp_path):
    save_figure(FIGURE, tmp_path / f"matrix.{suffix}")
    (path,) = tmp_path.iterdir()
    start = {"svg": b"<?xml", "PDF": b"%PDF", "jpg": b"\xff\xd8"}[suffix]
    assert path.read_bytes().startswith(start)


@pytest.mark.parametrize(
    ("figure", "path", "reason"),
    [
        ("figure", "a.png", "`figure` must be a Matplotlib figure; got str"),
        (None, "a.png", "`figure` must be a Matplotlib figure"),
        (FIGURE, None, "`path` must be a path"),
        (FIGURE, b"a.png", "`path` must be a path"),
        (FIGURE, "png", "`path` must end in a format of pictures"),
    ],
)
def test_wrong_arguments_are_refused(figure, path, reason):
    with pytest.raises(ValueError, match=reason):
        save_figure(figure, path)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(OSError, match=r"missing.matrix\.png"):
        save_figure(FIGURE, tmp_path / "missing" / "matrix.png")
