import io

import keras
import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from keras_deepfake._text import printable
from keras_deepfake.visualization import (
    plot_confusion_matrix,
    plot_images,
    plot_input_target,
    plot_overlays,
    plot_predictions,
    plot_reconstructions,
    plot_training_curves,
)

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(size=(4, 8, 6, 3)).astype("float32")


def drawn(ax):
    return np.asarray(ax.images[0].get_array())


def test_sheet_shows_the_images_under_their_titles():
    figure = plot_images(IMAGES, titles=list("abcd"), columns=4)
    assert [ax.get_title() for ax in figure.axes] == list("abcd")
    for ax, image in zip(figure.axes, IMAGES, strict=True):
        np.testing.assert_allclose(drawn(ax), image, rtol=1e-6)
    rows = {ax.get_subplotspec().rowspan.start for ax in figure.axes}
    assert rows == {0}


@pytest.mark.parametrize(
    "same",
    [
        keras.ops.convert_to_tensor(IMAGES),
        list(IMAGES),
        IMAGES.astype("float64"),
        np.moveaxis(IMAGES, -1, 1),
    ],
    ids=["tensor", "list", "float64", "channels first"],
)
def test_images_of_any_kind(same):
    for ax, image in zip(plot_images(same).axes, IMAGES, strict=True):
        np.testing.assert_allclose(drawn(ax), image, rtol=1e-6)


def test_uint8_images_are_scaled():
    images = np.array([0, 51, 255, 102], "uint8").reshape(1, 2, 2, 1)
    ax = plot_images(images).axes[0]
    np.testing.assert_allclose(drawn(ax), [[0, 0.2], [1, 0.4]], rtol=1e-6)
    assert ax.images[0].get_clim() == (0, 1)


@pytest.mark.parametrize(
    ("images", "reason"),
    [
        (IMAGES * 255, r"`images` .* pixel values in \[0, 1\]"),
        (IMAGES - 0.5, r"`images` .* pixel values in \[0, 1\]"),
        (IMAGES.astype("int32"), "`images` .* got dtype int32"),
        (np.full((1, 4, 4, 3), np.nan), "`images` must hold finite pixel values"),
        (IMAGES[0], "one image has shape"),
        (IMAGES[..., :2], "1 or 3 channels"),
        (IMAGES[:0], "is empty"),
        (IMAGES[:, :0], r"one image has shape \(0, 6, 3\)"),
        (0.5, r"one image has shape \(\)"),
        (None, "`images` must be an array"),
        ("face.png", "`images` must be an array of numbers"),
        (["face.png"], "`images` must be an array of numbers"),
        ({"a": 1}, "`images` must be an array"),
    ],
)
def test_unfit_images_are_refused(images, reason):
    with pytest.raises(ValueError, match=reason):
        plot_images(images)


def test_given_axes():
    figure = Figure()
    axes = figure.subplots(2, 3)
    assert plot_images(IMAGES, axes=axes) is figure
    assert [len(ax.images) for ax in figure.axes] == [1, 1, 1, 1, 0, 0]
    with pytest.raises(ValueError, match="at least 4 axes"):
        plot_images(IMAGES, axes=axes[0])
    for wrong in ("axes", 3, [figure] * 4):
        with pytest.raises(ValueError, match="`axes` must be Matplotlib axes"):
            plot_images(IMAGES, axes=wrong)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"titles": ["one"]}, "`titles` must have one entry"),
        ({"titles": "abcd"}, "`titles` must be a list"),
        ({"titles": 4}, "`titles` must be a list"),
        ({"titles": np.array("a")}, "`titles` must be a list"),
        ({"columns": 0}, "`columns` must be an integer"),
        ({"columns": 2.5}, "`columns` must be an integer"),
    ],
)
def test_unfit_titles_and_columns_are_refused(arguments, reason):
    with pytest.raises(ValueError, match=reason):
        plot_images(IMAGES, **arguments)


def test_more_columns_than_images():
    assert plot_images(IMAGES, columns=10**9).get_figwidth() < 20


def test_input_above_target():
    figure = plot_input_target(IMAGES, 1 - IMAGES)
    assert figure.axes[0].get_ylabel() == "Input"
    assert figure.axes[4].get_ylabel() == "Target"
    np.testing.assert_allclose(drawn(figure.axes[1]), IMAGES[1], rtol=1e-6)
    np.testing.assert_allclose(drawn(figure.axes[5]), 1 - IMAGES[1], rtol=1e-6)
    with pytest.raises(ValueError, match="`targets` must have one entry"):
        plot_input_target(IMAGES, IMAGES[:2])


