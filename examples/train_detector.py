"""Train a detector of fake faces: autoencoder, then a classifier on its encoder.

Without --data the script draws synthetic faces; figures on them say nothing about real ones.
With --data it expects the folders fake/ and real/ inside DIR, read recursively, of aligned face
crops. The classifier's test images are held out before either stage begins.

A run that was killed goes on at its last finished epoch when it is started again with the same
arguments.
"""

import argparse
import csv
import dataclasses
import json
import os
import pathlib
import re
import resource
import shutil
import sys
import time

import keras
import numpy as np

import keras_deepfake as kd

CORRUPTIONS = {
    "gaussian": lambda: keras.layers.GaussianNoise(0.1, seed=0),
    "masking": lambda: kd.layers.MaskingNoise(0.25, patch_size=4, seed=0),
    "salt_and_pepper": lambda: kd.layers.SaltAndPepperNoise(0.1, seed=0),
}
NUM_SYNTHETIC_FACES = 4000
NUM_SHOWN = 8


@dataclasses.dataclass(frozen=True)
class Preset:
    """Settings that an option of the same name overrides."""

    image_size: int
    filters: tuple
    activation: str
    l1: float
    l2: float
    subset: float
    split: tuple
    split_autoencoder: tuple
    epochs_autoencoder: int
    epochs_classifier: int
    batch_size_autoencoder: int
    batch_size_classifier: int


PRESETS = {
    # The study's own settings.
    "seed": Preset(
        image_size=256,
        filters=(168, 64, 32),
        activation="softmax",
        l1=0.01,
        l2=0.1,
        subset=0.3,
        split=(0.8, 0.1, 0.1),
        split_autoencoder=(0.7, 0.15, 0.15),
        epochs_autoencoder=10,
        epochs_classifier=20,
        batch_size_autoencoder=64,
        batch_size_classifier=128,
    ),
    # Minutes on two cores. The study's penalties would drive the head to zero on so few images.
    "small": Preset(
        image_size=64,
        filters=(32, 64, 64),
        activation="softmax",
        l1=1e-5,
        l2=1e-4,
        subset=1.0,
        split=(0.75, 0.1, 0.15),
        split_autoencoder=(0.7, 0.15, 0.15),
        epochs_autoencoder=3,
        epochs_classifier=24,
        batch_size_autoencoder=64,
        batch_size_classifier=32,
    ),
}


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", metavar="DIR", help="folder with fake/ and real/ (default: synthetic faces)")
    add("--pretraining-data", metavar="DIR", help="folder of unlabelled faces, read recursively")
    add("--output", metavar="DIR", default="results", help="folder to make (default: results)")
    add("--overwrite", action="store_true", help="replace an existing output folder")
    add("--preset", choices=PRESETS, default="small", help="settings to start from")
    add(
        "--group-pattern",
        metavar="REGEX",
        help="part of a file name that names its group, such as the person; no group is split",
    )
    add("--image-size", type=int, metavar="N", help="side of the square images in pixels")
    add("--filters", type=int, nargs="+", metavar="N", help="filters of the encoder's blocks")
    add("--activation", choices=("softmax", "sigmoid"), help="activation of the head")
    add("--l1", type=float, metavar="F", help="L1 penalty of the head")
    add("--l2", type=float, metavar="F", help="L2 penalty of the head")
    add("--corruption", choices=CORRUPTIONS, help="train a denoising autoencoder")
    add(
        "--pretraining",
        choices=("joint", "stacked"),
        default="joint",
        help="train the autoencoder as a whole, or greedily layer by layer",
    )
    add("--subset", type=float, metavar="F", help="share of the labelled images to use")
    add("--split", type=float, nargs=3, metavar="F", help="shares of train, validation and test")
    add("--epochs-autoencoder", type=int, metavar="N")
    add("--epochs-classifier", type=int, metavar="N")
    add("--seed", type=int, default=0, metavar="N", help="seed of everything (default: 0)")
    options = parser.parse_args(arguments)
    for field in dataclasses.fields(Preset):
        if getattr(options, field.name, None) is None:
            setattr(options, field.name, getattr(PRESETS[options.preset], field.name))
    return options


