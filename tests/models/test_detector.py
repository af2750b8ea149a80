import concurrent.futures
import os
import re
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_deepfake as kd
from keras_deepfake.models import ConvAutoencoder, Detector, EncoderClassifier

IMAGES = np.random.default_rng(0).random((6, 16, 16, 3), "float32")


def red_classifier(order=("fake", "real"), columns=2, size=(16, 16), name=None, slope=10.0):
    """A plain model that says fake where the mean of red is above one half."""
    inputs = keras.Input((*size, 3))
    x = keras.layers.GlobalAveragePooling2D()(inputs)
    head = keras.layers.Dense(columns, "softmax" if columns == 2 else "sigmoid")
    model = keras.Model(inputs, head(x), name=name)
    fake = order.index("fake")
    signs = np.where(np.arange(2) == fake, 0.5, -0.5) if columns == 2 else [2.0 * fake - 1]
    kernel = np.zeros((3, columns))
    kernel[0] = slope * np.array(signs)
    head.set_weights([kernel, -0.5 * slope * np.array(signs)])
    return model


def p_fake(images, slope=10.0):
    return 1 / (1 + np.exp(-slope * (images[..., 0].mean((1, 2)) - 0.5)))


def encoder_classifier(**arguments):
    return EncoderClassifier.from_autoencoder(ConvAutoencoder((16, 16, 3), (6, 4)), **arguments)


