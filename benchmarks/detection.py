"""What detectors reach on one data set: the same splits, intervals, robustness, other data.

Every row is trained, and tested on images that it never saw, once for every seed. A seed has test
images of its own, a fifth of the groups, apart from those of the other seeds. A tenth chooses the
epoch of networks that are trained here, and calibrates every detector; the rest trains.
Changed images are changed at the size of their files.

One line of JSON for every row and seed goes into the file of results, and what is there already is
not run again, so that a run can be killed and goes on where it was. `--table` prints the Markdown
of a file of results. Features of an encoder are computed once, for all rows that use it, and kept
in a folder beside the results.

Without --data the faces are synthetic: such figures mean nothing about photographs.
"""

import argparse
import json
import re
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

CHANGES = {"JPEG 50": ("jpeg", 50), "half size": ("resize", 0.5), "blur 1 px": ("blur", 1)}
BATCH_SIZE = 32
SYNTHETIC_FACES, SYNTHETIC_SIDE = 400, 64


class Split(NamedTuple):
    """Positions of the images of a seed's parts."""

    index: object
    seed: int
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    def labels(self, part):
        return self.index.labels[part]

    def groups(self, part):
        groups = self.index.groups or self.index.paths
        return [groups[position] for position in part]


class Member(NamedTuple):
    """A classifier of images of any size, the log-odds that it gives, and what it cost."""

    classifier: object
    log_odds: object
    seconds: float


def split_index(index, seed):
    """Tests of different seeds share no image and no group."""
    place = {path: position for position, path in enumerate(index.paths)}
    tenths = [
        np.array([place[path] for path in part.paths]) for part in index.split([0.1] * 10, seed=0)
    ]
    tenths = tenths[2 * seed :] + tenths[: 2 * seed]
    return Split(index, seed, np.concatenate(tenths[3:]), tenths[2], np.concatenate(tenths[:2]))


def outputs(model, index, change=None):
    """What a model says of images, of which each may be changed before."""
    from keras_deepfake.models.image_batches import image_batches
    from keras_deepfake.models.prediction import predict_batch

    rows = []
    for batch in image_batches(index, model.input_shape, batch_size=BATCH_SIZE):
        batch.check_read()
        rows.append(predict_batch(model, changed(batch.pixels, change)))
    return np.concatenate(rows)


def changed(pixels, change):
    # The changes of `kd.evaluation.evaluate_robustness`, which would encode anew for every row.
    from keras_deepfake.evaluation import _corruptions

    if change is None:
        return pixels
    name, level = CHANGES[change]
    images = np.rint(255 * pixels).astype("uint8")
    return np.stack([getattr(_corruptions, name)(i, level) for i in images]) / np.float32(255)


class Encoding:
    """What an encoder makes of images, kept in files as it is computed."""

    def __init__(self, encoder, folder):
        from keras_deepfake.recipes._network_encoders import encoder_model

        self.encoder, self.make_model = encoder, encoder_model
        self.model, self.widths = encoder_model(encoder)
        self.folder = folder / encoder.digest()
        self.folder.mkdir(parents=True, exist_ok=True)

    def rows(self, index, positions, change=None):
        from keras_deepfake.recipes._splits import index_digest

        stem = f"{index_digest(index)}-{change or 'unchanged'}".replace(" ", "-")
        width = self.model.output_shape[-1]
        features = self._open(f"{stem}.npy", (len(index), width), "float32")
        is_done = self._open(f"{stem}-done.npy", (len(index),), "bool")
        missing = positions[~is_done[positions]]
        for start in range(0, len(missing), 8 * BATCH_SIZE):
            block = missing[start : start + 8 * BATCH_SIZE]
            features[block] = outputs(self.model, index.take(block), change)
            features.flush()
            is_done[block] = True
            is_done.flush()
        return features[positions]

    def _open(self, name, shape, dtype):
        file = self.folder / name
        mode = {} if file.exists() else {"shape": shape, "dtype": dtype}
        return np.lib.format.open_memmap(file, "r+" if file.exists() else "w+", **mode)


