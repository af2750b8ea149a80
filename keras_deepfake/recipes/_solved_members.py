"""Members of a detector: an encoder under a head that is solved, its depths chosen."""

from typing import NamedTuple

import numpy as np

from keras_deepfake.models import EncoderClassifier
from keras_deepfake.models.log_odds import log_odds
from keras_deepfake.models.solved_head import solve_head
from keras_deepfake.recipes._network_encoders import encoder_model

# Enough to tell depths apart; each combination that is tried is solved several times.
MOST_ROWS_TO_CHOOSE = 1000


class Member(NamedTuple):
    """A classifier, and what came of its choice.

    Attributes:
        name: What it is called in the results.
        classifier: `EncoderClassifier`.
        depths: Names of the layers whose statistics it uses.
        l2: Float, the penalty of a head that was solved; `None` where all was trained.
        losses: Dictionary from combinations of depths that were tried, as a text, to the
            cross-entropy on images held out.
        log_odds: Float array `(rows,)`, of fake, by classifiers that had not seen the image.
    """

    name: str
    classifier: EncoderClassifier
    depths: tuple
    l2: float | None
    losses: dict
    log_odds: np.ndarray


def solve_member(encoder, views, widths, groups, class_names, fake_index, crops_per_side, seed):
    """Choose the depths of an encoder, solve its head, and make the classifier.

    Args:
        encoder: `NetworkEncoder`.
        views: `EncodedViews` of all its depths.
        widths: Integers, how many features each depth has.
        groups: Array, the group of each row; rows of one image share theirs.
        class_names: Two strings.
        fake_index: 0 or 1.
        crops_per_side: Integer.
        seed: Integer, of the cross-validation.

    Returns:
        A `Member`.
    """
    ends = np.cumsum(widths)
    columns = [np.arange(end - width, end) for end, width in zip(ends, widths, strict=True)]
    labels = np.where(views.is_fake, fake_index, 1 - fake_index)

    def solve(chosen, rows):
        return solve_head(
            np.asarray(views.features[rows][:, np.concatenate([columns[i] for i in chosen])]),
            labels[rows],
            2,
            groups=groups[rows].tolist(),
            standardize=encoder.standardize,
            seed=seed,
        )

    chosen, losses = list(range(len(widths))), {}
    if not encoder.is_fixed and len(widths) > 1:
        rows = np.random.default_rng(seed).permutation(len(labels))[:MOST_ROWS_TO_CHOOSE]
        chosen, losses = _choose(len(widths), lambda depths: solve(depths, np.sort(rows)))
    solution = solve(chosen, np.arange(len(labels)))
    depths = tuple(encoder.depths[i] for i in chosen)
    model, _ = encoder_model(encoder._replace(depths=depths), crops_per_side)
    classifier = EncoderClassifier(model, class_names, pooling=None, name=f"{encoder.name}_head")
    classifier.get_layer("head").set_weights([solution.kernel, solution.bias])
    return Member(
        encoder.name,
        classifier,
        depths,
        solution.l2,
        {", ".join(encoder.depths[i] for i in tried): loss for tried, loss in losses.items()},
        log_odds(solution.probabilities, fake_index),
    )


def _choose(count, solve):
    """A run of neighbouring depths: the best one, and neighbours as long as they help."""
    losses = {}

    def loss(chosen):
        if chosen not in losses:
            solution = solve(list(chosen))
            losses[chosen] = solution.losses[solution.l2]
        return losses[chosen]

    chosen = min(((i,) for i in range(count)), key=loss)
    while True:
        wider = [(chosen[0] - 1, *chosen)] if chosen[0] else []
        wider += [(*chosen, chosen[-1] + 1)] if chosen[-1] + 1 < count else []
        best = min(wider, key=loss, default=chosen)
        if loss(best) >= loss(chosen):
            return list(chosen), losses
        chosen = best
