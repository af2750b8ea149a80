"""The detectors that `detection.py` measures, by name."""

import time
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from keras import layers

import keras_deepfake as kd
from keras_deepfake.evaluation import _corruptions
from keras_deepfake.models.image_batches import image_batches
from keras_deepfake.models.log_odds import log_odds
from keras_deepfake.models.prediction import predict_batch
from keras_deepfake.models.solved_head import solve_head
from keras_deepfake.recipes import _network_encoders as encoders
from keras_deepfake.recipes._splits import index_digest

CHANGES = {"JPEG 50": ("jpeg", 50), "half size": ("resize", 0.5), "blur 1 px": ("blur", 1)}
BATCH_SIZE = 32
TIMED_SECONDS = 1
FIRST_BLOCK, LAST_BLOCK = 4, 8


class Split(NamedTuple):
    """The images of one seed: positions in an index."""

    index: kd.datasets.ImageIndex
    seed: int
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    def groups(self, part):
        groups = self.index.groups or self.index.paths
        return [groups[position] for position in part]


class Member(NamedTuple):
    """A classifier of images of any size; a function to its log-odds of fake; what it cost."""

    classifier: keras.Model
    log_odds: object
    seconds: float


class Row(NamedTuple):
    """What the table calls a detector, what makes its members, and the encoders it needs."""

    title: str
    make: object
    needs: tuple = ()


def outputs(model, index, change=None):
    """What a model says of images, of which each may be changed before."""
    rows = []
    for batch in image_batches(index, model.input_shape, batch_size=BATCH_SIZE):
        batch.check_read()
        rows.append(predict_batch(model, changed(batch.pixels, change)))
    return np.concatenate(rows)


def changed(pixels, change):
    """The changes of `evaluate_robustness`, which would run an encoder anew for every row."""
    if change is None:
        return pixels
    name, level = CHANGES[change]
    images = np.rint(255 * pixels).astype("uint8")
    return np.stack([getattr(_corruptions, name)(i, level) for i in images]) / np.float32(255)


def images_a_second(model, split):
    images = split.index.take(split.test[:BATCH_SIZE])
    pixels = next(image_batches(images, model.input_shape, batch_size=BATCH_SIZE)).pixels
    predict_batch(model, pixels)
    start, count, seconds = time.perf_counter(), 0, 0.0
    while not count or seconds < TIMED_SECONDS:
        predict_batch(model, pixels)
        count += len(pixels)
        seconds = time.perf_counter() - start
    return count / seconds


# === Solved heads ===


class Encodings:
    """Encoders by name, and what they make of images, kept in files as it is computed.

    Args:
        folder: Path of the folder for the files.
        encoder: A convolutional encoder as for `kd.recipes.train_detector`, or `None`.
        tokens: The path of a token encoder with layers `block_4` to `block_8`, or `None`.
    """

    def __init__(self, folder, encoder=None, tokens=None):
        self.folder, self.encoder, self.tokens = Path(folder), encoder, tokens
        self._made = {}

    def get(self, name):
        """The `NetworkEncoder`, the model of all its depths, and their widths."""
        if name not in self._made:
            encoder = self._make(name)
            folder = self.folder / encoder.digest()
            folder.mkdir(parents=True, exist_ok=True)
            self._made[name] = (encoder, *encoders.encoder_model(encoder), folder)
        return self._made[name][:3]

    def features(self, name, index, positions, change=None):
        _, model, _ = self.get(name)
        stem = f"{index_digest(index)}-{change or 'unchanged'}".replace(" ", "-")
        stem = self._made[name][-1] / stem
        features = open_array(f"{stem}.npy", (len(index), model.output_shape[-1]), "float32")
        is_done = open_array(f"{stem}-done.npy", (len(index),), "bool")
        missing = positions[~is_done[positions]]
        for start in range(0, len(missing), 8 * BATCH_SIZE):
            block = missing[start : start + 8 * BATCH_SIZE]
            features[block] = outputs(model, index.take(block), change)
            features.flush()
            is_done[block] = True
            is_done.flush()
        return features[positions]

    def _make(self, name):
        if name == "cooccurrence":
            return encoders.cooccurrence_encoder()
        if name == "encoder":
            return encoders.read_encoder(self.encoder)
        if name == "tokens":
            blocks = [f"block_{number}" for number in range(FIRST_BLOCK, LAST_BLOCK + 1)]
            return encoders.read_encoder(f"{self.tokens}:{','.join(blocks)}")
        images = keras.Input((None, None, 3))
        x = kd.layers.BlockDCT()(kd.layers.RGBToYCbCr()(images))
        network = keras.Model(images, kd.layers.MomentPooling(name="moments")(x), name="dct")
        return encoders.NetworkEncoder("dct", network, ("moments",), True)