@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("order", [("fake", "real"), ("real", "fake")])
def test_scores_and_verdicts(order, columns):
    detector = Detector(red_classifier(order, columns), class_names=order, threshold=0.52)
    expected = p_fake(IMAGES)
    np.testing.assert_allclose(detector.scores(IMAGES), expected, atol=1e-6)
    assert detector.scores(IMAGES).dtype == "float32"
    assert detector.fake_index == order.index("fake")
    verdicts = np.where(expected >= 0.52, "fake", "real")
    np.testing.assert_array_equal(detector.verdicts(IMAGES), verdicts)
    outputs = detector.predict(IMAGES, verbose=0)
    np.testing.assert_allclose(outputs[:, detector.fake_index], expected, atol=1e-6)
    np.testing.assert_allclose(outputs.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("order", [("fake", "real"), ("real", "fake")])
@pytest.mark.parametrize(
    ("bounds", "verdicts"),
    [
        # Of both classes from 0.3 to 0.7, and of neither in between; both ends belong to the sets.
        ((0.3, 0.7), ["real", "unsure", "unsure", "unsure", "fake"]),
        ((0.7, 0.3), ["real", "real", "unsure", "fake", "fake"]),
        ((0.5, 0.5), ["real", "real", "unsure", "fake", "fake"]),
        ((0.0, 1.0), ["unsure"] * 5),
    ],
)
def test_verdicts_of_a_detector_that_abstains(order, bounds, verdicts):
    detector = Detector(red_classifier(order), class_names=order, conformal_bounds=bounds)
    scores = [0.2, 0.3, 0.5, 0.7, 0.8]
    assert detector.verdicts_of(scores).tolist() == verdicts
    binary = ["real", "real", "fake", "fake", "fake"]
    assert detector.verdicts_of(scores, threshold=0.5).tolist() == binary
    images = np.zeros((5, 16, 16, 3), "float32")
    images[..., 0] = (0.5 + np.log(np.divide(scores, np.subtract(1, scores))) / 10)[:, None, None]
    # Rounding decides where a score computed from an image meets a bound.
    clear = ~np.isin(scores, bounds)
    assert detector.verdicts(images)[clear].tolist() == np.array(verdicts)[clear].tolist()
    np.testing.assert_allclose(detector.scores(images), scores, atol=1e-5)


def test_no_class_is_called_like_the_verdict_of_a_detector_that_abstains():
    names = {"class_names": ("unsure", "fake"), "fake_class": "fake"}
    assert Detector(red_classifier(), **names).class_names == ("unsure", "fake")
    with pytest.raises(ValueError, match="`class_names` must not hold 'unsure'"):
        Detector(red_classifier(), conformal_bounds=(0.2, 0.6), **names)


def test_log_odds_are_combined():
    """Against the formula, with members of either order, of one column and of two."""
    members = [
        red_classifier(("fake", "real"), slope=4.0, name="a"),
        red_classifier(("fake", "real"), columns=1, slope=-3.0, name="b"),
    ]
    members[0].class_names = ("fake", "real")
    other = red_classifier(("real", "fake"), slope=8.0, name="c")
    other.class_names = ("Real", "Fake")
    detector = Detector([*members, other], weights=(0.5, 2.0, 1.5), bias=-0.3)
    assert detector.class_names == ("fake", "real")
    mean = IMAGES[..., 0].mean((1, 2)) - 0.5
    # The one column of `b` is P(real), of the order that the detector has.
    log_odds = -0.3 + (0.5 * 4 + 2.0 * -3 + 1.5 * 8) * mean
    expected = 1 / (1 + np.exp(-log_odds))
    np.testing.assert_allclose(detector.scores(IMAGES), expected, atol=1e-6)
    np.testing.assert_allclose(detector.predict(IMAGES, verbose=0)[:, 0], expected, atol=1e-6)


def test_scores_hold_where_probabilities_saturate():
    detector = Detector(red_classifier(slope=400.0), class_names=("fake", "real"), weights=(0.05,))
    images = np.stack([np.full((16, 16, 3), value, "float32") for value in (0.4, 0.5, 0.6)])
    expected = 1 / (1 + np.exp([2, 0, -2]))
    np.testing.assert_allclose(detector.scores(images), expected, atol=1e-5)


def test_columns_that_do_not_sum_to_one():
    classifier = encoder_classifier(activation="sigmoid")
    fake, real = classifier.predict(IMAGES, verbose=0).T
    np.testing.assert_allclose(Detector(classifier).scores(IMAGES), fake / (fake + real), rtol=1e-4)


def test_round_trip(tmp_path):
    members = [
        encoder_classifier(pooling="avg"),
        encoder_classifier(features="both", pooling="gem", class_names=("REAL", "FAKE")),
        red_classifier(),
    ]
    detector = Detector(
        members,
        weights=(0.3, 0.4, 0.5),
        bias=0.25,
        threshold=0.37,
        false_positive_rate=0.05,
        validation_digests=("0a1b",),
        conformal_bounds=(0.3, 0.6),
        miscoverage=0.1,
    )
    detector.save(tmp_path / "detector.keras")
    loaded = keras.saving.load_model(tmp_path / "detector.keras")
    expected = detector.arguments()
    assert loaded.arguments() == {**expected, "members": [*loaded.members]}
    np.testing.assert_allclose(loaded.scores(IMAGES), detector.scores(IMAGES), rtol=1e-5)


def test_members_of_one_name_are_copied_and_trained_apart():
    """On torch parameters of equal paths would share their gradients."""
    classifier = encoder_classifier(pooling="avg")
    detector = Detector([classifier, classifier])
    assert detector.members[0] is classifier
    assert detector.members[1] is not classifier
    paths = [variable.path for variable in detector.variables]
    assert len(set(paths)) == len(paths)
    detector.compile(keras.optimizers.SGD(0.5))
    labels = keras.utils.to_categorical([0, 1, 0, 1, 1, 0])
    for _ in range(3):
        detector.train_on_batch(IMAGES, labels)
    for one, two in zip(*(member.get_weights() for member in detector.members), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)


@pytest.mark.once
def test_members_may_have_any_names(tmp_path):
    names = ["images", "combination", "m_4", "m", "m"]
    members = [red_classifier(name=name) for name in names]
    detector = kd.models.Detector(members, class_names=("fake", "real"))
    images = np.random.default_rng(0).random((3, 16, 16, 3), "float32")
    np.testing.assert_allclose(detector.scores(images), p_fake(images), atol=1e-6)
    assert len({member.name for member in detector.members}) == 5
    detector.save(tmp_path / "detector.keras")
    loaded = kd.models.load_model(tmp_path / "detector.keras")
    np.testing.assert_array_equal(loaded.scores(images), detector.scores(images))


@pytest.mark.usefixtures("in_graphs")
def test_size_of_the_images():
    any_size = encoder_classifier(pooling="avg")
    open_size = red_classifier(size=(None, None))
    assert Detector(any_size).image_size == (16, 16)
    assert Detector(any_size, image_size=(24, 24)).image_size == (24, 24)
    native = Detector(open_size, class_names=("fake", "real"))
    assert native.image_size is None
    images = [IMAGES[0], IMAGES[1, :8, :12], IMAGES[2]]
    expected = [p_fake(image[None])[0] for image in images]
    np.testing.assert_allclose(native.scores(images), expected, atol=1e-6)
    fixed = Detector([encoder_classifier(), open_size])
    assert fixed.image_size == (16, 16)
    assert len(fixed.scores(images)) == 3  # resized
    for members, arguments in (
        ([encoder_classifier(), red_classifier(size=(8, 8))], {}),
        ([encoder_classifier()], {"image_size": (8, 8)}),
        ([any_size, red_classifier(size=(8, 8))], {"image_size": (16, 16)}),
    ):
        with pytest.raises(ValueError, match="must agree on the size of the images"):
            Detector(members, **arguments)
    grey = keras.Sequential(
        [keras.Input((16, 16, 1)), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    with pytest.raises(ValueError, match="the same channels"):
        Detector([encoder_classifier(), grey])


@pytest.mark.once
def test_a_member_that_contradicts_the_names():
    classifier = encoder_classifier()  # its names are ("fake", "real")
    for names in (("REAL", "FAKE"), ("real", "fake"), ("original", "manipulated")):
        with pytest.raises(ValueError, match=re.escape("`model.class_names = (")):
            Detector(classifier, class_names=names)
    assert Detector(classifier, class_names=("FAKE", "REAL")).class_names == ("FAKE", "REAL")
    classifier.class_names = ("REAL", "FAKE")
    assert Detector(classifier).fake_index == 1


@pytest.mark.once
def test_a_detector_knows_its_fake_class_as_a_member():
    model = red_classifier()
    inner = Detector(model, class_names=("b", "a"), fake_class="b")
    with pytest.raises(ValueError, match="the fake class has different places"):
        Detector([inner], class_names=("real", "fake"))
    outer = Detector([inner], class_names=("fake", "real"))
    np.testing.assert_allclose(outer.scores(IMAGES), inner.scores(IMAGES), atol=1e-5)


def test_threads_may_score_at_a_time():
    detector = Detector(red_classifier(), class_names=("fake", "real"))
    expected = detector.scores(IMAGES)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for scores in pool.map(lambda _: detector.scores(IMAGES), range(40)):
            np.testing.assert_array_equal(scores, expected)


@pytest.mark.once
def test_names_that_say_nothing():
    model = red_classifier()
    with pytest.raises(ValueError, match="Nothing says which class each column"):
        Detector(model)
    with pytest.raises(ValueError, match="`fake_class='cats'`"):
        Detector(model, class_names=("cats", "dogs"))
    detector = Detector(model, class_names=("cats", "dogs"), fake_class="cats")
    assert detector.fake_index == 0
    copy = Detector.from_config(detector.get_config())
    assert (copy.class_names, copy.fake_index) == (("cats", "dogs"), 0)


def test_random_layers_do_nothing_at_inference():
    inputs = keras.Input((16, 16, 3))
    noise = keras.layers.GaussianNoise(0.9)(keras.layers.RandomBrightness(1.0)(inputs))
    member = keras.Model(inputs, red_classifier()(noise))
    detector = Detector(member, class_names=("fake", "real"))
    outputs = keras.ops.convert_to_numpy(detector(IMAGES))
    np.testing.assert_allclose(outputs[:, 0], p_fake(IMAGES), atol=1e-5)


def test_what_is_not_finite_is_refused():
    classifier = encoder_classifier()
    detector = Detector(classifier)
    images = IMAGES.copy()
    images[3, 2, 2, 1] = np.nan
    with pytest.raises(ValueError, match="finite pixel values"):
        detector.scores(images)
    weights = classifier.get_weights()
    weights[0][0, 0, 0, 0] = np.nan
    classifier.set_weights(weights)
    with pytest.raises(ValueError, match="weights that are not finite"):
        detector.scores(IMAGES)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threshold": 1.5}, "`threshold`"),
        ({"threshold": float("nan")}, "`threshold`"),
        ({"weights": (1, 2)}, "`weights` must be 1 numbers"),
        ({"weights": ("x",)}, "`weights`"),
        ({"weights": "x"}, "`weights`"),
        ({"bias": float("inf")}, "`bias`"),
        ({"image_size": 16}, "`image_size`"),
        ({"class_names": ["a", "a"]}, "`class_names`"),
        ({"class_names": ("a", "b", "c")}, "`class_names`"),
        ({"fake_class": "fakes"}, "`fake_class` must be one of"),
        ({"false_positive_rate": -1}, "`false_positive_rate`"),
        ({"false_positive_rate": float("nan")}, "`false_positive_rate`"),
        ({"false_positive_rate": "x"}, "`false_positive_rate`"),
        ({"validation_digests": "abc"}, "`validation_digests`"),
        ({"validation_digests": (1,)}, "`validation_digests`"),
        ({"conformal_bounds": 0.5}, "`conformal_bounds`"),
        ({"conformal_bounds": (0.5, 1.5)}, r"`conformal_bounds\[1\]`"),
        ({"miscoverage": 0}, "`miscoverage`"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        Detector(encoder_classifier(), **arguments)


@pytest.mark.once
@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([], "at least one model"),
        ("detector.keras", "must each be a Keras model"),
        ([None], "must each be a Keras model"),
        (lambda: keras.Sequential([keras.layers.Dense(2)]), "built as a graph"),
        (lambda: keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]), "4 axes"),
        (lambda: keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten()]), "two columns"),
    ],
)
def test_wrong_members(members, message):
    with pytest.raises(ValueError, match=message):
        Detector(members() if callable(members) else members, class_names=("fake", "real"))


