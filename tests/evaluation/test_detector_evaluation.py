import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn import metrics

import keras_deepfake as kd

NAMES = ("real", "fake")
evaluate_detector = functools.partial(kd.evaluation.evaluate_detector, class_names=NAMES)


@keras.saving.register_keras_serializable(package="tests")
class MeanColour(keras.layers.Layer):
    """Probability of fake is the mean of the first channel, in the columns asked for."""

    def __init__(self, columns, fake=0, **kwargs):
        super().__init__(**kwargs)
        self.columns, self.fake = columns, fake

    def call(self, inputs):
        channel = inputs[:, 0] if inputs.shape[1] == 3 else inputs[..., 0]
        score = keras.ops.mean(channel, axis=(1, 2))[:, None]
        if self.columns == 1:
            return score
        parts = [score, 1 - score, *([0 * score] * (self.columns - 2))]
        return keras.ops.concatenate(parts[:: -1 if self.fake else 1], axis=1)

    def get_config(self):
        return {**super().get_config(), "columns": self.columns, "fake": self.fake}


def detector(columns=2, fake=1, shape=(4, 5, 3)):
    inputs = keras.Input(shape)
    return keras.Model(inputs, MeanColour(columns, fake)(inputs))


def faces(seed=0, size=50):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(size) % 2)
    images = rng.random((size, 4, 5, 3)).astype("float32")
    images[..., 0] = np.clip(rng.normal(0.4 + 0.2 * labels, 0.2), 0, 1)[:, None, None]
    return images, labels, images[:, 0, 0, 0]


def test_every_form_of_data_and_output_agrees():
    images, labels, scores = faces()
    one_hot = np.eye(2, dtype="float32")[labels]
    dataset = tf.data.Dataset.from_tensor_slices((images, one_hot)).batch(16)

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 5

        def __getitem__(self, place):
            part = slice(10 * place, 10 * place + 10)
            return images[part], one_hot[part]

    for model, data in (
        (detector(), (images, labels)),
        (detector(), (images, labels[:, None])),
        (detector(), (images, one_hot)),
        (detector(), dataset),
        (detector(), Batches()),
        (detector(), [(images[:20], labels[:20]), (images[20:], labels[20:])]),
        (detector(columns=1), (images, labels)),
        (detector(columns=1), (images, one_hot)),
    ):
        report = evaluate_detector(model, data, batch_size=16, num_resamples=5)
        np.testing.assert_allclose(report.scores, scores, atol=1e-6)
        np.testing.assert_array_equal(report.is_fake, labels == 1)
    expected = metrics.roc_auc_score(labels, report.scores)
    assert report.metrics["auc"] == pytest.approx(expected, abs=1e-9)


def test_threshold_is_that_stated_or_stored_or_one_half():
    images, labels, _ = faces()
    model = detector()
    report = evaluate_detector(model, (images, labels), num_resamples=5)
    assert (report.threshold, report.threshold_source[:10]) == (0.5, "not chosen")
    calibrated = kd.models.Detector(
        model,
        class_names=NAMES,
        threshold=0.25,
        false_positive_rate=0.05,
        validation_digests=("0a",),
    )
    report = evaluate_detector(calibrated, (images, labels), num_resamples=5)
    assert report.threshold == 0.25
    assert "at most 5 %" in report.threshold_source
    report = evaluate_detector(calibrated, (images, labels), threshold=0.75, num_resamples=5)
    assert (report.threshold, report.threshold_source) == (0.75, "stated by the caller")


def test_a_detector_that_abstains_is_held_to_its_promise():
    images, labels, scores = faces(3, 400)
    arguments = {"class_names": NAMES, "conformal_bounds": (0.5, 0.5)}
    abstaining = kd.models.Detector(detector(), miscoverage=0.02, **arguments)
    report = evaluate_detector(abstaining, (images, labels), threshold=0.9, num_resamples=50)
    assert report.conformal_bounds == (0.5, 0.5)
    expected = np.mean(scores[labels == 1] >= 0.5)
    assert report.metrics["coverage_fake"] == pytest.approx(expected)
    notes = [note for note in report.notes if "less often than the 0.98" in note]
    assert [note.split()[5] for note in notes] == ["fakes", "reals"]
    for kept in ({"miscoverage": 0.5}, {}):
        report = evaluate_detector(
            kd.models.Detector(detector(), **arguments, **kept), (images, labels)
        )
        assert not any("less often" in note for note in report.notes)


def test_mistakes_are_the_most_confident():
    images, labels, scores = faces(1, size=120)
    report = evaluate_detector(detector(), (images, labels), batch_size=32, num_resamples=5)
    reals = [mistake for mistake in report.mistakes if not mistake.is_fake]
    fakes = [mistake for mistake in report.mistakes if mistake.is_fake]
    expected = np.sort(scores[labels == 0])[::-1][: len(reals)]
    np.testing.assert_allclose([mistake.score for mistake in reals], expected, atol=1e-6)
    expected = np.sort(scores[labels == 1])[: len(fakes)]
    np.testing.assert_allclose([mistake.score for mistake in fakes], expected, atol=1e-6)
    assert all(mistake.score >= 0.5 for mistake in reals)
    place = int(reals[0].name.removeprefix("images[").removesuffix("]"))
    np.testing.assert_array_equal(reals[0].image, images[place])


def test_wrong_images_are_refused():
    images, labels, _ = faces()
    for wrong in (images * 255, images * 2 - 1, images * np.nan):
        with pytest.raises(ValueError, match="pixel values"):
            evaluate_detector(detector(), (wrong, labels))
    with pytest.raises(ValueError, match="uint8 in 0-255"):
        evaluate_detector(detector(), (images.astype("int32"), labels))
    with pytest.raises(ValueError, match="must have 3 channels"):
        evaluate_detector(detector(), (images[..., 0], labels))


