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
    with pytest.raises(ValueError, match="unknown"):
        save_figure(FIGURE, path)
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1
