"""What cannot be computed is said, with its place; the least that can be computed is."""

import keras
import numpy as np
import pytest

import keras_deepfake as kd

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.random((24, 16, 16, 3)).astype("float32")
NUMBERS = np.arange(24) % 2
LABELS = keras.utils.to_categorical(NUMBERS, 2)
# Every public function of images, as a function of a classifier and labelled images.
OF_IMAGES = {
    "fit": lambda model, x, y: model.fit(x, y, verbose=0),
    "fit_head": lambda model, x, y: model.fit_head(x, y.argmax(axis=1)),
    "pretrain_stacked": lambda model, x, y: kd.recipes.pretrain_stacked(
        autoencoder(), x, epochs=1, verbose=0
    ),
    "calibrate": lambda model, x, y: kd.evaluation.calibrate(model, (x, y)),
    "evaluate_detector": lambda model, x, y: kd.evaluation.evaluate_detector(model, (x, y)),
    "evaluate_robustness": lambda model, x, y: kd.evaluation.evaluate_robustness(model, (x, y)),
    "predict_images": lambda model, x, y: kd.evaluation.predict_images(model, x),
    "scores": lambda model, x, y: kd.models.as_detector(model).scores(x),
    "grad_cam": lambda model, x, y: kd.explanation.grad_cam(model, x),
    "reconstruction_error_map": lambda model, x, y: kd.explanation.reconstruction_error_map(
        autoencoder(), x
    ),
}
OF_BOTH_CLASSES = ("fit_head", "calibrate", "evaluate_detector", "evaluate_robustness")


def autoencoder():
    model = kd.ConvAutoencoder((16, 16, 3), (4, 4))
    model.compile()
    return model


@pytest.fixture
def classifier():
    model = kd.EncoderClassifier.from_autoencoder(autoencoder(), pooling="avg")
    model.compile()
    return model


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", OF_IMAGES)
def test_pixels_that_are_not_finite(classifier, name, value):
    images = IMAGES.copy()
    images[5, 3, 3, 0] = value
    # A training looks at its first batch before it starts, and at every loss.
    place = "first batch" if name in ("fit", "pretrain_stacked") else r"images\[5\]"
    with pytest.raises(ValueError, match=f"{place}.*NaN or infinity"):
        OF_IMAGES[name](classifier, images, LABELS)


@pytest.mark.filterwarnings("ignore:On the validation images the probabilities do not favour")
@pytest.mark.parametrize("name", OF_IMAGES)
def test_images_of_one_colour(classifier, name):
    OF_IMAGES[name](classifier, np.full_like(IMAGES, 0.5), LABELS)
    assert all(np.isfinite(weight).all() for weight in classifier.get_weights())


@pytest.mark.parametrize("name", OF_IMAGES)
def test_one_image(classifier, name):
    if name in OF_BOTH_CLASSES:
        with pytest.raises(ValueError, match=r"both classes|all 2 classes"):
            OF_IMAGES[name](classifier, IMAGES[:1], LABELS[:1])
    else:
        OF_IMAGES[name](classifier, IMAGES[:1], LABELS[:1])


@pytest.mark.parametrize("name", sorted({*OF_IMAGES} - {"predict_images", "scores"}))
def test_no_image(classifier, name):
    with pytest.raises(ValueError, match=r"no images|one or more|both classes|all 2|nothing"):
        OF_IMAGES[name](classifier, IMAGES[:0], LABELS[:0])


def test_no_image_has_no_verdict(classifier):
    assert len(kd.evaluation.predict_images(classifier, IMAGES[:0])) == 0


def test_three_classes_are_learnt_and_are_no_detector():
    encoder = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Conv2D(4, 3)])
    model = kd.EncoderClassifier(encoder, ("real", "swapped", "generated"), pooling="avg")
    solution = model.fit_head(IMAGES, np.arange(24) % 3)
    assert solution.kernel.shape == (4, 3)
    with pytest.raises(ValueError, match="detection has two classes"):
        kd.models.as_detector(model)
