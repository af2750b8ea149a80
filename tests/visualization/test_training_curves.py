import keras
import numpy as np
import pytest
from matplotlib.figure import Figure

from keras_deepfake.visualization import plot_training_curves

HISTORY = {
    "loss": [0.7, 0.5, 0.4],
    "auc": [0.5, 0.6, 0.7],
    "val_loss": [0.7, 0.6, 0.6],
    "equal_error_rate": [0.5, 0.4, 0.3],
}


def test_one_panel_a_metric_and_training_beside_validation():
    figure = plot_training_curves(HISTORY)
    assert [ax.get_ylabel() for ax in figure.axes] == ["Loss", "AUC", "Equal error rate"]
    assert {ax.get_xlabel() for ax in figure.axes} == {"Epoch"}
    training, validation = figure.axes[0].lines
    np.testing.assert_array_equal(training.get_xdata(), [1, 2, 3])
    np.testing.assert_array_equal(training.get_ydata(), HISTORY["loss"])
    np.testing.assert_array_equal(validation.get_ydata(), HISTORY["val_loss"])
    # Told apart without colour.
    assert training.get_linestyle() != validation.get_linestyle()
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == [
        "Training",
        "Validation",
    ]
    assert len(figure.axes[1].lines) == 1


def test_keras_history_of_a_later_start():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    history = model.fit(np.ones((4, 2)), np.ones(4), initial_epoch=3, epochs=5, verbose=0)
    (line,) = plot_training_curves(history).axes[0].lines
    np.testing.assert_array_equal(line.get_xdata(), [4, 5])


def test_single_epoch_is_a_marker_at_an_integer_tick():
    figure = plot_training_curves({"loss": [0.5], "val_loss": [0.4]})
    assert all(line.get_marker() == "o" for line in figure.axes[0].lines)
    ticks = [tick for tick in figure.axes[0].get_xticks() if 0.5 <= tick <= 1.5]
    assert ticks == [1]


def test_noise_about_a_level_is_not_blown_up():
    low, high = plot_training_curves({"accuracy": [0.5, 0.5001, 0.4999]}).axes[0].get_ylim()
    assert high - low >= 0.05


def test_chosen_metrics_on_given_axes():
    figure = Figure()
    axes = figure.subplots(2, 2)
    assert plot_training_curves(HISTORY, metrics=["auc", "loss"], axes=axes) is figure
    assert [ax.get_ylabel() for ax in figure.axes] == ["AUC", "Loss", "", ""]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"history": {}}, "`metrics` must be a list of what `history` holds"),
        ({"history": HISTORY, "metrics": ["val_loss"]}, "without the prefix"),
        ({"history": HISTORY, "metrics": []}, "`metrics` must be a list"),
        ({"history": HISTORY, "metrics": "loss"}, "`metrics` must be a list"),
        ({"history": HISTORY, "metrics": 3}, "`metrics` must be a list"),
        ({"history": None}, "`history` must be what `fit` returns"),
        ({"history": [0.1, 0.2]}, "`history` must be what `fit` returns"),
        ({"history": {"loss": 0.5}}, "one value an epoch"),
        ({"history": {"loss": [0.5, None]}}, r"`history\['loss'\]` must be an array"),
        ({"history": {"loss": ["a"]}}, r"`history\['loss'\]` must be an array"),
        ({"history": HISTORY, "axes": 3}, "`axes` must be Matplotlib axes"),
        ({"history": {"loss": [1, 2], "val_loss": [1]}}, "one value an epoch"),
        ({"history": HISTORY, "axes": Figure().subplots()}, "at least 3 axes"),
    ],
)
def test_errors(arguments, reason):
    with pytest.raises(ValueError, match=reason):
        plot_training_curves(**arguments)
