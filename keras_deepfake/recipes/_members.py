"""What the recipe knows of a member of a detector."""

from typing import NamedTuple

import numpy as np

from keras_deepfake.models import EncoderClassifier


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
