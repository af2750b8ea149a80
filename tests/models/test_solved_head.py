import keras
import numpy as np
import pytest

import keras_deepfake as kd
from keras_deepfake.models import encoder_classifier, solved_head
from keras_deepfake.models.solved_head import solve_head

CLASSES = ("fake", "real")


def make_features(num_images=60, width=8, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.normal(3.0, np.geomspace(0.01, 100, width), (num_images, width))
    scores = (features - 3.0) @ (1 / np.geomspace(0.01, 100, width)) / width**0.5
    labels = (scores + rng.normal(size=num_images) > 0).astype(int)
    return features.astype("float32"), labels


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def gradient(solution, features, labels, standardize, is_softmax):
    """That of the mean cross-entropy and the penalty, by the standardised log-odds weights."""
    x = features.astype("float64")
    mean, scale = x.mean(axis=0), x.std(axis=0)
    if not standardize:
        scale = np.full_like(scale, np.sqrt((scale**2).mean()))
    z = (x - mean) / scale
    one_hot = np.arange(solution.kernel.shape[1]) == labels[:, None]
    logits = x @ solution.kernel + solution.bias
    if is_softmax and one_hot.shape[1] == 2:  # the weights of the one difference
        slopes = softmax(logits)[:, 1:] - one_hot[:, 1:]
        weights = (solution.kernel[:, 1:] - solution.kernel[:, :1]) * scale[:, None]
    else:
        probabilities = softmax(logits) if is_softmax else 1 / (1 + np.exp(-logits))
        slopes, weights = probabilities - one_hot, solution.kernel * scale[:, None]
    return z.T @ slopes / len(x) + 2 * solution.l2 * weights, slopes.mean(axis=0)


@pytest.mark.once
@pytest.mark.parametrize("num_classes", [2, 3])
@pytest.mark.parametrize("is_softmax", [True, False])
@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("width", [8, 150])  # fewer features than images, and more
def test_the_gradient_is_zero_at_the_solution(num_classes, is_softmax, standardize, width):
    features, labels = make_features(width=width)
    labels[: 20 * (num_classes - 2)] = 2
    solution = solve_head(
        features, labels, num_classes, l2=0.01, standardize=standardize, is_softmax=is_softmax
    )
    slopes, offset = gradient(solution, features, labels, standardize, is_softmax)
    np.testing.assert_allclose(slopes, 0, atol=2e-5)
    np.testing.assert_allclose(offset, 0, atol=2e-5)


@pytest.mark.once
def test_the_penalty_is_that_of_the_smallest_loss_on_images_held_out():
    features, labels = make_features(200)
    solution = solve_head(features, labels, 2)
    assert solution.l2 == min(solution.losses, key=solution.losses.get)
    assert list(solution.losses) == sorted(solution.losses, reverse=True)
    held_out = -np.log(solution.probabilities[np.arange(200), labels]).mean()
    assert held_out == pytest.approx(solution.losses[solution.l2])
    on_all = -np.log(softmax(features @ solution.kernel + solution.bias)[range(200), labels]).mean()
    assert on_all < held_out
    again = solve_head(features, labels, 2, l2=solution.l2)
    np.testing.assert_allclose(solution.kernel, again.kernel, rtol=1e-3, atol=1e-6)
    assert again.probabilities is None
    assert again.losses == {}


@pytest.mark.once
def test_no_group_is_on_both_sides_of_the_cross_validation():
    # Each group is recognised at once by its own feature, which says nothing about others.
    groups = np.repeat(np.arange(40), 5)
    labels = np.random.default_rng(0).integers(0, 2, 40)[groups]
    features = np.eye(40, dtype="float32")[groups]
    alone = solve_head(features, labels, 2, seed=3)
    grouped = solve_head(features, labels, 2, groups=[f"person {g}" for g in groups], seed=3)
    assert alone.l2 < 1e-3
    assert grouped.l2 > 0.1
    assert grouped.losses[grouped.l2] > 0.65


@pytest.mark.once
def test_images_that_nothing_is_solved_on_are_spoken_of():
    """By heads that saw nothing of their groups."""
    features, labels = make_features(90)
    asked = labels.copy()
    asked[::3] = -1
    groups = (np.arange(90) // 3).tolist()
    known = asked >= 0
    solution = solve_head(features, asked, 2, groups, l2=[0.1, 0.01], standardize=False)
    features -= features[known].mean(axis=0)  # neither mean nor scale of the others matter
    alone = solve_head(
        features[known], asked[known], 2, np.array(groups)[known].tolist(), solution.l2,
        standardize=False,
    )  # fmt: skip
    assert alone.kernel.shape == solution.kernel.shape
    assert np.corrcoef(alone.kernel[:, 0], solution.kernel[:, 0])[0, 1] > 0.95
    assert np.isfinite(solution.probabilities).all()
    # They count in nothing that is chosen.
    likelihoods = solution.probabilities[known, asked[known]]
    assert solution.losses[solution.l2] == pytest.approx(-np.log(likelihoods).mean())


def test_constant_features_get_no_weight():
    features, labels = make_features()
    features = np.concatenate([features, np.full((60, 2), 1e4, "float32")], axis=1)
    solution = solve_head(features, labels, 2, l2=0.01)
    np.testing.assert_array_equal(solution.kernel[-2:], 0)
    expected = solve_head(features[:, :-2], labels, 2, l2=0.01)
    np.testing.assert_allclose(solution.bias, expected.bias, rtol=1e-4)


@pytest.mark.once
def test_what_cannot_be_solved_is_refused():
    features, labels = make_features()
    with pytest.raises(ValueError, match="got none of class number 1"):
        solve_head(features, np.zeros(60, int), 2)
    with pytest.raises(ValueError, match="at least 2 groups of each class"):
        solve_head(features, labels, 2, groups=labels.tolist())
    features[3, 2] = np.nan
    with pytest.raises(ValueError, match="1 of 8 are NaN or infinite"):
        solve_head(features, labels, 2)


def make_classifier(**arguments):
    keras.utils.set_random_seed(0)
    encoder = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, activation="relu", name="features")]
    )
    return kd.models.EncoderClassifier(encoder, **{"pooling": "flatten", **arguments})