class Bench:
    """What rows share: arguments, and encodings by name."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.encodings = {}

    def encoding(self, source):
        if source not in self.encodings:
            self.encodings[source] = Encoding(self._encoder(source), self.arguments.cache)
        return self.encodings[source]

    def _encoder(self, source):
        from keras_deepfake.recipes import _network_encoders as encoders

        if source == "cooccurrence":
            return encoders.cooccurrence_encoder()
        if source == "dct":
            return encoders.NetworkEncoder("dct", dct_network(), ("moments",), True)
        if source == "encoder":
            return encoders.read_encoder(self.arguments.encoder)
        blocks = ",".join(f"block_{block}" for block in range(4, 9))
        return encoders.read_encoder(f"{self.arguments.token_encoder}:{blocks}")


def dct_network():
    import keras

    from keras_deepfake import layers

    stack = [layers.RGBToYCbCr(), layers.BlockDCT(), layers.MomentPooling(name="moments")]
    network = keras.Sequential([keras.Input((None, None, 3)), *stack])
    return keras.Model(network.inputs[0], network.outputs[0], name="dct")


# === Rows: each makes the members of a detector ===


def solve(source, depths=None, part=None):
    """A solved head on the statistics of some depths of an encoder.

    Args:
        source: Name of the encoding.
        depths: Names of layers, or a slice of them; `None` takes all.
        part: 0 or 1, the class token or the mean of tokens alone.
    """

    def make(bench, split):
        from keras_deepfake.models import EncoderClassifier
        from keras_deepfake.models.solved_head import solve_head

        encoding = bench.encoding(source)
        names = encoding.encoder.depths
        chosen = names[depths] if isinstance(depths, slice) else depths or names
        depth_of_column = np.repeat(names, encoding.widths)
        columns = np.flatnonzero(np.isin(depth_of_column, chosen))
        third = len(columns) // 3
        used = slice(None) if part is None else slice(part * third, (part + 1) * third)

        features = encoding.rows(split.index, split.train)[:, columns[used]]
        start = time.perf_counter()
        solution = solve_head(
            features,
            split.labels(split.train),
            2,
            groups=split.groups(split.train),
            standardize=encoding.encoder.standardize,
            seed=split.seed,
        )
        seconds = time.perf_counter() - start
        kernel = np.zeros((len(columns), 2))
        kernel[used] = solution.kernel
        model, _ = encoding.make_model(encoding.encoder._replace(depths=tuple(chosen)))
        classifier = EncoderClassifier(
            model, split.index.class_names, pooling=None, name=f"{source}_head"
        )
        classifier.get_layer("head").set_weights([kernel, solution.bias])
        # Of two classes the second is real.
        direction, offset = kernel @ (1, -1), solution.bias @ (1, -1)

        def log_odds(index, positions, change=None):
            return encoding.rows(index, positions, change)[:, columns] @ direction + offset

        seconds += len(split.train) / images_a_second(classifier, split)
        return [Member(classifier, log_odds, seconds)]

    return make


def train(build, epochs, side=None, batch_size=BATCH_SIZE, **compile_arguments):
    """A network trained here; the epoch of the smallest loss on the validation part is kept.

    Args:
        build: Function from `Bench` to a model of images of `side` pixels.
        epochs: Integer.
        side: Integer, pixels to which images are resized; `None` keeps their own.
        batch_size: Integer.
        compile_arguments: `optimizer`, a function from the number of steps to an optimizer.
    """

    def make(bench, split):
        import keras

        count = bench.arguments.epochs or epochs
        keras.utils.set_random_seed(split.seed)
        start = time.perf_counter()
        model = build(bench)
        steps = count * -(-len(split.train) // batch_size)
        optimizer = compile_arguments.get("optimizer", lambda steps: keras.optimizers.Adam(1e-3))
        model.compile(optimizer(steps), "categorical_crossentropy")
        best = keras.callbacks.EarlyStopping(patience=count, restore_best_weights=True)
        model.fit(
            classification(split, split.train, side, batch_size, shuffle=True),
            validation_data=classification(split, split.validation, side, batch_size),
            epochs=count,
            callbacks=[best],
            verbose=2,
        )
        return [network_member(model, side, time.perf_counter() - start)]

    return make


def train_study(side, **changes):
    """The study's two trainings, of as many epochs as it has; `changes` are of its settings."""

    def make(bench, split):
        import keras

        import keras_deepfake as kd

        settings = kd.recipes.StudySettings(image_size=side, **changes)
        epochs = bench.arguments.epochs
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
        autoencoder.fit(images, epochs=epochs or settings.epochs_autoencoder, verbose=2)
        classifier = kd.EncoderClassifier.from_autoencoder(
            autoencoder, class_names=split.index.class_names, l1=settings.l1, l2=settings.l2
        )
        classifier.compile()
        data = classification(split, split.train, side, settings.batch_size_classifier, True)
        classifier.fit(data, epochs=epochs or settings.epochs_classifier, verbose=2)
        return [network_member(classifier, side, time.perf_counter() - start)]

    return make