def check_options(options):
    for name in ("image_size", "epochs_autoencoder", "epochs_classifier"):
        if getattr(options, name) < 1:
            raise ValueError(f"--{name.replace('_', '-')} must be 1 or more.")
    for folder in (options.data, options.pretraining_data):
        if folder is not None and not os.path.isdir(folder):
            raise ValueError(f"there is no folder {folder!r}.")
    if pathlib.Path(options.output).exists() and not options.overwrite:
        raise ValueError(
            f"{options.output!r} is there already; choose another --output, or --overwrite it."
        )


def open_work_folder(options):
    """The folder of an unfinished run with these options, which is made if there is none."""
    work = pathlib.Path(f"{os.path.normpath(options.output)}.unfinished")
    settings = {
        key: value for key, value in vars(options).items() if key not in ("output", "overwrite")
    }
    settings = json.dumps(settings, indent=2)
    if work.exists() and (work / "settings.json").read_text() != settings:
        if not options.overwrite:
            raise ValueError(
                f"{str(work)!r} holds an unfinished run with other options; start that again to "
                "go on with it, or drop it with --overwrite."
            )
        shutil.rmtree(work)
    if not work.exists():
        new = work.with_name(f"{work.name}.{os.getpid()}")
        new.mkdir(parents=True)
        (new / "settings.json").write_text(settings)
        new.rename(work)
    return work


def draw_synthetic_faces(options):
    """Writes synthetic faces beside the output, in the layout of --data, unless they are there."""
    side, seed = options.image_size, options.seed
    folder = pathlib.Path(options.output).with_name(f"synthetic-faces-{side}px-seed{seed}")
    if folder.exists():
        return folder
    print(f"Drawing {NUM_SYNTHETIC_FACES} synthetic faces into {folder} …")
    faces = kd.datasets.synthetic_faces(NUM_SYNTHETIC_FACES, (side, side), seed=seed)
    unfinished = folder.with_name(f"{folder.name}.{os.getpid()}")
    for i, (image, artifact) in enumerate(zip(faces.images, faces.artifacts, strict=True)):
        part = unfinished / ("real" if artifact == "none" else f"fake/{artifact}")
        part.mkdir(parents=True, exist_ok=True)
        keras.utils.save_img(part / f"{i:05d}.png", image, scale=False)
    return unfinished.rename(folder)


def group_function(pattern):
    if pattern is None:
        return None
    expression = re.compile(pattern)

    def group(path):
        match = expression.search(os.path.basename(path))
        if match is None:
            raise ValueError(f"--group-pattern {pattern!r} matches nothing in {path!r}.")
        return match.group()

    return group


def split_images(options, data):
    """The parts of the classifier, and those of the autoencoder."""
    seed, groups = options.seed, group_function(options.group_pattern)
    labelled = kd.datasets.ImageIndex.from_directory(data, groups=groups).balanced(seed=seed)
    if options.pretraining_data:
        parts = labelled.subset(options.subset, seed=seed).split(options.split, seed=seed)
        unlabelled = kd.datasets.ImageIndex.from_directory(
            options.pretraining_data, class_names=None
        )
        shared = {os.path.realpath(path) for path in parts[2].paths} & {
            os.path.realpath(path) for path in unlabelled.paths
        }
        if shared:
            raise ValueError(
                f"{len(shared)} test images also lie in --pretraining-data, such as "
                f"{min(shared)!r}; leave out --pretraining-data to have them held out."
            )
    else:
        # The test part goes first, so that pretraining may use everything else.
        train, validation, test = options.split
        unlabelled, test_pool = labelled.split((train + validation, test), seed=seed)
        share = train / (train + validation)
        parts = [
            *unlabelled.subset(options.subset, seed=seed).split((share, 1 - share), seed=seed),
            test_pool.subset(options.subset, seed=seed),
        ]
    for name, part in zip(("train", "validation", "test"), parts, strict=True):
        if len(set(part.labels)) < 2:
            raise ValueError(f"the {name} part has one class only: there are too few groups.")
    return parts, unlabelled.split(options.split_autoencoder, seed=seed)


class EpochTime(keras.callbacks.Callback):
    """Adds the seconds of each epoch to the history."""

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        logs["seconds"] = time.perf_counter() - self.start


def make_autoencoder(options):
    keras.utils.set_random_seed(options.seed)
    autoencoder = kd.models.ConvAutoencoder(
        (options.image_size, options.image_size, 3),
        options.filters,
        corruption=CORRUPTIONS[options.corruption]() if options.corruption else None,
    )
    autoencoder.compile()
    return autoencoder


