import csv
import json

import keras
import numpy as np
import pytest

from keras_deepfake.datasets import ImageIndex
from keras_deepfake.evaluation import detection_report, evaluate_robustness
from keras_deepfake.models import Detector


def robustness(*args, **kwargs):
    """On labels that are 1 for fake."""
    return evaluate_robustness(*args, class_names=("real", "fake"), **kwargs)


FEW = {"jpeg": (90, 40), "blur": (1,), "noise": (5, 20), "brightness": (-0.3, 0.3)}


@pytest.fixture(scope="module")
def data():
    """Fakes are darker than reals, on the whole."""
    rng = np.random.default_rng(0)
    labels = np.arange(23) % 3 == 0
    level = rng.uniform(0.3, 0.7, 23) - 0.15 * labels
    images = level[:, None, None, None] + rng.uniform(-0.2, 0.2, (23, 12, 10, 3))
    return np.clip(images, 0, 1).astype("float32"), labels.astype(int)


def brightness_detector(columns=2, shape=(12, 10, 3), fake_column=1, slope=12.0):
    """P(fake) falls with the mean of all pixels, and is 0.5 at 0.45."""
    inputs = keras.Input(shape)
    x = keras.layers.Flatten()(inputs)
    activation = "softmax" if columns == 2 else "sigmoid"
    dense = keras.layers.Dense(columns, activation=activation)
    model = keras.Model(inputs, dense(x))
    size = int(np.prod(shape))
    fake_column %= columns
    kernel = np.zeros((size, columns))
    bias = np.zeros(columns)
    kernel[:, fake_column], bias[fake_column] = -slope / size, 0.45 * slope
    dense.set_weights([kernel, bias])
    return model


def test_rows_are_those_of_the_corrupted_images(data):
    from keras_deepfake.evaluation import _corruptions as corruptions

    images, labels = data
    model = brightness_detector()
    report = robustness(model, data, corruptions=FEW, batch_size=7)
    assert [(row.corruption, row.level) for row in report.rows] == [
        ("clean", None),
        ("jpeg", 90),
        ("jpeg", 40),
        ("blur", 1),
        ("noise", 5),
        ("noise", 20),
        ("brightness", -0.3),
        ("brightness", 0.3),
    ]
    pixels = np.rint(images * 255).astype("uint8")
    by_setting = {
        ("clean", None): images,
        ("jpeg", 40): np.stack([corruptions.jpeg(x, 40) for x in pixels]) / 255,
        ("blur", 1): np.stack([corruptions.blur(x, 1) for x in pixels]) / 255,
        ("brightness", 0.3): np.stack([corruptions.brightness(x, 0.3) for x in pixels]) / 255,
    }
    for row in report.rows:
        if row[:2] in by_setting:
            x = by_setting[row[:2]].astype("float32")
            expected = detection_report(labels, model.predict(x, verbose=0)[:, 1], num_resamples=2)
            for name in ("auc", "recall_fake", "recall_real"):
                assert getattr(row, name) == pytest.approx(expected.metrics[name], abs=1e-9)
    dark, bright = report.rows[-2:]
    assert dark.recall_fake > bright.recall_fake
    assert dark.recall_real < bright.recall_real


def test_default_grid(data):
    report = robustness(brightness_detector(), data)
    assert report.rows[0].corruption == "clean"
    assert len(report.rows) == 25
    assert {row.corruption for row in report.rows} == {
        "clean", "jpeg", "blur", "resize", "noise", "crop", "brightness"
    }  # fmt: skip
    assert (report.num_fake, report.num_real) == (8, 15)
    # What keeps the mean keeps the verdicts of this detector.
    for row in report.rows:
        if row.corruption in ("blur", "resize"):
            assert row.auc == pytest.approx(report.rows[0].auc, abs=0.02)


def test_noise_depends_on_the_seed_and_not_on_the_batches(data):
    # A detector of single pixels, so that the pattern of the noise matters.
    model = brightness_detector()
    kernel, bias = model.layers[-1].get_weights()
    kernel = np.random.default_rng(1).normal(0, 0.3, kernel.shape)
    model.layers[-1].set_weights([kernel, 0 * bias])
    noise = {"noise": (40,)}
    first = robustness(model, data, noise, batch_size=5, seed=1)
    assert first.rows == robustness(model, data, noise, batch_size=23, seed=1).rows
    assert first.rows != robustness(model, data, noise, batch_size=23, seed=2).rows