def stack(*rows):
    """The members of several rows, weighted on the validation part."""

    def make(bench, split):
        return [member for name in rows for member in ROWS[name].make(bench, split)]

    return make


def classification(split, part, side, batch_size, shuffle=False):
    import keras_deepfake as kd

    size = (side, side) if side else kd.datasets.load_image(split.index.paths[0]).shape[:2]
    return kd.datasets.classification_dataset(
        split.index.take(part), size, batch_size, len(part) if shuffle else 0, split.seed, "memory"
    )


def network_member(model, side, seconds):
    """The member of a trained network, which resizes images itself."""
    import keras

    from keras_deepfake.models.log_odds import log_odds

    images = keras.Input((None, None, 3), name="images")
    resized = keras.layers.Resizing(side, side, antialias=True)(images) if side else images
    classifier = keras.Model(images, model(resized), name="network")

    def log_odds_of(index, positions, change=None):
        return log_odds(outputs(classifier, index.take(positions), change), 0)

    return Member(classifier, log_odds_of, seconds)


def meso4(bench, inception=False):
    """Meso4 and MesoInception4: Afchar et al., "MesoNet", WIFS 2018, figures 4 and 5."""
    import keras
    from keras import layers

    def convolution(x, filters, size, **arguments):
        return layers.Conv2D(filters, size, padding="same", activation="relu", **arguments)(x)

    def module(x, *filters):
        """Four branches of 1x1 convolutions, three of them with dilated ones behind."""
        branches = [convolution(x, filters[0], 1)]
        for dilation, count in enumerate(filters[1:], 1):
            branches.append(convolution(convolution(x, count, 1), count, 3, dilation_rate=dilation))
        return layers.Concatenate()(branches)

    images = keras.Input((256, 256, 3))
    x = layers.RandomFlip("horizontal")(images)
    for number, (filters, pool) in enumerate(((8, 2), (8, 2), (16, 2), (16, 4))):
        if inception and number < 2:
            x = module(x, *((1, 4, 4, 2), (2, 4, 4, 2))[number])
        else:
            x = convolution(x, filters, 3 if number == 0 else 5)
        x = layers.MaxPooling2D(pool, padding="same")(layers.BatchNormalization()(x))
    x = layers.Dropout(0.5)(layers.Flatten()(x))
    x = layers.Dropout(0.5)(layers.LeakyReLU(0.1)(layers.Dense(16)(x)))
    return keras.Model(images, layers.Dense(2, activation="softmax")(x))


def residual_network(bench):
    """Three residual blocks: He et al., "Deep Residual Learning", CVPR 2016, figure 2."""
    import keras
    from keras import layers

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


def tuned_encoder(bench):
    """The encoder under a new head, on a window of 224 pixels, its batch statistics frozen."""
    import keras

    import keras_deepfake as kd
    from keras_deepfake.recipes._network_encoders import read_encoder

    network = read_encoder(bench.arguments.encoder).network
    classifier = kd.EncoderClassifier(network, pooling="avg", dropout=0.2)
    for layer in classifier.encoder._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    window = [kd.layers.NativeCrop((224, 224)), keras.layers.RandomFlip("horizontal")]
    return keras.Sequential([keras.Input((None, None, 3)), *window, classifier])


