"""The settings of the study's training, and its presets."""

import dataclasses

from keras_deepfake._arguments import (
    MOST_PLACES,
    check_choice,
    check_integer,
    check_number,
    check_sequence,
)

# Minutes on two cores. The study's penalties would drive the head to zero on so few images.
_SMALL = {
    "image_size": 64,
    "filters": (32, 64, 64),
    "l1": 1e-5,
    "l2": 1e-4,
    "subset": 1.0,
    "split": (0.75, 0.1, 0.15),
    "epochs_autoencoder": 3,
    "epochs_classifier": 24,
    "batch_size_classifier": 32,
}
_PRESETS = {"seed": {}, "small": _SMALL}


@dataclasses.dataclass(frozen=True)
class StudySettings:
    """What `train_study` does, apart from the data. The defaults are the study's own.

    `StudySettings.preset("small")` trains in minutes.

    Args:
        image_size: Integer, side of the square images in pixels; divisible by 2 for each block.
        filters: Integers, the filters of the encoder's blocks from the image inwards.
        activation: Activation of the head, `"softmax"` or `"sigmoid"`.
        l1: Float of at least 0, the L1 penalty of the head.
        l2: Float of at least 0, the L2 penalty of the head.
        corruption: `None`, or what corrupts the images of a denoising autoencoder:
            `"gaussian"`, `"masking"` or `"salt_and_pepper"`.
        pretraining: `"joint"` trains the autoencoder as a whole, `"stacked"` block by block.
        subset: Float in (0, 1], the share of the labelled images to use.
        split: Three floats that sum to 1, the shares of training, validation and test.
        split_autoencoder: The same for the images of the autoencoder.
        epochs_autoencoder: Integer, epochs of the autoencoder, or of each of its blocks.
        epochs_classifier: Integer, epochs of the classifier.
        batch_size_autoencoder: Integer, images in a batch.
        batch_size_classifier: Integer, images in a batch.

    Raises:
        ValueError: If an argument does not fit its description.

    Example:
    ```python
    settings = kd.recipes.StudySettings.preset("small", l1=0, image_size=32)
    settings.filters  # (32, 64, 64)
    ```
    """

    image_size: int = 256
    filters: tuple = (168, 64, 32)
    activation: str = "softmax"
    l1: float = 0.01
    l2: float = 0.1
    corruption: str | None = None
    pretraining: str = "joint"
    subset: float = 0.3
    split: tuple = (0.8, 0.1, 0.1)
    split_autoencoder: tuple = (0.7, 0.15, 0.15)
    epochs_autoencoder: int = 10
    epochs_classifier: int = 20
    batch_size_autoencoder: int = 64
    batch_size_classifier: int = 128

    def __post_init__(self):
        checked = {
            "image_size": _check_places("image_size", self.image_size),
            "filters": check_sequence("filters", self.filters, _check_places),
            "l1": check_number("l1", self.l1, 0),
            "l2": check_number("l2", self.l2, 0),
            "subset": check_number("subset", self.subset, above=0, most=1),
            "split": _check_split("split", self.split),
            "split_autoencoder": _check_split("split_autoencoder", self.split_autoencoder),
        }
        for name in ("epochs_autoencoder", "epochs_classifier"):
            checked[name] = check_integer(name, getattr(self, name), 1)
        for name in ("batch_size_autoencoder", "batch_size_classifier"):
            checked[name] = _check_places(name, getattr(self, name))
        check_choice("activation", self.activation, ("softmax", "sigmoid"))
        check_choice(
            "corruption", self.corruption, (None, "gaussian", "masking", "salt_and_pepper")
        )
        check_choice("pretraining", self.pretraining, ("joint", "stacked"))
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @classmethod
    def preset(cls, name, **changes):
        """Makes the settings of a preset.

        Args:
            name: `"seed"`, the study's own settings, or `"small"`, which takes minutes on two
                cores.
            **changes: Settings that differ from the preset's.

        Returns:
            `StudySettings`.
        """
        return cls(**{**_PRESETS[check_choice("name", name, tuple(_PRESETS))], **changes})


def _check_places(name, count):
    return check_integer(name, count, 1, MOST_PLACES)


def _check_split(name, split):
    if isinstance(split, (str, bytes)) or not hasattr(split, "__len__") or len(split) != 3:
        raise ValueError(f"`{name}` must be three shares; got {split!r}.")
    shares = tuple(check_number(name, share, above=0, below=1) for share in split)
    if abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f"`{name}` must sum to 1; got {shares}, which sum to {sum(shares):g}.")
    return shares
