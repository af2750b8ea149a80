"""Members of a detector: a network that is trained end to end, with a head on it."""

import time

import keras
import numpy as np

from keras_deepfake._pixels import to_numpy
from keras_deepfake.callbacks import ResumeTraining
from keras_deepfake.layers import NativeCrop
from keras_deepfake.models import EncoderClassifier, set_trainable
from keras_deepfake.models.log_odds import log_odds
from keras_deepfake.models.model_copy import copy_model
from keras_deepfake.models.solved_head import check_solvable
from keras_deepfake.recipes._encoded_views import encode_views, made_images
from keras_deepfake.recipes._network_encoders import encoder_model, usual_sizes
from keras_deepfake.recipes._solved_members import Member
from keras_deepfake.recipes._splits import index_digest

# Trainings that say of an image what they have not learnt from it.
NUM_FOLDS = 2
NUM_EPOCHS = 5
BATCH_SIZE = 32
LEARNING_RATE = 3e-4
WEIGHT_DECAY = 0.01
# Of networks that take any size: what they were pretrained at.
MOST_PIXELS_PER_SIDE = 224


def fine_tune_member(
    encoder, index, is_fake, views, rows, groups, class_names, fake_index, folder, seed, verbose
):
    """Train a network on all images, and on parts of them, for what it says of the others.

    Args:
        encoder: `NetworkEncoder`; of one whose depths are open, all of the network is taken. It
            is copied.
        index: `ImageIndex` of the training images.
        is_fake: Boolean array, of each image of the index.
        views: List of `View`, what is made of the images.
        rows: `EncodedViews` of the same views.
        groups: Array, the group of each row; rows of one image share theirs.
        class_names: Two strings.
        fake_index: 0 or 1.
        folder: Path of a folder for what a restart goes on from.
        seed: Integer.
        verbose: 0 for silence, otherwise progress bars and an estimate of the time.

    Returns:
        A `Member`.
    """
    if not encoder.is_fixed:
        encoder = encoder._replace(depths=encoder.depths[-1:])
    crops_per_side = encoder.crops_per_side(index)
    labels = np.where(rows.is_fake, fake_index, 1 - fake_index)
    folds = check_solvable(labels, 2, groups.tolist(), num_folds=NUM_FOLDS, seed=seed)
    parts = [np.unique(rows.positions[train]) for train, _ in folds] + [np.arange(len(index))]
    data = [
        MadeBatches(encoder, index, is_fake, _within(views, part), fake_index, (seed, number))
        for number, part in enumerate(parts)
    ]
    time_left = _TimeLeft() if verbose else None
    *of_folds, classifier = (
        _train(
            encoder,
            crops_per_side,
            batches,
            class_names,
            f"fold_{number}" if number < len(folds) else f"{encoder.name}_tuned",
            folder,
            seed,
            [time_left.before(sum(map(len, data[number + 1 :])))] if verbose else [],
            verbose,
        )
        for number, batches in enumerate(data)
    )
    images = keras.Input(classifier.input_shape[1:], name="images")
    said = keras.layers.Concatenate()([fold(images) for fold in of_folds])
    scores = keras.Model(images, said, name="folds")
    said = encode_views(scores, index, is_fake, views, folder / "folds", seed, verbose).features
    held_out_log_odds = np.empty(len(labels))
    for number, (_, held_out) in enumerate(folds):
        outputs = said[held_out, 2 * number : 2 * number + 2]
        held_out_log_odds[held_out] = log_odds(outputs.astype("float64"), fake_index)
    return Member(classifier.name, classifier, encoder.depths, None, {}, held_out_log_odds)