def warm_up_and_cosine(steps):
    import keras

    rate = keras.optimizers.schedules.CosineDecay(
        0.0, steps, warmup_target=3e-4, warmup_steps=max(1, steps // 10)
    )
    return keras.optimizers.AdamW(rate, weight_decay=0.01)


class Row(NamedTuple):
    """A row: what the table calls it, what makes its members, and the encoder files it needs."""

    title: str
    make: object
    needs: tuple = ()


FREE = {"l1": 0.0, "l2": 0.0}
TOKENS, ENCODER = ("token_encoder",), ("encoder",)
TOGETHER = tuple(f"block_{block}" for block in range(5, 9))
ROWS = {
    "study": Row("The study's recipe, 256 px", train_study(256)),
    "study-free": Row("… without its penalties", train_study(256, **FREE)),
    "study-64": Row("The study's recipe at 64 px", train_study(64)),
    "study-64-free": Row("… without its penalties", train_study(64, **FREE)),
    "meso4": Row("Meso4", train(meso4, 20, 256)),
    "meso-inception4": Row("MesoInception4", train(lambda b: meso4(b, True), 20, 256)),
    "residual": Row("Residual network of 3 blocks", train(residual_network, 15)),
    "dct": Row("Block DCT, solved head", solve("dct")),
    "cooccurrence": Row("Co-occurrences, solved head", solve("cooccurrence")),
    "encoder-last": Row(
        "Convolutional encoder, last depth, solved head", solve("encoder", slice(-1, None)), ENCODER
    ),
    "encoder-all": Row("… twelve depths together", solve("encoder"), ENCODER),
    "encoder-tuned": Row(
        "… fine-tuned", train(tuned_encoder, 9, optimizer=warm_up_and_cosine), ENCODER
    ),
    **{
        f"tokens-{block}": Row(
            f"Token encoder, block {block}, solved head",
            solve("tokens", [f"block_{block}"]),
            TOKENS,
        )
        for block in range(4, 9)
    },
    "tokens-7-class": Row("… block 7, class token alone", solve("tokens", ["block_7"], 0), TOKENS),
    "tokens-7-mean": Row("… block 7, mean alone", solve("tokens", ["block_7"], 1), TOKENS),
    "tokens-5-8": Row("… blocks 5 to 8 together", solve("tokens", TOGETHER), TOKENS),
    "stack": Row(
        "Stack: co-occurrences, DCT, convolutional encoder",
        stack("cooccurrence", "dct", "encoder-all"),
        ENCODER,
    ),
    "stack-tokens": Row(
        "Stack: co-occurrences, convolutional and token encoder",
        stack("cooccurrence", "encoder-all", "tokens-5-8"),
        ENCODER + TOKENS,
    ),
}


# === Measuring ===


def images_a_second(model, split):
    from keras_deepfake.models.image_batches import image_batches
    from keras_deepfake.models.prediction import predict_batch

    images = split.index.take(split.test[:BATCH_SIZE])
    pixels = next(image_batches(images, model.input_shape, batch_size=BATCH_SIZE)).pixels
    predict_batch(model, pixels)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < 1:
        predict_batch(model, pixels)
        count += len(pixels)
    return count / (time.perf_counter() - start)


def measure(name, bench, split, other):
    """Train a row, and score the test part, its changed copies and other data."""
    from keras_deepfake.evaluation.calibration import calibrated_detector
    from keras_deepfake.models import Detector
    from keras_deepfake.models.log_odds import sigmoid

    members = ROWS[name].make(bench, split)
    detector = Detector([member.classifier for member in members], split.index.class_names)

    def log_odds(index, positions, change=None):
        return np.stack([m.log_odds(index, positions, change) for m in members], axis=1)

    known = log_odds(split.index, split.validation)
    detector = calibrated_detector(detector, split.labels(split.validation) == 0, known, set())

    def evaluated(index, positions, changes):
        part = Split(index, split.seed, None, None, positions)
        scores = {}
        for change in changes:
            total = detector.bias + log_odds(index, positions, change) @ detector.member_weights
            scores[change or "unchanged"] = sigmoid(total).round(6).tolist()
        numbers = {}
        groups = [numbers.setdefault(group, len(numbers)) for group in part.groups(positions)]
        is_fake = (part.labels(positions) == 0).tolist()
        return {"is_fake": is_fake, "groups": groups, "scores": scores}

    return {
        "images": [len(split.train), len(split.validation), len(split.test)],
        "parameters": detector.count_params(),
        "seconds": round(sum(member.seconds for member in members), 1),
        "images_a_second": round(images_a_second(detector, split), 1),
        "threshold": detector.threshold,
        "test": evaluated(split.index, split.test, [None, *CHANGES]),
        "other": None if other is None else evaluated(other, np.arange(len(other)), [None]),
    }


# === The table ===


def reports_of(record, part="test"):
    """A `DetectionReport` for each change."""
    from keras_deepfake.evaluation import detection_report

    data = record[part]
    return {
        change: detection_report(
            data["is_fake"],
            np.array(scores),
            groups=data["groups"],
            threshold=record["threshold"],
            seed=record["seed"],
        )
        for change, scores in data["scores"].items()
    }


def mean_and_interval(reports, metric, others=None):
    """Mean over seeds, whose test images are different ones, and its interval."""
    from keras_deepfake.evaluation.bootstrap import percentile_interval, smaller_class

    value = np.mean([report.metrics[metric] for report in reports])
    resamples = np.mean([report.resamples[metric] for report in reports], axis=0)
    if others is not None:
        value -= np.mean([report.metrics[metric] for report in others])
        resamples = resamples - np.mean([report.resamples[metric] for report in others], axis=0)
    groups = sum(smaller_class(r.group_numbers, r.is_fake, ~r.is_fake) for r in reports)
    low, high = percentile_interval(resamples, groups)
    sign = "+" if others is not None else ""
    return f"{value:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"


def markdown(records):
    """Two tables for each data set."""
    lines = []
    for data in dict.fromkeys(record["data"] for record in records):
        runs = {
            name: {r["seed"]: r for r in records if (r["data"], r["row"]) == (data, name)}
            for name in ROWS
        }
        first = next(name for name in ROWS if runs[name])
        tests = {
            name: {seed: reports_of(record) for seed, record in sorted(seeds.items())}
            for name, seeds in runs.items()
        }
        sizes = next(iter(runs[first].values()))["images"]
        lines += [f"### {data}", "", "About {} training, {} validation and {} test images a seed."]
        lines[-1] = lines[-1].format(*sizes)
        heads = ["detector", "seeds", "parameters", "training, s", "images/s", "AUC"]
        heads += [f"AUC less that of “{ROWS[first].title}”", "accuracy", "TPR at 1 % FPR"]
        lines += ["", *head(heads)]
        for name, seeds in runs.items():
            cells = ["not run"]
            if seeds:
                mine = [reports["unchanged"] for reports in tests[name].values()]
                shared = [seed for seed in tests[name] if seed in tests[first]]
                pair = [[tests[n][seed]["unchanged"] for seed in shared] for n in (name, first)]
                cells = [
                    ", ".join(map(str, tests[name])),
                    f"{next(iter(seeds.values()))['parameters']:,}".replace(",", " "),
                    f"{np.mean([record['seconds'] for record in seeds.values()]):.0f}",
                    f"{np.mean([record['images_a_second'] for record in seeds.values()]):.3g}",
                    mean_and_interval(mine, "auc"),
                    mean_and_interval(pair[0], "auc", pair[1]) if shared and name != first else "",
                    mean_and_interval(mine, "accuracy"),
                    mean_and_interval(mine, "tpr_at_fpr_1"),
                ]
            lines.append(line([ROWS[name].title, *cells], len(heads)))
        elsewhere = list(dict.fromkeys(r["other_data"] for r in records if r["data"] == data))
        elsewhere = [name for name in elsewhere if name is not None]
        lines += ["", *head(["AUC / accuracy", "unchanged", *CHANGES, *elsewhere])]
        for name, seeds in runs.items():
            if seeds:
                cells = [
                    auc_and_accuracy([reports[change] for reports in tests[name].values()])
                    for change in ("unchanged", *CHANGES)
                ]
                for there in elsewhere:
                    found = [r for r in seeds.values() if r["other_data"] == there]
                    cells.append(
                        auc_and_accuracy([reports_of(r, "other")["unchanged"] for r in found])
                    )
                lines.append(line([ROWS[name].title, *cells]))
        lines.append("")
    return "\n".join(lines)


def auc_and_accuracy(reports):
    if not reports:
        return ""
    return " / ".join(
        f"{np.mean([report.metrics[name] for report in reports]):.3f}"
        for name in ("auc", "accuracy")
    )


def head(names):
    return [line(names), "|" + "---|" * len(names)]


def line(cells, length=None):
    cells = [*cells, *[""] * ((length or len(cells)) - len(cells))]
    return f"| {' | '.join(cells)} |"


# === Command line ===


def read_index(folder, pattern):
    import keras_deepfake as kd

    groups = re.compile(pattern) if pattern else None
    return kd.datasets.ImageIndex.from_directory(folder, groups=groups).balanced(seed=0)


def draw_faces(folder):
    import keras

    import keras_deepfake as kd

    if not folder.exists():
        unfinished = folder.with_name(f"{folder.name}.unfinished")
        faces = kd.datasets.synthetic_faces(SYNTHETIC_FACES, (SYNTHETIC_SIDE, SYNTHETIC_SIDE))
        for number, (image, artifact) in enumerate(zip(faces.images, faces.artifacts, strict=True)):
            part = unfinished / ("real" if artifact == "none" else "fake")
            part.mkdir(parents=True, exist_ok=True)
            keras.utils.save_img(part / f"{number:05d}.png", image, scale=False)
        unfinished.rename(folder)
    return folder


def read_records(file):
    if not file.exists():
        return []
    return [json.loads(text) for text in file.read_text(encoding="utf-8").splitlines()]


def run(arguments, names):
    """Run what the file of results lacks."""
    from keras_deepfake._files import atomic_write

    data = arguments.data or draw_faces(arguments.cache / "synthetic-faces")
    index = read_index(data, arguments.group_pattern)
    other = None
    if arguments.other_data:
        other = read_index(arguments.other_data, None)
        other = other.subset(min(1, arguments.other_images / len(other)), seed=0)
    bench = Bench(arguments)
    for seed in arguments.seeds:
        split = split_index(index, seed)
        for name in names:
            records = read_records(arguments.results)
            if (arguments.name, name, seed) in {(r["data"], r["row"], r["seed"]) for r in records}:
                continue
            print(f"{name}, seed {seed}, {arguments.name}", flush=True)
            record = {"data": arguments.name, "row": name, "seed": seed}
            record["other_data"] = arguments.other_name if other is not None else None
            record |= measure(name, bench, split, other)
            with atomic_write(arguments.results) as file:
                for one in (*records, record):
                    file.write(json.dumps(one) + "\n")
            print(f"  AUC {reports_of(record)['unchanged'].metrics['auc']:.4f}", flush=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="folder with fake/ and real/")
    parser.add_argument("--name", help="what the data is called in the table")
    parser.add_argument(
        "--group-pattern", metavar="REGEX", help="what it finds in a file name is the group"
    )
    parser.add_argument("--other-data", type=Path, metavar="FOLDER", help="to be tested on too")
    parser.add_argument("--other-name", help="what that is called")
    parser.add_argument("--other-images", type=int, default=400)
    parser.add_argument("--encoder", help="a .keras file, or a network of keras.applications")
    parser.add_argument("--token-encoder", help="a .keras file with block_4 to block_8")
    parser.add_argument("--rows", nargs="+", choices=ROWS, metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], choices=range(5))
    parser.add_argument("--epochs", type=int, help="of every training, to try the script")
    parser.add_argument("--results", type=Path, default=Path("detection.jsonl"))
    parser.add_argument("--table", action="store_true", help="print the table, and run nothing")
    arguments = parser.parse_args()
    if arguments.table:
        print(markdown(read_records(arguments.results)))
        return
    given = [name for name in ("encoder", "token_encoder") if getattr(arguments, name)]
    can_run = [name for name, row in ROWS.items() if set(row.needs) <= set(given)]
    names = arguments.rows or can_run
    if lacking := [name for name in names if name not in can_run]:
        parser.error(f"give --encoder or --token-encoder, which {', '.join(lacking)} need")
    arguments.cache = arguments.results.with_suffix(".features")
    if arguments.name is None:
        folder = arguments.data
        arguments.name = folder.name if folder else "synthetic faces (nothing about photographs)"
    if arguments.other_data and arguments.other_name is None:
        arguments.other_name = arguments.other_data.name
    run(arguments, names)


if __name__ == "__main__":
    main()