def open_array(file, shape, dtype):
    mode = {"mode": "r+"} if Path(file).exists() else {"mode": "w+", "shape": shape}
    return np.lib.format.open_memmap(file, dtype=dtype, **mode)


def solve(name, depths=slice(None), third=None, images_a_class=None):
    """A solved head on an encoder.

    Args:
        name: Name of the encoder.
        depths: Slice of its depths.
        third: Of tokens 0 for the class tokens, 1 for the means alone.
        images_a_class: Integer, how many images are trained on; by default all.
    """

    def make(encodings, split):
        encoder, _, widths = encodings.get(name)
        chosen = encoder.depths[depths]
        columns = np.flatnonzero(np.isin(np.repeat(encoder.depths, widths), chosen))
        used = np.arange(len(columns))
        if third is not None:
            used = np.split(used, 3)[third]
        train = drawn(split, images_a_class) if images_a_class else split.train
        features = encodings.features(name, split.index, train)[:, columns[used]]
        start = time.perf_counter()
        solution = solve_head(
            features,
            split.index.labels[train],
            2,
            split.groups(train),
            standardize=encoder.standardize,
            seed=split.seed,
        )
        seconds = time.perf_counter() - start
        kernel = np.zeros((len(columns), 2))
        kernel[used] = solution.kernel

        model, _ = encoders.encoder_model(encoder._replace(depths=chosen))
        names = split.index.class_names
        classifier = kd.EncoderClassifier(model, names, pooling=None, name=f"{name}_head")
        classifier.get_layer("head").set_weights([kernel, solution.bias])
        seconds += len(train) / images_a_second(classifier, split)

        def log_odds_of(index, positions, change=None):
            features = encodings.features(name, index, positions, change)[:, columns]
            return (features @ kernel + solution.bias) @ (1, -1)  # fake less real

        return [Member(classifier, log_odds_of, seconds)]

    return make


def drawn(split, images_a_class):
    """Some of the training images, as many of each class."""
    shuffled = np.random.default_rng(split.seed).permutation(split.train)
    labels = split.index.labels[shuffled]
    return np.concatenate([shuffled[labels == label][:images_a_class] for label in (0, 1)])


def stack(*names):
    """The members of several rows, to be weighted on the validation part."""
    return lambda *arguments: [m for name in names for m in ROWS[name].make(*arguments)]


# === Networks that are trained here ===


def classification(split, part, side=None, batch_size=BATCH_SIZE, shuffle=False):
    size = (side, side) if side else kd.datasets.load_image(split.index.paths[0]).shape[:2]
    return kd.datasets.classification_dataset(
        split.index.take(part), size, batch_size, len(part) * shuffle, split.seed, "memory"
    )


def network_member(model, side, seconds):
    """The member of a trained network, which now resizes images itself."""
    images = keras.Input((None, None, 3), name="images")
    resized = keras.layers.Resizing(side, side, antialias=True)(images) if side else images
    classifier = keras.Model(images, model(resized), name="network")

    def log_odds_of(index, positions, change=None):
        return log_odds(outputs(classifier, index.take(positions), change), 0)

    return Member(classifier, log_odds_of, seconds)