def train_autoencoder(options, autoencoder, parts, work):
    side = options.image_size
    train, validation, test = (
        kd.datasets.reconstruction_dataset(
            part,
            (side, side),
            options.batch_size_autoencoder,
            shuffle_buffer=buffer,
            seed=options.seed,
        )
        for part, buffer in zip(parts, (200, 0, 0), strict=True)
    )
    if options.pretraining == "stacked":
        histories = kd.recipes.pretrain_stacked(
            autoencoder,
            train,
            epochs=options.epochs_autoencoder,
            validation_data=validation,
            callbacks=lambda i: [kd.callbacks.ResumeTraining(work / f"block_{i}.resume")],
        )
        history = {f"block_{i}": stage.history for i, stage in enumerate(histories)}
    else:
        training = autoencoder.fit(
            train,
            validation_data=validation,
            epochs=options.epochs_autoencoder,
            shuffle=False,  # the dataset does it
            callbacks=[EpochTime(), kd.callbacks.ResumeTraining(work / "autoencoder.resume")],
        )
        history = {"autoencoder": training.history}
    return history, autoencoder.evaluate(test, return_dict=True)


def train_classifier(options, autoencoder, parts, work):
    keras.utils.set_random_seed(options.seed + 1)
    side = options.image_size
    classifier = kd.models.EncoderClassifier.from_autoencoder(
        autoencoder, activation=options.activation, l1=options.l1, l2=options.l2
    )
    classifier.compile()
    train, validation, test = (
        kd.datasets.classification_dataset(
            part,
            (side, side),
            options.batch_size_classifier,
            shuffle_buffer=buffer,
            seed=options.seed,
        )
        for part, buffer in zip(parts, (100, 0, 0), strict=True)
    )
    training = classifier.fit(
        train,
        validation_data=validation,
        epochs=options.epochs_classifier,
        shuffle=False,
        callbacks=[EpochTime(), kd.callbacks.ResumeTraining(work / "classifier.resume")],
    )
    return classifier, training.history, classifier.evaluate(test, return_dict=True)