def test_reconstructions_with_errors_on_one_scale():
    # A ReLU output may exceed 1.
    reconstructions = IMAGES + np.array([0.1, 0.2, 0.3, 0.4]).reshape(4, 1, 1, 1)
    figure = plot_reconstructions(IMAGES, reconstructions)
    originals, drawings, errors = (figure.axes[i : i + 4] for i in (0, 4, 8))
    assert originals[0].get_ylabel() == "Original"
    assert drawings[0].get_ylabel() == "Reconstruction"
    np.testing.assert_allclose(drawn(drawings[3]), np.clip(reconstructions[3], 0, 1), rtol=1e-5)
    np.testing.assert_allclose(drawn(errors[1]), np.full((8, 6), 0.2), rtol=1e-5)
    titles = [ax.get_title() for ax in errors]
    assert titles == ["MSE 0.0100", "MSE 0.0400", "MSE 0.0900", "MSE 0.1600"]
    limits = {tuple(np.round(ax.images[0].get_clim(), 5)) for ax in errors}
    assert limits == {(0, 0.4)}
    (bar,) = figure.axes[12:]
    assert bar.get_ylabel() == "Absolute error"


def test_perfect_reconstructions_are_drawn_too():
    assert plot_reconstructions(IMAGES, IMAGES).axes[8].get_title() == "MSE 0.0000"


@pytest.mark.parametrize(
    ("reconstructions", "reason"),
    [
        (IMAGES[:, :4], "must have the shapes of `images`"),
        (IMAGES * np.nan, "`reconstructions` must hold finite"),
        ((255 * IMAGES).astype("int64"), "`reconstructions` must be uint8, or floating point"),
        (IMAGES[:2], "`reconstructions` must have one entry"),
        (None, "`reconstructions` must be an array"),
    ],
)
def test_unfit_reconstructions_are_refused(reconstructions, reason):
    with pytest.raises(ValueError, match=reason):
        plot_reconstructions(IMAGES, reconstructions)


PROBABILITIES = np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.4, 0.6]])


@pytest.mark.parametrize("labels", [[0, 1, 1, 0], [[1, 0], [0, 1], [0, 1], [1, 0]]])
def test_predictions_mark_wrong_verdicts_without_colour(labels):
    axes = plot_predictions(IMAGES, PROBABILITIES, labels=labels).axes
    assert [ax.get_xlabel() for ax in axes] == [
        "fake 0.90",
        "real 0.80",
        "✗ fake 0.70\n(is real)",
        "✗ real 0.60\n(is fake)",
    ]
    framed = [ax.spines["left"].get_visible() for ax in axes]
    assert framed == [False, False, True, True]
    fake, real = axes[0].patches
    assert fake.get_width() == pytest.approx(0.9)
    assert real.get_width() == pytest.approx(0.1)


def test_colours_belong_to_the_names():
    colors = [
        [
            to_hex(bar.get_facecolor())
            for bar in plot_predictions(IMAGES, PROBABILITIES, class_names=names).axes[0].patches
        ]
        for names in (("fake", "real"), ("REAL", "FAKE"), ("0_real", "1_fake"), ("Fakes", "people"))
    ]
    fake_first, real_first = ["#d55e00", "#0072b2"], ["#0072b2", "#d55e00"]
    assert colors == [fake_first, real_first, real_first, fake_first]


def test_colours_of_many_classes_differ():
    names = ("fake_swap", "fake_gan", "Real", "other")
    probabilities = np.full((4, 4), 0.25)
    bars = plot_predictions(IMAGES, probabilities, names).axes[0].patches
    colors = [to_hex(bar.get_facecolor()) for bar in bars]
    assert len(set(colors)) == 4


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("fake", [0, 1])
def test_verdicts_are_those_of_the_detector(dtype, fake):
    scores = np.array([0.4, 0.31, 0.3, 0.9], dtype)
    probabilities = np.stack([scores, 1 - scores], axis=1)[:, [fake, 1 - fake]]
    names = ("Fake", "Real")[:: 1 - 2 * fake]
    labels = [fake, fake, fake, 1 - fake]
    axes = plot_predictions(IMAGES, probabilities, names, labels, threshold=0.31).axes
    assert [ax.get_xlabel() for ax in axes] == [
        "Fake 0.40",
        "Fake 0.31",
        "✗ Real 0.70\n(is Fake)",
        "✗ Fake 0.90\n(is Real)",
    ]
    # The mark of the threshold lies where the bar of the fake class must reach.
    (line,) = axes[0].lines
    assert line.get_xdata() == pytest.approx([abs(fake - 0.31)] * 2)
    told = plot_predictions(
        IMAGES, probabilities, ("a", "b"), threshold=0.31, fake_class="ab"[fake]
    )
    assert [ax.get_xlabel() for ax in told.axes] == ["ab"[fake] + " 0.40", "ab"[fake] + " 0.31"] + [
        "ab"[1 - fake] + " 0.70",
        "ab"[fake] + " 0.90",
    ]


