"""The members of a detector together: whether they can be, and their stack, calibrated."""

import numpy as np

from keras_deepfake.evaluation.calibration import calibrated_detector, check_rates, digests
from keras_deepfake.models import Detector
from keras_deepfake.models.image_batches import image_batches
from keras_deepfake.models.solved_head import check_solvable
from keras_deepfake.recipes._fine_tuned_members import NUM_FOLDS
from keras_deepfake.recipes._solved_members import labels_of_kind
from keras_deepfake.recipes._tables import with_notes


def check_training(
    views, kinds, kind_names, groups, fakes, is_tuned, seed, false_positive_rate, abstain
):
    """Raise for what heads and calibration would refuse once everything is encoded."""
    positions = np.concatenate([view.positions for view in views])
    made_fake = np.concatenate(
        [np.full(len(view.positions), view.name == "blended") for view in views]
    )
    originals = positions[made_fake]
    labels = np.where(made_fake, len(kind_names), kinds[positions])
    labels = np.concatenate([labels, kinds[originals]])
    positions = np.concatenate([positions, originals])
    groups = groups[positions].tolist()
    for kind in range(1, 1 + len(kind_names)):
        check_solvable(labels_of_kind(labels, kind), 2, groups, seed=seed)
    if is_tuned:
        check_solvable(labels > 0, 2, groups, num_folds=NUM_FOLDS, seed=seed)
    num_reals = np.count_nonzero(kinds == 0)
    # Each blend is of a real.
    num_fakes = num_reals if fakes == "blended" else np.count_nonzero(kinds)
    check_rates(num_fakes, num_reals, false_positive_rate, abstain)


def stack_members(
    members, encoded, class_names, fake_index, fakes, train, false_positive_rate, abstain, num_views
):
    """The calibrated detector, and what calibration warns of, which belongs on the page."""
    detector = Detector(
        [member.classifier for member in members], class_names, fake_class=class_names[fake_index]
    )
    # Where there are real fakes, those made here only help to train.
    rows = np.full(len(encoded.is_fake), True) if fakes == "blended" else ~encoded.is_blended
    log_odds = np.stack([member.log_odds for member in members], axis=1)
    used, seen = np.unique(encoded.positions[rows]), set()
    for batch in image_batches(train.take(used), detector.input_shape):
        seen.update(digests(batch.pixels))
    return with_notes(
        calibrated_detector,
        detector,
        encoded.is_fake[rows],
        log_odds[rows],
        seen,
        false_positive_rate,
        abstain,
        num_views,
    )