def test_outputs_and_class_orders(data):
    images, labels = data
    expected = robustness(brightness_detector(), data, FEW).rows
    one_hot = np.eye(2)[labels]
    assert robustness(brightness_detector(), (images, one_hot), FEW).rows == expected
    sigmoid = robustness(brightness_detector(columns=1), data, FEW).rows
    np.testing.assert_allclose(
        [row[2:] for row in sigmoid], [row[2:] for row in expected], atol=1e-6
    )
    swapped = brightness_detector(fake_column=0)
    swapped.class_names = ("fake", "real")
    assert evaluate_robustness(swapped, (images, one_hot[:, ::-1]), FEW).rows == expected


def test_channels_first_and_grey(data):
    images, labels = data
    expected = robustness(brightness_detector(), data, FEW).rows
    first = images.transpose(0, 3, 1, 2)
    model = brightness_detector(shape=(3, 12, 10))
    np.testing.assert_allclose(
        [row[2:] for row in robustness(model, (first, labels), FEW).rows],
        [row[2:] for row in expected],
        atol=1e-6,
    )
    grey = robustness(brightness_detector(shape=(12, 10, 1)), (images[..., :1], labels))
    assert grey.rows[0].auc > 0.7
    with pytest.raises(ValueError, match="1 or 3 channels"):
        robustness(brightness_detector(shape=(12, 10, 2)), (images[..., :2], labels), {"jpeg": 90})


def test_index_and_batches(data, tmp_path):
    images, labels = data
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        folder = tmp_path / ("real", "fake")[label]
        folder.mkdir(exist_ok=True)
        keras.utils.save_img(folder / f"{number}.png", image * 255, scale=False)
    report = robustness(
        brightness_detector(), ImageIndex.from_directory(tmp_path, ("real", "fake")), FEW
    )
    assert (report.num_fake, report.num_real) == (8, 15)
    # The clean row of the arrays is not rounded to 8 bits.
    expected = robustness(brightness_detector(), data, {"jpeg": (90, 40), "blur": (1,)}).rows
    for row in report.rows[1:4]:
        assert row[2:] == pytest.approx(expected[report.rows.index(row)][2:], abs=0.03)

    batches = ((images[i : i + 4], labels[i : i + 4]) for i in range(0, 23, 4))
    blurred = robustness(brightness_detector(), batches, {"blur": 1})
    assert blurred.rows == (expected[0], expected[3])


def test_threshold(data):
    model = brightness_detector()
    assert robustness(model, data, {}).threshold == 0.5
    detector = Detector(model, class_names=("real", "fake"), threshold=0.9)
    stored = robustness(detector, data, {})
    assert stored.threshold == 0.9
    stated = robustness(model, data, {}, threshold=0.1)
    assert stated.threshold == 0.1
    assert stated.rows[0].auc == stored.rows[0].auc
    assert stated.rows[0].recall_fake > stored.rows[0].recall_fake


def test_table_csv_and_json(data, tmp_path):
    report = robustness(brightness_detector(), data, FEW)
    shown = str(report)
    assert len(shown.splitlines()) == 3 + len(report.rows)
    assert "JPEG quality 40" in shown
    assert "Brightness -30%" in shown

    report.to_csv(tmp_path / "rows.csv")
    with open(tmp_path / "rows.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["corruption", "level", "auc", "recall_fake", "recall_real"]
    assert rows[1][:2] == ["clean", ""]
    assert [float(value) for value in rows[2][1:]] == list(report.rows[1][1:])
    assert [path.name for path in tmp_path.iterdir()] == ["rows.csv"]

    loaded = json.loads(report.to_json())
    assert loaded["rows"][1] == report.rows[1]._asdict()
    assert loaded["threshold"] == 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"corruptions": {"fog": (1,)}}, "'fog'"),
        ({"corruptions": {"jpeg": (0,)}}, "of at least 1 .*; got 0"),
        ({"corruptions": {"jpeg": (75.5,)}}, "must hold integers"),
        ({"corruptions": {"blur": (-1,)}}, "'blur'"),
        ({"corruptions": {"blur": "high"}}, "corruptions\\['blur'\\]` must be a finite number"),
        ({"corruptions": {"blur": [True, None]}}, "'blur'.* must be a finite number"),
        ({"corruptions": {"blur": [[1, 2]]}}, "'blur'.* must be a finite number"),
        ({"corruptions": {"crop": (1,)}}, "'crop'"),
        ({"corruptions": {"noise": (float("nan"),)}}, "'noise'"),
        ({"threshold": 1.5}, "`threshold`"),
    ],
)
def test_wrong_arguments(data, arguments, message):
    with pytest.raises(ValueError, match=message):
        robustness(brightness_detector(), data, **arguments)


def test_wrong_data(data):
    images, labels = data
    model = brightness_detector()
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        robustness(model, (images * 255, labels))
    with pytest.raises(ValueError, match="both classes"):
        robustness(model, (images, np.ones(23)), {})
    with pytest.raises(ValueError, match="empty"):
        robustness(model, [], {})