def train(build, epochs, side=None, make_optimizer=lambda steps: keras.optimizers.Adam(1e-3)):
    """A network; the epoch of the smallest loss on the validation part is kept.

    Args:
        build: Function from `Encodings` to a model of images.
        epochs: Integer.
        side: Integer, pixels to which images are resized; `None` leaves them as they are.
        make_optimizer: Function from the number of steps to an optimizer.
    """

    def make(encodings, split):
        keras.utils.set_random_seed(split.seed)
        start = time.perf_counter()
        model = build(encodings)
        data = classification(split, split.train, side, shuffle=True)
        model.compile(make_optimizer(epochs * len(data)), "categorical_crossentropy")
        model.fit(
            data,
            validation_data=classification(split, split.validation, side),
            epochs=epochs,
            shuffle=False,  # the dataset does it
            callbacks=[keras.callbacks.EarlyStopping(patience=epochs, restore_best_weights=True)],
            verbose=2,
        )
        return [network_member(model, side, time.perf_counter() - start)]

    return make


def train_study(side, **changes):
    """The study's two trainings, of as many epochs as it has; `changes` are of its settings."""
    settings = kd.recipes.StudySettings(image_size=side, **changes)

    def make(encodings, split):
        keras.utils.set_random_seed(split.seed)
        start = time.perf_counter()
        autoencoder = kd.ConvAutoencoder((side, side, 3), settings.filters)
        autoencoder.compile()
        images = kd.datasets.reconstruction_dataset(
            split.index.take(split.train),
            (side, side),
            settings.batch_size_autoencoder,
            len(split.train),
            split.seed,
            "memory",
        )
        autoencoder.fit(images, epochs=settings.epochs_autoencoder, shuffle=False, verbose=2)
        classifier = kd.EncoderClassifier.from_autoencoder(
            autoencoder, class_names=split.index.class_names, l1=settings.l1, l2=settings.l2
        )
        classifier.compile()
        data = classification(split, split.train, side, settings.batch_size_classifier, True)
        classifier.fit(data, epochs=settings.epochs_classifier, shuffle=False, verbose=2)
        return [network_member(classifier, side, time.perf_counter() - start)]

    return make


def meso4(encodings=None, inception=False):
    """Meso4 and MesoInception4: Afchar et al., "MesoNet", WIFS 2018, figures 4 to 6."""

    def convolution(x, filters, size, dilation=1):
        return layers.Conv2D(
            filters, size, padding="same", dilation_rate=dilation, activation="relu"
        )(x)

    def module(x, *filters):
        branches = [convolution(x, filters[0], 1)]
        for dilation, count in enumerate(filters[1:], 1):
            branches.append(convolution(convolution(x, count, 1), count, 3, dilation))
        return layers.Concatenate()(branches)

    images = keras.Input((256, 256, 3))
    x = layers.RandomFlip("horizontal")(images)
    x = module(x, 1, 4, 4, 2) if inception else convolution(x, 8, 3)
    x = layers.MaxPooling2D(2, padding="same")(layers.BatchNormalization()(x))
    x = module(x, 2, 4, 4, 2) if inception else convolution(x, 8, 5)
    x = layers.MaxPooling2D(2, padding="same")(layers.BatchNormalization()(x))
    for pool in (2, 4):
        x = layers.BatchNormalization()(convolution(x, 16, 5))
        x = layers.MaxPooling2D(pool, padding="same")(x)
    x = layers.Dropout(0.5)(layers.Flatten()(x))
    x = layers.Dropout(0.5)(layers.LeakyReLU(0.1)(layers.Dense(16)(x)))
    return keras.Model(images, layers.Dense(2, activation="softmax")(x))


def meso_inception4(encodings=None):
    return meso4(inception=True)