@pytest.fixture(scope="module")
def faces():
    images = np.random.default_rng(0).random((40, 8, 8, 3), "float32")
    images[::2, :4] *= 0.8
    return images, np.array([0, 1] * 20)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_the_classifier_says_what_the_solution_says(faces, activation, tmp_path):
    classifier = make_classifier(activation=activation, dropout=0.5)
    before = [np.array(w) for w in classifier.encoder.get_weights()]
    solution = classifier.fit_head(*faces, verbose=0)
    features = keras.Model(classifier.inputs[0], classifier.get_layer("head").input)
    logits = features.predict(faces[0], verbose=0) @ solution.kernel + solution.bias
    expected = softmax(logits) if activation == "softmax" else 1 / (1 + np.exp(-logits))
    probabilities = classifier.predict(faces[0], verbose=0)
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert (probabilities.argmax(axis=1) == faces[1]).mean() > 0.9
    for weight, same in zip(classifier.encoder.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, same)
    classifier.save(tmp_path / "classifier.keras")
    reloaded = keras.saving.load_model(tmp_path / "classifier.keras")
    np.testing.assert_array_equal(reloaded.predict(faces[0], verbose=0), probabilities)


def test_images_of_another_size_than_the_input(faces):
    """Those that the classifier predicts on."""
    inputs = keras.Input((16, 16, 3))
    encoder = keras.Model(inputs, keras.layers.Conv2D(3, 3)(inputs))
    classifier = kd.models.EncoderClassifier(encoder, pooling="avg")
    solution = classifier.fit_head(*faces, l2=1e-3, verbose=0)
    assert solution.kernel.shape == (3, 2)
    maps = keras.ops.convert_to_numpy(encoder.layers[-1](faces[0]))
    expected = maps.mean(axis=(1, 2)) @ solution.kernel + solution.bias
    probabilities = classifier.predict(faces[0], verbose=0)
    np.testing.assert_allclose(probabilities, softmax(expected), atol=1e-5)


@pytest.mark.once
def test_more_classes_than_two(faces):
    labels = np.arange(40) % 4
    classifier = make_classifier(class_names=("a", "b", "c", "d"))
    solution = classifier.fit_head(faces[0], keras.utils.to_categorical(labels), verbose=0)
    assert solution.probabilities.shape == (40, 4)
    with pytest.raises(ValueError, match="class numbers from 0 to 3"):
        classifier.fit_head(faces[0], labels + 1, verbose=0)