class MadeBatches(keras.utils.PyDataset):
    """Windows of what is made of images, with one-hot labels, in another order in every epoch.

    Everything that is drawn is a function of the seed, the epoch and the batch, so that it does
    not matter where a training was cut off.

    Args:
        encoder, index, is_fake, views, fake_index: As for `fine_tune_member`.
        seed: Tuple of integers.
    """

    def __init__(self, encoder, index, is_fake, views, fake_index, seed):
        super().__init__()
        self.index, self.is_fake, self.views, self.seed = index, is_fake, views, seed
        self.fake_index = fake_index
        # Those of an encoder of any size are as large as usual images allow.
        usual = np.median(usual_sizes(index), axis=0).astype(int)
        self.size = tuple(
            min(int(side), MOST_PIXELS_PER_SIDE) if fixed is None else fixed
            for side, fixed in zip(usual, encoder.size, strict=True)
        )
        positions = np.unique(np.concatenate([view.positions for view in views]))
        self.data_digest = index_digest(index.take(positions))
        self.epoch = 0

    def __len__(self):
        return len(self._batches())

    def __getitem__(self, number):
        view, positions = self._batches()[number]
        seed = (*self.seed, self.epoch, number)
        random = np.random.default_rng(seed)
        windows, labels = [], []
        for images, fakes, _ in made_images(self.index, self.is_fake, view, positions, seed):
            crop = NativeCrop(self.size, tuple(random.random(2)), "channels_last")
            images = to_numpy(crop(images), "images")
            is_flipped = random.random(len(images)) < 0.5
            windows.append(np.where(is_flipped[:, None, None, None], images[:, :, ::-1], images))
            labels.append(np.where(fakes, self.fake_index, 1 - self.fake_index))
        windows = np.concatenate(windows)
        return windows, np.eye(2, dtype="float32")[np.concatenate(labels)]

    def _batches(self):
        """The batches of the epoch: pairs of a view and positions."""
        random = np.random.default_rng((*self.seed, self.epoch))
        batches = []
        for view in self.views:
            # A blended image comes beside its original.
            size = BATCH_SIZE * len(view.positions) // max(1, view.num_rows)
            shuffled = random.permutation(view.positions)
            batches += [(view, shuffled[i : i + size]) for i in range(0, len(shuffled), size)]
        return [batches[i] for i in random.permutation(len(batches))]


def _within(views, positions):
    """What the views make of some images alone."""
    return [
        view._replace(positions=view.positions[np.isin(view.positions, positions)])
        for view in views
    ]


def _train(encoder, crops_per_side, data, class_names, name, folder, seed, callbacks, verbose):
    keras.utils.set_random_seed(seed)
    encoder = encoder._replace(network=copy_model(encoder.network))
    window, _ = encoder_model(encoder)
    classifier = EncoderClassifier(window, class_names, pooling=None, name=name)
    head = classifier.get_layer("head")
    # The first steps leave the network as it is.
    head.set_weights([np.zeros(weight.shape) for weight in head.weights])
    set_trainable(classifier, "all")
    for layer in classifier._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    classifier.compile(_optimizer(classifier, NUM_EPOCHS * len(data)))
    classifier.fit(
        data,
        epochs=NUM_EPOCHS,
        shuffle=False,  # the dataset does it
        callbacks=[
            keras.callbacks.LambdaCallback(
                on_epoch_begin=lambda epoch, logs: setattr(data, "epoch", epoch)
            ),
            *callbacks,
            ResumeTraining(folder / f"{name}.resume"),
        ],
        verbose=verbose,
    )
    if crops_per_side == 1:
        return classifier
    windows, _ = encoder_model(encoder, crops_per_side)
    whole = EncoderClassifier(windows, class_names, pooling=None, name=name)
    whole.set_weights(classifier.get_weights())
    return whole


def _optimizer(model, num_steps):
    """AdamW with a warm-up and a cosine, and without decay of scales and biases."""
    num_warm_up = max(1, num_steps // 10)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0,
        num_steps - num_warm_up,
        warmup_target=LEARNING_RATE,
        warmup_steps=num_warm_up,
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=WEIGHT_DECAY)
    optimizer.exclude_from_weight_decay([x for x in model.trainable_weights if len(x.shape) < 2])
    return optimizer


class _TimeLeft(keras.callbacks.Callback):
    """Says how long the trainings take, soon after the first began and after every epoch."""

    def __init__(self):
        super().__init__()
        self.start, self.num_timed = None, 0

    def before(self, num_batches):
        """Returns itself, before a training that so many batches an epoch are to follow."""
        self.num_following = num_batches * NUM_EPOCHS
        return self

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.start is None:  # the first one is compiled
            self.start = time.perf_counter()
            return
        self.num_timed += 1
        if self.num_timed == 10:
            self._tell(batch + 1)

    def on_epoch_end(self, epoch, logs=None):
        if self.num_timed:
            self._tell(self.params["steps"])

    def _tell(self, num_done):
        num_left = (NUM_EPOCHS - self.epoch) * self.params["steps"] - num_done
        num_left += self.num_following
        rate = (time.perf_counter() - self.start) / self.num_timed
        print(f"\nFine-tuning takes about {num_left * rate / 60:.0f} more minutes.")