def sample_images(part, options):
    """A few images of each class, with their labels."""
    positions = np.concatenate(
        [np.flatnonzero(part.labels == label)[: NUM_SHOWN // 2] for label in (0, 1)]
    )
    size = (options.image_size, options.image_size)
    images = np.stack([kd.datasets.load_image(part.paths[i], size) for i in positions])
    return images, part.labels[positions]


def draw_data(parts, options, work):
    """The look at the data before anything is trained."""
    images, labels = sample_images(parts[0], options)
    low, high = (round(255 * float(value)) for value in (images.min(), images.max()))
    print(
        f"The values of the sampled images range from {low} to {high}; they are scaled to [0, 1]."
    )
    names = [parts[0].class_names[label] for label in labels]
    figures = {"data": kd.visualization.plot_images(images, titles=names)}
    inputs, targets = next(
        iter(kd.datasets.reconstruction_dataset(parts[0], images.shape[1:3], NUM_SHOWN))
    )
    figures["input_target"] = kd.visualization.plot_input_target(inputs, targets)
    return save_figures(figures, work)


def draw_curves(history):
    measures = ("loss", "accuracy", "precision", "recall")
    return kd.visualization.plot_training_curves(history, [m for m in measures if m in history])


def draw_autoencoder(autoencoder, histories, part, options, work):
    images, _ = sample_images(part, options)
    reconstructions = autoencoder.predict(images, verbose=0)
    figures = {f"{name}_curves": draw_curves(history) for name, history in histories.items()}
    figures["reconstructions"] = kd.visualization.plot_reconstructions(images, reconstructions)
    return save_figures(figures, work)


def draw_classifier(classifier, history, part, options, work):
    images, labels = sample_images(part, options)
    probabilities = classifier.predict(images, verbose=0)
    figures = {
        "classifier_curves": draw_curves(history),
        "predictions": kd.visualization.plot_predictions(
            images, probabilities, classifier.class_names, labels
        ),
        "explanations": kd.visualization.plot_overlays(
            images,
            kd.explanation.grad_cam(classifier, images),
            titles=[classifier.class_names[label] for label in labels],
            label="Speaks for fake",
        ),
    }
    return save_figures(figures, work)


def save_figures(figures, work):
    for name, figure in figures.items():
        kd.visualization.save_figure(figure, work / f"{name}.png")
    return figures


def draw_model(classifier, work):
    """The picture of the network, where graphviz is installed."""
    try:
        keras.utils.plot_model(classifier, work / "model.png", show_shapes=True, expand_nested=True)
    except ImportError as error:
        print(f"No picture of the network: {error}")


def write_tables(predictions, histories, work):
    with open(work / "predictions.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", *predictions.class_names, "verdict"])
        for row in predictions:
            writer.writerow([row.path, *(f"{p:.6f}" for p in row.probabilities), row.verdict])
    names = sorted({name for history in histories.values() for name in history})
    with open(work / "history.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["stage", "epoch", *names])
        for stage, history in histories.items():
            for epoch in range(len(history["loss"])):
                values = [history[name][epoch] if name in history else "" for name in names]
                writer.writerow([stage, epoch + 1, *values])


def write_summary(autoencoder, classifier, report, work):
    with open(work / "summary.txt", "w") as file:
        for model in (autoencoder.encoder, autoencoder.decoder, classifier):
            model.summary(print_fn=lambda line: print(line, file=file))
        print(report, file=file)


def finish(work, output):
    """Puts the finished results in place; an older folder goes only when they are complete."""
    output = pathlib.Path(output)
    for state in work.glob("*.resume"):
        state.unlink()
    if output.exists():
        old = output.with_name(f"{output.name}.replaced.{os.getpid()}")
        output.rename(old)
        work.rename(output)
        shutil.rmtree(old)
    else:
        work.rename(output)


def main(arguments=None):
    options = parse_arguments(arguments)
    try:
        check_options(options)
        data = options.data or draw_synthetic_faces(options)
        parts, autoencoder_parts = split_images(options, data)
        autoencoder = make_autoencoder(options)
        work = open_work_folder(options)
    except (ValueError, OSError, re.error) as error:
        sys.exit(f"train_detector.py: {error}")
    for name, part in zip(("train", "validation", "test"), parts, strict=True):
        print(f"Classifier, {name}: {part}")
    figures = draw_data(parts, options, work)

    print("Stage 1: autoencoder")
    histories, autoencoder_metrics = train_autoencoder(
        options, autoencoder, autoencoder_parts, work
    )
    autoencoder.save(work / "autoencoder.keras")
    autoencoder.encoder.save(work / "encoder.keras")
    figures |= draw_autoencoder(autoencoder, histories, parts[2], options, work)

    print("Stage 2: classifier")
    classifier, history, classifier_metrics = train_classifier(options, autoencoder, parts, work)
    classifier.save(work / "detector.keras")
    figures |= draw_classifier(classifier, history, parts[2], options, work)
    draw_model(classifier, work)

    print("Evaluation on the test images, which neither stage has seen")
    histories["classifier"] = history
    report = kd.evaluation.evaluate_detector(classifier, parts[2])
    predictions = kd.evaluation.predict_images(classifier, list(parts[2].paths))
    write_tables(predictions, histories, work)
    write_summary(autoencoder, classifier, report, work)
    metrics = {
        "images": {
            stage: dict(zip(("train", "validation", "test"), map(len, split), strict=True))
            for stage, split in (("autoencoder", autoencoder_parts), ("classifier", parts))
        },
        "autoencoder": autoencoder_metrics,
        "classifier": classifier_metrics,
        "report": json.loads(report.to_json()),
        "peak_memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }
    (work / "metrics.json").write_text(json.dumps(metrics, indent=2))
    origin = (
        "The faces are synthetic: these figures show that the recipe works and say nothing about "
        "photographs."
        if options.data is None
        else f"The test images were held out before pretraining; seed {options.seed}."
    )
    captions = {
        "data": "Training images as they come from the folder.",
        "input_target": "What the autoencoder is given, above what it shall return.",
        "reconstructions": "Test images, their reconstructions, and where the two differ.",
        "predictions": "Test images with the detector's probabilities.",
        "explanations": "What in these images speaks for fake (HiResCAM, last encoder block).",
    }
    sections = [("About these figures", origin)]
    sections += [
        (
            name.replace("_", " ").capitalize(),
            figure,
            *([captions[name]] if name in captions else []),
        )
        for name, figure in figures.items()
    ]
    report.save(work / "report.html", sections=sections)
    finish(work, options.output)
    print(report)
    print(predictions[:NUM_SHOWN])
    print(f"Results are in {options.output}: open {os.path.join(options.output, 'report.html')}.")


if __name__ == "__main__":
    main()