def test_every_source_of_images_gives_the_same_head(faces, tmp_path):
    images, labels = faces
    images = np.round(images * 255).astype("uint8")
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        folder = tmp_path / "faces" / CLASSES[label]
        folder.mkdir(parents=True, exist_ok=True)
        keras.utils.save_img(folder / f"p{i // 2:02d}_{i}.png", image, scale=False)
    index = kd.datasets.ImageIndex.from_directory(
        tmp_path / "faces", groups=lambda path: path.replace("\\", "/").split("/")[-1][:3]
    )
    order = [int(path.rpartition("_")[2][:-4]) for path in index.paths]
    groups = [f"p{i // 2:02d}" for i in order]
    dataset = kd.datasets.classification_dataset(index, (8, 8), batch_size=7)
    solutions = [
        make_classifier().fit_head(index, verbose=0),
        make_classifier().fit_head(images[order], labels[order], groups=groups, verbose=0),
        make_classifier().fit_head(dataset, groups=groups, batch_size=16, verbose=0),
    ]
    for solution in solutions[1:]:
        assert solution.losses == pytest.approx(solutions[0].losses, rel=1e-4)
        np.testing.assert_allclose(solution.kernel, solutions[0].kernel, rtol=1e-2, atol=1e-4)
    own_groups = make_classifier().fit_head(dataset, batch_size=16, verbose=0)
    assert own_groups.losses == pytest.approx(solutions[0].losses, rel=1e-4)
    shuffled = kd.datasets.classification_dataset(index, (8, 8), shuffle_buffer=9, seed=0)
    for arguments in ({}, {"groups": groups}):
        with pytest.raises(ValueError, match="`x` must not be shuffled where images have groups"):
            make_classifier().fit_head(shuffled, verbose=0, **arguments)
    with pytest.raises(ValueError, match="labels of the one"):
        make_classifier(class_names=("real", "fake")).fit_head(index, verbose=0)


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"l2": 0}, "`l2` must be a finite number above 0; got 0"),
        ({"l2": (0.1, -1)}, r"`l2\[1\]` must be a finite number above 0; got -1"),
        ({"standardize": 1}, "`standardize` must be True or False"),
        ({"batch_size": 0}, "`batch_size` must be an integer"),
        ({"groups": [1, 2]}, "`groups` must have one entry for each image"),
        ({"seed": -1}, "`seed` must be an integer"),
        ({"verbose": 2}, "`verbose` must be one of"),
    ],
)
def test_wrong_arguments_raise(faces, arguments, message):
    with pytest.raises(ValueError, match=message):
        make_classifier().fit_head(*faces, **{"verbose": 0, **arguments})


@pytest.mark.once
def test_a_head_needs_labels(faces):
    with pytest.raises(ValueError, match="has no label"):
        make_classifier().fit_head(faces[0], verbose=0)


@pytest.mark.once
@pytest.mark.parametrize("change", [lambda x: x.enable_lora(1), lambda x: x.quantize("int8")])
def test_a_head_of_more_than_kernel_and_bias(faces, change, monkeypatch):
    monkeypatch.setattr(encoder_classifier, "encode", None)
    classifier = make_classifier()
    change(classifier.get_layer("head"))
    with pytest.raises(ValueError, match="must be a dense layer of a kernel and a bias; layer 'he"):
        classifier.fit_head(*faces, verbose=0)


@pytest.mark.once
def test_labels_are_given_once(faces):
    batches = [(faces[0], faces[1])]
    with pytest.raises(ValueError, match="`y` must be left out unless"):
        make_classifier().fit_head(batches, faces[1], verbose=0)


@pytest.mark.once
def test_many_values_are_solved_in_single_precision(monkeypatch):
    monkeypatch.setattr(solved_head, "_MOST_IN_DOUBLE", 0)
    for num_images, width in ((60, 8), (60, 150), (400, 1000)):
        features, labels = make_features(num_images, width)
        solution = solve_head(features, labels, 2, l2=0.01)
        slopes, offset = gradient(solution, features, labels, True, True)
        np.testing.assert_allclose(slopes, 0, atol=2e-4)
        np.testing.assert_allclose(offset, 0, atol=2e-4)


@pytest.mark.once
def test_what_cannot_be_solved_is_told_before_anything_is_encoded(faces, monkeypatch):
    monkeypatch.setattr(encoder_classifier, "encode", None)
    classifier = make_classifier()
    with pytest.raises(ValueError, match="got none of class number 1"):
        classifier.fit_head(faces[0], np.zeros(40, int), verbose=0)
    with pytest.raises(ValueError, match="`groups` must have one entry for each image"):
        classifier.fit_head(*faces, groups=[1, 2], verbose=0)
    with pytest.raises(ValueError, match="at least 2 groups of each class"):
        classifier.fit_head(*faces, groups=faces[1].tolist(), verbose=0)


@pytest.mark.once
def test_the_penalty_is_one_of_those_given_however_many_images_there_are():
    features, labels = make_features(2100, width=4)
    solution = solve_head(features, labels, 2, l2=[1.0, 0.01])
    assert solution.l2 in (1.0, 0.01)
    assert set(solution.losses) == {1.0, 0.01}