def test_wrong_labels_are_refused():
    images, labels, _ = faces()
    for wrong, message in (
        (labels[1:], "49 labels for 50 images"),
        (np.ones(50), "all 50 images are fake"),
        (labels + 1, "class numbers from 0 to 1"),
        # True may be meant as "is fake", or as class 1.
        (labels == 0, "class numbers .*; got bool"),
        ((labels == 0)[:, None], "class numbers .*; got bool"),
        (np.full((50, 2), 0.5), "one-hot"),
        (np.eye(3)[labels], "Detection has two classes"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluate_detector(detector(), (images, wrong))


def test_wrong_outputs_are_refused():
    images, labels, _ = faces()
    inputs = keras.Input((4, 5, 3))
    logits = keras.Model(inputs, keras.layers.Rescaling(8, -4)(MeanColour(1)(inputs)))
    two = keras.Model(inputs, [MeanColour(1)(inputs), MeanColour(2)(inputs)])
    for model, message in (
        (logits, "must give probabilities; its outputs run from -"),
        (keras.Model(inputs, MeanColour(1)(inputs) * np.nan), "run from nan"),
        (detector(columns=3), "two columns of probabilities, or one"),
        (two, "two columns of probabilities, or one"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluate_detector(model, (images, labels))


def test_wrong_data_is_refused():
    images, labels, _ = faces()
    for data, message in (
        (7, "must be an `ImageIndex`"),
        ([images], "has no label"),
        ("/nowhere", "has no label"),
        ([], "empty"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluate_detector(detector(), data)
    endless = tf.data.Dataset.from_tensors((images, labels)).repeat()
    with pytest.raises(ValueError, match="never ends"):
        evaluate_detector(detector(), endless)


@pytest.fixture
def index(tmp_path):
    """Images whose red value is their score, in two kinds of forgery and four people."""
    rng = np.random.default_rng(2)
    for place in range(24):
        kind = ("fake/swap", "fake/gan", "real")[place % 3]
        (tmp_path / kind).mkdir(parents=True, exist_ok=True)
        image = np.full((8, 10, 3), 255 * rng.random())
        keras.utils.save_img(tmp_path / kind / f"p{place % 4}_{place}.png", image, scale=False)
    return kd.datasets.ImageIndex.from_directory(
        tmp_path, class_names=NAMES, groups=lambda path: path.rsplit("/", 1)[-1].split("_")[0]
    )


def test_index_brings_size_groups_and_kinds(index):
    report = evaluate_detector(detector(), index, batch_size=7, num_resamples=5)
    assert (report.num_images, report.num_groups) == (24, 4)
    assert list(report.by_kind) == ["gan", "swap"]
    assert report.by_kind["gan"]["n"] == 8
    np.testing.assert_array_equal(report.is_fake, index.labels == 1)
    expected = [
        keras.utils.img_to_array(keras.utils.load_img(path))[0, 0, 0] / 255 for path in index.paths
    ]
    np.testing.assert_allclose(report.scores, expected, atol=1e-5)
    assert {mistake.name for mistake in report.mistakes} <= set(index.paths)
    channels_first = evaluate_detector(detector(shape=(3, 4, 5)), index, num_resamples=5)
    np.testing.assert_allclose(channels_first.scores, expected, atol=1e-5)
    any_size = evaluate_detector(
        detector(shape=(None, None, 3)), index, image_size=(6, 6), num_resamples=5
    )
    np.testing.assert_allclose(any_size.scores, expected, atol=1e-5)


def test_datasets_of_an_index_bring_its_groups(index):
    dataset = kd.datasets.classification_dataset(index, (4, 5), batch_size=7)
    report = evaluate_detector(detector(), dataset, num_resamples=5)
    assert report.num_groups == 4
    shuffled = kd.datasets.classification_dataset(index, (4, 5), shuffle_buffer=24)
    with pytest.raises(ValueError, match="`index_or_dataset` must not be shuffled"):
        evaluate_detector(detector(), shuffled)


def test_index_of_another_class_order(index, tmp_path):
    """A plain model takes the order of the index; one with names of its own must agree."""
    swapped = kd.datasets.ImageIndex.from_directory(tmp_path, class_names=("fake", "real"))
    expected = evaluate_detector(detector(), index, num_resamples=5)
    report = kd.evaluation.evaluate_detector(detector(fake=0), swapped, num_resamples=5)
    assert report.metrics["auc"] == pytest.approx(expected.metrics["auc"], abs=1e-9)
    with pytest.raises(ValueError, match="the fake class at different places"):
        evaluate_detector(detector(), swapped)
    model = detector(fake=0)
    model.class_names = ("fake", "real")
    with pytest.raises(ValueError, match="the fake class at different places"):
        kd.evaluation.evaluate_detector(model, index)


def test_wrong_index_is_refused(index, tmp_path):
    unlabelled = kd.datasets.ImageIndex.from_directory(tmp_path, class_names=None)
    with pytest.raises(ValueError, match="has no label"):
        evaluate_detector(detector(), unlabelled)
    with pytest.raises(ValueError, match="must have 1 channels"):
        evaluate_detector(detector(shape=(8, 10, 1)), index)
    three = kd.datasets.ImageIndex.from_directory(tmp_path / "fake", class_names=("swap", "gan"))
    three = type(three)(**{**vars(three), "class_names": ("a", "b", "c")})
    with pytest.raises(ValueError, match="Detection has two classes; the data has 3"):
        evaluate_detector(detector(), three)
    real = index.take(np.flatnonzero(index.labels == 0))
    with pytest.raises(ValueError, match="all 8 images are real"):
        evaluate_detector(detector(), real)
