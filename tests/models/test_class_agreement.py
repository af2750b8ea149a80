"""Every function that takes a model means the same by "fake"."""

import keras
import numpy as np
import pytest

import keras_deepfake as kd
from keras_deepfake.models import ConvAutoencoder, Detector, EncoderClassifier, as_detector
from tests.models.test_detector import red_classifier


def make_faces(folder, names, count=24):
    """Fakes are red."""
    rng = np.random.default_rng(1)
    for name in names:
        (folder / name).mkdir(parents=True)
    for i in range(count):
        name = names[i % 2]
        image = rng.integers(0, 120, (16, 16, 3))
        image[..., 0] += 130 * ("fake" in name.lower())
        keras.utils.save_img(folder / name / f"{i}.png", image, scale=False)
    return kd.datasets.ImageIndex.from_directory(folder, class_names=names)


# What every function that takes a model must agree on: the order of the classes, the labels, the
# columns, and a plain model whose classes are told.
FORMS = [
    pytest.param(
        *(order, labels, columns, is_plain),
        id=f"{order[0]}-{labels}-{columns}-{'plain' if is_plain else 'own'}",
        marks=pytest.mark.once if labels == "numbers" or order[0] == "fake" else (),
    )
    for order in (("fake", "real"), ("REAL", "FAKE"))
    for labels in ("one-hot", "numbers")
    for columns, is_plain in ((2, False), (2, True), (1, True))
]


@pytest.mark.parametrize(("order", "labels", "columns", "is_plain"), FORMS)
def test_every_function_agrees(order, labels, columns, is_plain, tmp_path):
    index = make_faces(tmp_path / "faces", order)
    images = np.stack([kd.datasets.load_image(path) for path in index.paths])
    y = index.labels if labels == "numbers" else np.eye(2)[index.labels]
    is_fake = np.array(["fake" in path.lower().split("/")[-2] for path in index.paths])
    model = red_classifier(tuple(name.lower() for name in order), columns)
    names = {"class_names": order}
    if not is_plain:
        model.class_names, names = order, {}

    detector = as_detector(model, **names)
    np.testing.assert_array_equal(detector.scores(images) >= 0.5, is_fake)
    np.testing.assert_array_equal(detector.scores(index), detector.scores(images))
    fake_name = order[detector.fake_index]
    np.testing.assert_array_equal(detector.verdicts(images) == fake_name, is_fake)

    for data in (index, (images, y)):
        told = {} if data is index else names  # an index tells a plain model its classes
        report = kd.evaluation.evaluate_detector(model, data, num_resamples=2, **told)
        assert report.metrics["auc"] == report.metrics["recall_fake"] == 1.0
        rows = kd.evaluation.evaluate_robustness(model, data, {"jpeg": 90}, **told).rows
        assert all(row.auc == row.recall_fake == row.recall_real == 1.0 for row in rows)

    rows = kd.evaluation.predict_images(model, index.paths, **names)
    assert [row.verdict == fake_name for row in rows] == is_fake.tolist()
    assert all(row.probabilities.argmax() == order.index(row.verdict) for row in rows)

    with pytest.warns(UserWarning, match="separates the validation images perfectly"):
        calibrated = kd.evaluation.calibrate(model, (images, y), false_positive_rate=0.2, **names)
    assert np.mean(calibrated.scores(images)[~is_fake] >= calibrated.threshold) <= 0.2
    assert (calibrated.scores(images)[is_fake] >= calibrated.threshold).all()
    assert calibrated.class_names == order


@pytest.mark.once
def test_index_and_model_that_disagree_raise(tmp_path):
    index = make_faces(tmp_path, ("REAL", "FAKE"))
    classifier = EncoderClassifier.from_autoencoder(
        ConvAutoencoder((16, 16, 3), (6, 4))
    )  # with the default names, as if it had been trained on these
    for function in (
        kd.evaluation.evaluate_detector,
        kd.evaluation.evaluate_robustness,
        kd.evaluation.calibrate,
        kd.evaluation.predict_images,
    ):
        for data in (
            index,
            kd.datasets.classification_dataset(index, (16, 16)),
            keras.utils.image_dataset_from_directory(
                tmp_path, class_names=["REAL", "FAKE"], image_size=(16, 16), verbose=False
            ),
        ):
            with pytest.raises(ValueError, match="the fake class at different places"):
                function(classifier, data)
            with pytest.raises(ValueError, match="the fake class at different places"):
                function(as_detector(classifier), data)


def numbered_dataset(images):
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices((images, [0, 1])).batch(2)
    dataset.class_names = ["0", "1"]
    return dataset


@pytest.mark.once
@pytest.mark.parametrize(
    "told",
    [
        {"class_names": ("fake", "real")},
        {"class_names": ("FAKE", "REAL")},
        {"class_names": ("a", "b"), "fake_class": "a"},
        {"fake_class": "real"},
    ],
)
def test_nothing_turns_a_detector_around(told, tmp_path):
    images = np.zeros((2, 16, 16, 3))
    detector = Detector(red_classifier(("real", "fake")), ("real", "fake"), threshold=0.9)
    for use in (
        lambda **told: kd.evaluation.predict_images(detector, images, **told),
        lambda **told: kd.evaluation.evaluate_detector(detector, (images, [0, 1]), **told),
        lambda **told: kd.evaluation.evaluate_robustness(detector, (images, [0, 1]), **told),
        lambda **told: kd.evaluation.calibrate(detector, (images, [0, 1]), **told),
        lambda **told: kd.explanation.grad_cam(detector, images, **told),
        lambda **told: kd.export.export_detector(detector, tmp_path / "a.onnx", **told),
    ):
        with pytest.raises(ValueError, match=r"knows its classes.*leave `class_names`"):
            use(**told)
    # Numbers are no names, and other names may be the same.
    data = numbered_dataset(images)
    assert kd.evaluation.evaluate_detector(detector, data, num_resamples=1).num_images == 2
    assert as_detector(detector, ("photo", "render"), "render").threshold == 0.9


@pytest.mark.once
def test_an_index_names_the_classes_of_members_that_have_no_names(tmp_path):
    index = make_faces(tmp_path, ("REAL", "FAKE"))
    members = [red_classifier(("real", "fake"), name=name) for name in "ab"]
    assert as_detector(members, data=index).class_names == ("REAL", "FAKE")
    dataset = kd.datasets.classification_dataset(index, (16, 16))
    assert as_detector(members, data=dataset).class_names == ("REAL", "FAKE")
    members[1].class_names = ("real", "fake")
    assert as_detector(members, data=index).class_names == ("real", "fake")
