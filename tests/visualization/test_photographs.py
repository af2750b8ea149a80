import numpy as np
import pytest
from matplotlib.colors import to_hex

from keras_deepfake.visualization import plot_photograph
from keras_deepfake.visualization._style import FAKE, GUIDE, REAL

FRAME = np.array([[10, 20], [40, 20], [40, 50], [10, 50]])


def test_frames_lie_where_they_should_in_the_colour_of_the_verdict():
    frames = [FRAME, FRAME + 30, FRAME + (100, 0)]
    figure = plot_photograph(np.zeros((80, 120, 3)), frames, ["real", "fake", "unsure"])
    (ax,) = figure.axes
    assert (ax.get_xlim(), ax.get_ylim()) == ((-0.5, 119.5), (79.5, -0.5))
    # Below each coloured frame lies a white one.
    drawn = ax.patches[1::2]
    assert [to_hex(patch.get_edgecolor()).upper() for patch in drawn] == [
        REAL,
        FAKE,
        GUIDE.upper(),
    ]
    for patch, frame in zip(drawn, frames, strict=True):
        np.testing.assert_allclose(patch.get_xy()[:4], frame - 0.5)
    assert [text.get_text() for text in ax.texts] == ["0: real", "1: fake", "2: unsure"]


def test_the_colour_of_fake_is_that_of_the_fake_class():
    for names, fake, colors in (
        (("fake", "photo"), None, [FAKE, REAL]),
        (("a", "b"), "b", [REAL, FAKE]),
    ):
        figure = plot_photograph(np.zeros((9, 9, 3)), [FRAME] * 2, names, names, fake_class=fake)
        drawn = figure.axes[0].patches[1::2]
        assert [to_hex(patch.get_edgecolor()).upper() for patch in drawn] == colors


def test_no_face():
    assert not plot_photograph(np.zeros((8, 9, 3)), [], []).axes[0].patches


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frames": [FRAME[:3]]}, "`frames` must be numbers of shape"),
        ({"frames": FRAME}, "`frames` must be numbers of shape"),
        ({"frames": [FRAME * np.nan]}, "`frames` must be finite"),
        ({"verdicts": ["false"]}, "`verdicts` must be of"),
        ({"class_names": ("a", "fake", "real")}, "must be two different names"),
        ({"class_names": ("fake", "b"), "fake_class": "c"}, "`fake_class` must be one of"),
        ({"verdicts": ["fake", "real"]}, "`verdicts`"),
        ({"photograph": np.full((8, 8, 3), 9.0)}, "photograph"),
    ],
)
def test_refuses(arguments, message):
    given = {"photograph": np.zeros((8, 8, 3)), "frames": [FRAME], "verdicts": ["fake"]}
    with pytest.raises(ValueError, match=message):
        plot_photograph(**{**given, **arguments})