@pytest.mark.parametrize("fake", [0, 1])
def test_where_the_detector_is_unsure(fake):
    scores = np.array([0.8, 0.31, 0.3, 0.2])
    probabilities = np.stack([scores, 1 - scores], axis=1)[:, [fake, 1 - fake]]
    names, labels = ("Fake", "Real")[:: 1 - 2 * fake], [fake, fake, 1 - fake, fake]
    bounds = (0.3, 0.7)
    axes = plot_predictions(
        IMAGES, probabilities, names, labels, threshold=0.9, conformal_bounds=bounds
    ).axes
    assert [ax.get_xlabel() for ax in axes] == [
        "Fake 0.80",
        "unsure\n(is Fake)",
        "unsure\n(is Real)",
        "✗ Real 0.80\n(is Fake)",
    ]
    assert [ax.spines["left"].get_visible() for ax in axes] == [False, False, False, True]
    marks = [line.get_xdata()[0] for line in axes[0].lines]
    assert marks == pytest.approx([1 - mark if fake else mark for mark in bounds])
    unjudged = plot_predictions(IMAGES, probabilities, names, conformal_bounds=bounds).axes
    assert unjudged[1].get_xlabel() == "unsure"


def test_a_tie_is_fake_as_for_the_detector():
    axes = plot_predictions(IMAGES[:1], [[0.5, 0.5]], ("real", "fake")).axes
    assert axes[0].get_xlabel() == "fake 0.50"


NAMES = ["$x^1$", "a\nb\x1b", "\udcff=<b>", "顔顔", "Лицо", "a$"]


@pytest.mark.filterwarnings("ignore:Glyph:UserWarning")
@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_drawn(name):
    shown = printable(name)
    figures = (
        plot_images(IMAGES, titles=[name] * 4),
        plot_predictions(IMAGES, PROBABILITIES, (name, "real"), labels=[0] * 4),
        plot_overlays(IMAGES, np.ones((4, 8, 6)), titles=[name] * 4, label=name),
        plot_confusion_matrix([[1, 2], [3, 4]], (name, "real")),
        plot_training_curves({name: [0.5]}),
    )
    for figure in figures:
        figure.savefig(io.BytesIO(), format="png")
        texts = [text for text in figure.findobj(Text) if shown[1:] in text.get_text()]
        assert texts
        assert not any(text.get_parse_math() for text in texts)


def test_predictions_without_labels_are_not_judged():
    axes = plot_predictions(IMAGES, keras.ops.convert_to_tensor(PROBABILITIES)).axes
    assert not any("✗" in ax.get_xlabel() for ax in axes)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"probabilities": PROBABILITIES[:2]}, r"`probabilities` must have shape \(4, 2\)"),
        ({"probabilities": 4 * PROBABILITIES - 2}, r"must lie in \[0, 1\]"),
        ({"probabilities": PROBABILITIES * np.nan}, r"must lie in \[0, 1\]"),
        ({"probabilities": PROBABILITIES / 2}, "must sum to 1"),
        ({"probabilities": "abc"}, "`probabilities` must be an array of numbers"),
        ({"class_names": "ab"}, "`class_names` must be two or more"),
        ({"class_names": np.array("ab")}, "`class_names` must be two or more"),
        ({"class_names": ("cat", "dog")}, "do not say which class is the fake one"),
        ({"fake_class": "fakes"}, "`fake_class` must be one of 'fake', 'real'"),
        ({"threshold": 31}, "`threshold` must be"),
        ({"threshold": "0.5"}, "`threshold` must be"),
        ({"conformal_bounds": (0.2, 2)}, "`conformal_bounds"),
        (
            {
                "probabilities": np.full((4, 4), 0.25),
                "class_names": ("a", "b", "c", "real"),
                "threshold": 0.3,
            },
            "`threshold`, `fake_class` and `conformal_bounds` are for two classes",
        ),
        ({"labels": [True, False, True, False]}, "Labels must be one-hot.*got bool"),
        ({"labels": "fake"}, "`labels` must be an array of numbers"),
        ({"labels": [0, 1, 2, 0]}, "Labels must be one-hot"),
        ({"labels": [0, 1]}, "`labels` must be one for each image; got 2 for 4"),
    ],
)
def test_unfit_predictions_are_refused(arguments, reason):
    with pytest.raises(ValueError, match=reason):
        plot_predictions(IMAGES, **{"probabilities": PROBABILITIES, **arguments})


def test_global_state_of_matplotlib_is_left_alone():
    before = dict(matplotlib.rcParams)
    plot_reconstructions(IMAGES, IMAGES)
    assert pyplot.get_fignums() == []
    assert dict(matplotlib.rcParams) == before
