"""The two trainings of the study."""

import time

import keras

from keras_deepfake.callbacks import ResumeTraining
from keras_deepfake.datasets import classification_dataset, reconstruction_dataset
from keras_deepfake.layers import MaskingNoise, SaltAndPepperNoise
from keras_deepfake.models import ConvAutoencoder, EncoderClassifier
from keras_deepfake.recipes.stacked_pretraining import pretrain_stacked

_CORRUPTIONS = {
    None: lambda: None,
    "gaussian": lambda: keras.layers.GaussianNoise(0.1, seed=0),
    "masking": lambda: MaskingNoise(0.25, patch_size=4, seed=0),
    "salt_and_pepper": lambda: SaltAndPepperNoise(0.1, seed=0),
}


class EpochTime(keras.callbacks.Callback):
    """Adds the seconds of each epoch to the history."""

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        logs["seconds"] = time.perf_counter() - self.start


def make_autoencoder(settings, seed):
    """Build and compile the autoencoder of the settings."""
    keras.utils.set_random_seed(seed)
    autoencoder = ConvAutoencoder(
        (settings.image_size, settings.image_size, 3),
        settings.filters,
        corruption=_CORRUPTIONS[settings.corruption](),
    )
    autoencoder.compile()
    return autoencoder


def make_classifier(autoencoder, class_names, settings, seed):
    """Build and compile the classifier on a copy of the autoencoder's encoder."""
    keras.utils.set_random_seed(seed)
    classifier = EncoderClassifier.from_autoencoder(
        autoencoder,
        class_names=class_names,
        activation=settings.activation,
        l1=settings.l1,
        l2=settings.l2,
    )
    classifier.compile()
    return classifier


def train_autoencoder(autoencoder, parts, settings, seed, state, verbose):
    """Train the autoencoder, as a whole or block by block.

    Args:
        autoencoder: As `make_autoencoder` gives it.
        parts: `ImageIndex`es for training, validation and test.
        settings: `StudySettings`.
        seed: Integer.
        state: Path of the folder that a restart goes on from.
        verbose: As in `fit`.

    Returns:
        A dictionary from stages to their histories, and the metrics on the test part.
    """
    keras.utils.set_random_seed(seed)
    train, validation, test = _datasets(
        reconstruction_dataset, parts, settings, settings.batch_size_autoencoder, 200, seed
    )
    if settings.pretraining == "stacked":
        stages = pretrain_stacked(
            autoencoder,
            train,
            epochs=settings.epochs_autoencoder,
            validation_data=validation,
            callbacks=lambda i: [ResumeTraining(state / f"block_{i}.resume")],
            verbose=verbose,
        )
        histories = {f"block_{i}": stage.history for i, stage in enumerate(stages)}
    else:
        stage = autoencoder.fit(
            train,
            validation_data=validation,
            epochs=settings.epochs_autoencoder,
            shuffle=False,  # the dataset does it
            callbacks=[EpochTime(), ResumeTraining(state / "autoencoder.resume")],
            verbose=verbose,
        )
        histories = {"autoencoder": stage.history}
    return histories, autoencoder.evaluate(test, return_dict=True, verbose=verbose)


def train_classifier(classifier, parts, settings, seed, state, verbose):
    """Train the classifier, its encoder included; return its history, and its test metrics.

    The other arguments are as for `train_autoencoder`.
    """
    train, validation, test = _datasets(
        classification_dataset, parts, settings, settings.batch_size_classifier, 100, seed
    )
    stage = classifier.fit(
        train,
        validation_data=validation,
        epochs=settings.epochs_classifier,
        shuffle=False,
        callbacks=[EpochTime(), ResumeTraining(state / "classifier.resume")],
        verbose=verbose,
    )
    return stage.history, classifier.evaluate(test, return_dict=True, verbose=verbose)


def _datasets(make, parts, settings, batch_size, shuffle_buffer, seed):
    size = (settings.image_size, settings.image_size)
    return [
        make(part, size, batch_size, shuffle_buffer=buffer, seed=seed)
        for part, buffer in zip(parts, (shuffle_buffer, 0, 0), strict=True)
    ]
