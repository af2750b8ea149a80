"""Members of a detector: an encoder under a head that is solved, its depths chosen."""

from typing import NamedTuple

import keras
import numpy as np

from keras_deepfake.models import EncoderClassifier
from keras_deepfake.models.log_odds import log_odds
from keras_deepfake.models.solved_head import solve_head
from keras_deepfake.recipes._network_encoders import encoder_model

# Enough to tell depths apart, for each kind; each combination is solved several times.
MOST_ROWS_TO_CHOOSE = 1000
# Of a kind of fakes that the head tells apart, and how many kinds it does.
LEAST_IMAGES, LEAST_GROUPS, MOST_KINDS = 50, 5, 10


class Member(NamedTuple):
    """A classifier, and what came of its choice.

    Attributes:
        name: What it is called in the results.
        classifier: Keras model of two columns of probabilities.
        depths: Names of the layers whose statistics it uses.
        l2: Tuple of floats, the penalty of the head for each kind of fakes; `None` where all was
            trained.
        losses: Dictionary from combinations of depths that were tried, as a text, to the
            cross-entropy on images held out.
        log_odds: Float array `(rows,)`, of fake, by classifiers that had not seen the image.
    """

    name: str
    classifier: keras.Model
    depths: tuple
    l2: tuple | None
    losses: dict
    log_odds: np.ndarray


def number_kinds(kinds, is_fake, groups):
    """Number the kinds of fakes that are worth a column of the head.

    Args:
        kinds: The kind of each image.
        is_fake: Boolean array.
        groups: Integer array, the group of each image.

    Returns:
        An integer array, 0 for real images and from 1 on the kind of fake ones; and the names of
        the kinds, the largest first. Kinds of few images, or of fewer groups than the
        cross-validation has parts, are together, or with the largest.
    """
    kinds = np.array(list(map(str, kinds)))
    names, counts = np.unique(kinds[is_fake], return_counts=True)
    names = names[np.argsort(-counts, kind="stable")].tolist()

    def is_enough(images):
        return len(images) >= LEAST_IMAGES and len(np.unique(groups[images])) >= LEAST_GROUPS

    large = [name for name in names if is_enough(np.flatnonzero(is_fake & (kinds == name)))]
    large = large[:MOST_KINDS]
    if len(large) < 2:
        return is_fake.astype(int), ["fake"]
    numbers = np.where(is_fake, 1, 0)
    for number, name in enumerate(large, 1):
        numbers[is_fake & (kinds == name)] = number
    others = np.flatnonzero(is_fake & ~np.isin(kinds, large))
    if is_enough(others):
        numbers[others] = len(large) + 1
        large.append("(others)")
    return numbers, large


def solve_member(encoder, views, widths, groups, kinds, class_names, fake_index, crops, seed):
    """Choose the depths of an encoder, solve its head, and make the classifier.

    Where there are several kinds of fakes, the head tells each of them from the reals, and P(fake)
    is the sum of theirs: one plane does not divide all of them from the reals as well as one for
    each does.

    Args:
        encoder: `NetworkEncoder`.
        views: `EncodedViews` of all its depths.
        widths: Integers, how many features each depth has.
        groups: Array, the group of each row; rows of one image share theirs.
        kinds: Pair of an integer array, 0 for real rows and the number of its kind, from 1 on, for
            each fake one; and the names of the kinds.
        class_names: Two strings.
        fake_index: 0 or 1.
        crops: Integer, how many windows fit beside each other into an image.
        seed: Integer, of the cross-validation.

    Returns:
        A `Member`.
    """
    ends = np.cumsum(widths)
    columns = [np.arange(end - width, end) for end, width in zip(ends, widths, strict=True)]
    labels, names = kinds

    def solve(chosen, rows):
        return _solve_kinds(
            np.asarray(views.features[rows][:, np.concatenate([columns[i] for i in chosen])]),
            labels[rows],
            len(names),
            groups[rows],
            encoder.standardize,
            seed,
        )

    chosen, losses = list(range(len(widths))), {}
    if not encoder.is_fixed and len(widths) > 1:
        rows = np.random.default_rng(seed).permutation(len(labels))
        rows = np.sort(rows[: MOST_ROWS_TO_CHOOSE * len(names)])

        def loss(depths):
            said = solve(depths, rows).log_odds
            return float(np.mean(np.logaddexp(0.0, np.where(labels[rows] > 0, -said, said))))

        chosen, losses = _choose(len(widths), loss)
    heads = solve(chosen, np.arange(len(labels)))
    depths = tuple(encoder.depths[i] for i in chosen)
    model, _ = encoder_model(encoder._replace(depths=depths), crops)
    return Member(
        encoder.name,
        _classifier(model, heads, names, class_names, fake_index, f"{encoder.name}_head"),
        depths,
        heads.l2,
        {", ".join(encoder.depths[i] for i in tried): loss for tried, loss in losses.items()},
        heads.log_odds,
    )