def residual_network(encodings=None):
    """Three residual blocks: He et al., "Deep Residual Learning", CVPR 2016, figure 2."""

    def convolution(x, filters, stride=1, size=3):
        x = layers.Conv2D(filters, size, stride, padding="same", use_bias=False)(x)
        return layers.BatchNormalization()(x)

    images = keras.Input((None, None, 3))
    x = layers.ReLU()(convolution(layers.RandomFlip("horizontal")(images), 12))
    for filters in (16, 32, 64):
        y = convolution(layers.ReLU()(convolution(x, filters, 2)), filters)
        x = layers.ReLU()(layers.Add()([y, convolution(x, filters, 2, 1)]))
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(images, layers.Dense(2, activation="softmax")(x))


def tuned_encoder(encodings):
    """The encoder under a new head, on a window of 224 pixels, its batch statistics frozen."""
    network = encoders.read_encoder(encodings.encoder).network
    classifier = kd.EncoderClassifier(network, pooling="avg", dropout=0.2)
    for layer in classifier.encoder._flatten_layers():
        if isinstance(layer, layers.BatchNormalization):
            layer.trainable = False
    window = [kd.layers.NativeCrop((224, 224)), layers.RandomFlip("horizontal")]
    return keras.Sequential([keras.Input((None, None, 3)), *window, classifier])


def warm_up_and_cosine(steps):
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps, warmup_target=3e-4, warmup_steps=max(1, steps // 10)
    )
    return keras.optimizers.AdamW(rate, weight_decay=0.01)


FREE = {"l1": 0.0, "l2": 0.0}
ENCODER, TOKENS = ("encoder",), ("token_encoder",)
ROWS = {
    "study": Row("The study's recipe, 256 px", train_study(256)),
    "study-free": Row("The study's recipe, 256 px, no penalties", train_study(256, **FREE)),
    "study-64": Row("The study's recipe at 64 px", train_study(64)),
    "study-64-free": Row("The study's recipe at 64 px, no penalties", train_study(64, **FREE)),
    "meso4": Row("Meso4", train(meso4, 20, 256)),
    "meso-inception4": Row("MesoInception4", train(meso_inception4, 20, 256)),
    "residual": Row("Residual network of 3 blocks", train(residual_network, 15)),
    "dct": Row("Block DCT, solved head", solve("dct")),
    "cooccurrence": Row("Co-occurrences, solved head", solve("cooccurrence")),
    "encoder-last": Row(
        "Encoder, last depth, solved head", solve("encoder", slice(-1, None)), ENCODER
    ),
    "encoder-all": Row("Encoder, all depths together, solved head", solve("encoder"), ENCODER),
    "encoder-tuned": Row(
        "Encoder, fine-tuned", train(tuned_encoder, 9, None, warm_up_and_cosine), ENCODER
    ),
    **{
        f"tokens-{block}": Row(
            f"Tokens of block {block}, solved head",
            solve("tokens", slice(block - FIRST_BLOCK, block - FIRST_BLOCK + 1)),
            TOKENS,
        )
        for block in range(FIRST_BLOCK, LAST_BLOCK + 1)
    },
    "tokens-7-class": Row("Class token of block 7 alone", solve("tokens", slice(3, 4), 0), TOKENS),
    "tokens-7-mean": Row("Mean token of block 7 alone", solve("tokens", slice(3, 4), 1), TOKENS),
    "tokens-5-8": Row("Tokens of blocks 5 to 8 together", solve("tokens", slice(1, None)), TOKENS),
    "tokens-5-8-few": Row(
        "Tokens of blocks 5 to 8, from 100 images a class",
        solve("tokens", slice(1, None), images_a_class=100),
        TOKENS,
    ),
    "stack": Row(
        "Stack: co-occurrences, DCT, encoder", stack("cooccurrence", "dct", "encoder-all"), ENCODER
    ),
    "stack-tokens": Row(
        "Stack: co-occurrences, encoder, tokens",
        stack("cooccurrence", "encoder-all", "tokens-5-8"),
        ENCODER + TOKENS,
    ),
}