REPLICAS = """
import keras, numpy as np, tensorflow as tf
import keras_deepfake as kd

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
images = np.random.default_rng(0).random((24, 8, 8, 3), "float32")
labels = np.arange(24) % 2
with strategy.scope():
    autoencoder = kd.ConvAutoencoder((8, 8, 3), filters=(4,))
    classifier = kd.EncoderClassifier.from_autoencoder(autoencoder)
    classifier.compile()
expected = np.asarray(classifier.encoder(images))
np.testing.assert_allclose(autoencoder.encode(images), expected, atol=1e-6)
assert autoencoder.reconstruction_error(images).shape == (24,)
scores = keras.ops.convert_to_numpy(classifier(images))[:, 0]
np.testing.assert_allclose(kd.Detector(classifier).scores(images), scores, atol=1e-6)
assert len(kd.evaluation.predict_images(classifier, images)) == 24
assert kd.evaluation.evaluate_detector(classifier, (images, labels)).num_images == 24
"""


# Only TensorFlow has `tf.distribute`.
if keras.backend.backend() == "tensorflow":

    def test_every_replica_predicts_every_image():
        """Keras's `predict_on_batch` then returns every row once a replica."""
        root = kd.__path__[0].removesuffix("keras_deepfake")
        subprocess.run(
            [sys.executable, "-c", REPLICAS], env={**os.environ, "PYTHONPATH": root}, check=True
        )