class _Heads(NamedTuple):
    """What tells each kind of fakes from the reals.

    Attributes:
        kernel: Float array `(features, kinds)`.
        bias: Float array `(kinds,)`.
        l2: Tuple, the penalty of each.
        log_odds: Float array `(rows,)`, of fake, by heads that had not seen the image.
    """

    kernel: np.ndarray
    bias: np.ndarray
    l2: tuple
    log_odds: np.ndarray


def labels_of_kind(labels, kind):
    """1 for fakes of a kind, 0 for reals; -1 for others, on which no head of this kind is solved.

    Of those the heads that saw nothing of their groups are asked.
    """
    return np.select([labels == 0, labels == kind], [0, 1], -1)


def _solve_kinds(features, labels, num_kinds, groups, standardize, seed):
    """Solve a logistic regression for each kind of fakes and the reals.

    Together they are a softmax of which the reals are the reference.

    Reference:
        Begg and Gray, "Calculation of polychotomous logistic regression parameters using
        individualized regressions", Biometrika 1984.
    """
    solutions = [
        solve_head(
            features,
            labels_of_kind(labels, kind),
            2,
            groups=groups.tolist(),
            standardize=standardize,
            seed=seed,
        )
        for kind in range(1, num_kinds + 1)
    ]
    return _Heads(
        np.stack([solution.kernel[:, 1] - solution.kernel[:, 0] for solution in solutions], axis=1),
        np.array([solution.bias[1] - solution.bias[0] for solution in solutions]),
        tuple(solution.l2 for solution in solutions),
        np.logaddexp.reduce([log_odds(solution.probabilities, 1) for solution in solutions]),
    )


def _classifier(model, heads, kinds, class_names, fake_index, name):
    """A Keras model of the two classes."""
    if len(kinds) == 1:
        classifier = EncoderClassifier(model, class_names, pooling=None, name=name)
        signs = np.array([0.5, -0.5]) if fake_index == 0 else np.array([-0.5, 0.5])
        weights = [heads.kernel * signs, heads.bias * signs]
        classifier.get_layer("head").set_weights(weights)
        return classifier
    fake, real = class_names[fake_index], class_names[1 - fake_index]
    of_kinds = [real, *(f"{fake}/{kind}" for kind in kinds)]
    classifier = EncoderClassifier(model, of_kinds, pooling=None, name=f"{name}_of_kinds")
    weights = [np.pad(heads.kernel, ((0, 0), (1, 0))), np.pad(heads.bias, (1, 0))]
    classifier.get_layer("head").set_weights(weights)
    images = keras.Input(classifier.input_shape[1:], name="images")
    total = keras.layers.Dense(2, use_bias=False, trainable=False, dtype="float32", name="sum")
    model = keras.Model(images, total(classifier(images)), name=name)
    is_fake = np.arange(len(of_kinds)) > 0
    columns = [is_fake, ~is_fake] if fake_index == 0 else [~is_fake, is_fake]
    total.set_weights([np.stack(columns, axis=1).astype("float32")])
    return model


def _choose(count, loss_of):
    """A run of neighbouring depths: the best one, and neighbours as long as they help."""
    losses = {}

    def loss(chosen):
        if chosen not in losses:
            losses[chosen] = loss_of(list(chosen))
        return losses[chosen]

    chosen = min(((i,) for i in range(count)), key=loss)
    while True:
        wider = [(chosen[0] - 1, *chosen)] if chosen[0] else []
        wider += [(*chosen, chosen[-1] + 1)] if chosen[-1] + 1 < count else []
        best = min(wider, key=loss, default=chosen)
        if loss(best) >= loss(chosen):
            return list(chosen), losses
        chosen = best
