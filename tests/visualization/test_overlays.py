import keras
import numpy as np
import pytest
from matplotlib.figure import Figure

from keras_deepfake.visualization import plot_overlays

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(size=(3, 8, 6, 3))
MAPS = RNG.uniform(size=(3, 8, 6))


def test_maps_over_grey_images_on_one_labelled_scale():
    figure = plot_overlays(IMAGES, keras.ops.convert_to_tensor(MAPS), list("abc"), label="Error")
    assert [ax.get_title() for ax in figure.axes[:3]] == list("abc")
    grey, overlay = figure.axes[4].images
    np.testing.assert_allclose(grey.get_array(), IMAGES[1].mean(axis=-1), rtol=1e-5)
    np.testing.assert_allclose(overlay.get_array(), MAPS[1], rtol=1e-5)
    # The stronger the map, the less of the image shows.
    order = np.argsort(MAPS[1], axis=None)
    assert (np.diff(overlay.get_alpha().ravel()[order]) >= 0).all()
    assert len({ax.images[1].get_clim() for ax in figure.axes[3:6]}) == 1
    assert figure.axes[6].get_ylabel() == "Error"


def test_given_axes_and_empty_maps():
    figure = Figure()
    axes = figure.subplots(2, 3)
    assert plot_overlays(IMAGES, np.zeros((3, 8, 6)), axes=axes) is figure
    with pytest.raises(ValueError, match="at least 6 axes"):
        plot_overlays(IMAGES, MAPS, axes=axes[0])


@pytest.mark.parametrize(
    ("maps", "reason"),
    [
        (MAPS[:2], "`maps` must have one entry"),
        (MAPS[:, :4], "must have the height and width"),
        (MAPS - 1, "finite and not negative"),
        (np.full_like(MAPS, np.nan), "finite and not negative"),
        (None, "`maps` must be an array"),
        (["a", "b", "c"], "`maps` must be an array of numbers"),
        (0.5, "`maps` must have one entry"),
    ],
)
def test_unfit_maps_are_refused(maps, reason):
    with pytest.raises(ValueError, match=reason):
        plot_overlays(IMAGES, maps)


def test_a_label_that_is_no_text_is_refused():
    with pytest.raises(ValueError, match="`label` must be a text; got 3"):
        plot_overlays(IMAGES, MAPS, label=3)
