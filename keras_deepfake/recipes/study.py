"""The study's training: an autoencoder of faces, then a classifier on its encoder."""

import dataclasses
import json
from pathlib import Path
from typing import NamedTuple

import keras

from keras_deepfake._arguments import check_choice, check_flag, check_integer, check_seed
from keras_deepfake._classes import CLASS_NAMES, check_class_names, find_fake
from keras_deepfake._files import atomic_write
from keras_deepfake.datasets import ImageIndex
from keras_deepfake.evaluation import (
    DetectionReport,
    Predictions,
    calibrate,
    evaluate_detector,
    predict_images,
)
from keras_deepfake.models import ConvAutoencoder, Detector
from keras_deepfake.recipes._devices import Devices, all_devices
from keras_deepfake.recipes._run_folders import check_output, run_folder
from keras_deepfake.recipes._splits import index_digest, split_with_pretraining, unused_note
from keras_deepfake.recipes._study_pictures import StudyPictures
from keras_deepfake.recipes._study_stages import (
    make_autoencoder,
    make_classifier,
    train_autoencoder,
    train_classifier,
)
from keras_deepfake.recipes._synthetic_data import synthetic_faces_index
from keras_deepfake.recipes._tables import (
    peak_memory,
    save_model,
    with_notes,
    write_history,
    write_summary,
)
from keras_deepfake.recipes.study_settings import StudySettings


class TrainedStudy(NamedTuple):
    """What `train_study` returns.

    Attributes:
        autoencoder: The trained `ConvAutoencoder`.
        detector: The `Detector`: the trained `EncoderClassifier`, calibrated on the validation
            images.
        histories: Dictionary from each stage to its history, a dictionary of lists.
        report: The `DetectionReport` on the test images.
        predictions: The `Predictions` of the test images.
    """

    autoencoder: ConvAutoencoder
    detector: Detector
    histories: dict
    report: DetectionReport
    predictions: Predictions


def train_study(
    index=None,
    output="study",
    settings="small",
    *,
    unlabelled=None,
    fake_class=None,
    seed=0,
    overwrite=False,
    distribute=False,
    verbose=1,
):
    """Train the detector of the study, and leave everything about it in a folder.

    A convolutional autoencoder is trained on faces without their labels; its encoder is then
    trained on with a head over fake and real, and calibrated on the validation images. The test
    images are held out before either stage begins: neither they, nor copies of them, nor other
    images of their groups are among those that anything is trained on.

    The folder holds the models `autoencoder.keras`, `encoder.keras` and `detector.keras`, the
    page `report.html`, the pictures on it, `metrics.json`, `history.csv`, `predictions.csv` and
    `summary.txt`. Until all is done it is called `<output>.unfinished`, and a training that was
    killed goes on at its last finished epoch when the function is called again with the same
    data and settings; it ends with the weights of the uninterrupted one, as far as
    `kd.callbacks.ResumeTraining` promises it.

    Sets the global random seed.

    Args:
        index: Labelled `ImageIndex` of two classes, with groups where several images show one
            person or come from one video. By default synthetic faces, which are drawn into a
            folder beside `output`; figures on them say nothing about photographs.
        output: Path of the folder to make.
        settings: `StudySettings`, or the name of a preset: `"seed"` or `"small"`.
        unlabelled: `ImageIndex` of the images to pretrain on; its labels are not used. If
            `index` has groups it needs them too. By default those of `index` but for the test part.
        fake_class: The name of the fake class, where it cannot be recognised.
        seed: Non-negative integer for the splits, the order of the images and the weights.
        overwrite: Boolean, whether the results of an older run in `output`, and an unfinished
            run with other settings, are replaced.
        distribute: Boolean, whether every batch is divided among all accelerators of the machine
            (all CPU devices, where there is none), on TensorFlow and JAX. The training is that of
            one device, but for the last images of a part that have no equal shares.
        verbose: 0 for silence, 1 for progress bars, 2 for a line an epoch.

    Returns:
        A named tuple `TrainedStudy(autoencoder, detector, histories, report, predictions)`.

    Raises:
        ValueError: Before anything is trained: for wrong arguments, an output that is there
            already or that another process writes, and parts that lack a class.
        FloatingPointError: If a training diverges.
        OSError: If something cannot be written, with its path.

    Example:
    ```python
    import os

    faces = kd.datasets.synthetic_faces(80, (32, 32))
    for i, (image, artifact) in enumerate(zip(faces.images, faces.artifacts, strict=True)):
        folder = "faces/real" if artifact == "none" else f"faces/fake/{artifact}"
        os.makedirs(folder, exist_ok=True)
        keras.utils.save_img(f"{folder}/{i}.png", image, scale=False)
    index = kd.datasets.ImageIndex.from_directory("faces")
    settings = kd.recipes.StudySettings.preset(
        "small", image_size=32, filters=(4, 4), epochs_autoencoder=1, epochs_classifier=1
    )
    study = kd.recipes.train_study(index, "study", settings, verbose=0)
    study.report.metrics["auc"]  # and see study/report.html
    ```

    Reference:
        Chatzitheodorou, "Detecting Deep Fakes"; see docs/seed-study.md.
    """
    if not isinstance(settings, StudySettings):
        settings = StudySettings.preset(check_choice("settings", settings, ("seed", "small")))
    for name, value in (("index", index), ("unlabelled", unlabelled)):
        if value is not None and not isinstance(value, ImageIndex):
            raise ValueError(f"`{name}` must be an `ImageIndex` or None; got {value!r}.")
    class_names = CLASS_NAMES if index is None else check_class_names(index.class_names, 2)
    fake_class = class_names[find_fake(class_names, fake_class)]
    seed = check_seed(seed)
    check_flag("overwrite", overwrite)
    check_flag("distribute", distribute)
    verbose = check_integer("verbose", verbose, 0, 2)
    check_output(output, overwrite)
    devices = all_devices() if distribute else Devices()
    for name in ("batch_size_autoencoder", "batch_size_classifier"):
        devices.check_batch_size(name, getattr(settings, name))
    # What cannot be built is told before anything is drawn or trained.
    with devices.scope():
        autoencoder = make_autoencoder(settings, seed)
        make_classifier(autoencoder, class_names, settings, seed)

    origin = f"The test images were held out before pretraining; seed {seed}."
    if index is None:
        index = synthetic_faces_index(Path(output).parent, settings.image_size, seed, verbose)
        origin = (
            "The faces are synthetic: these figures show that the recipe works and say nothing "
            "about photographs."
        )
    origin += (unused := unused_note(index))
    parts, pretraining, num_left_out = split_with_pretraining(
        index, settings.split, seed, settings.subset, unlabelled
    )
    if num_left_out:
        origin += (
            f" {num_left_out} images were left out of the trainings: they are test images, copies "
            "of these, or of their groups."
        )
    pretraining_parts = pretraining.split(settings.split_autoencoder, seed=seed)
    pretraining_parts = [devices.trim(part) for part in pretraining_parts]
    classifier_parts = [devices.trim(part) for part in parts]
    identity = {
        **dataclasses.asdict(settings),
        "seed": seed,
        "backend": keras.backend.backend(),
        "devices": devices.count,
        "fake_class": fake_class,
        "index": index_digest(index),
        "unlabelled": None if unlabelled is None else index_digest(unlabelled),
    }
    with run_folder(output, identity, overwrite) as run:
        say = print if verbose else lambda *_: None
        if unused:
            say(unused.strip())
        names = ("train", "validation", "test")
        for name, part in zip(names, parts, strict=True):
            say(f"Classifier, {name}: {part}")
        pictures = StudyPictures(run.results, settings.image_size)
        pictures.draw_data(parts[0])

        say(f"Stage 1: autoencoder, on {pretraining}, {devices.count} device(s)")
        with devices.scope():
            histories, autoencoder_metrics = train_autoencoder(
                autoencoder, pretraining_parts, settings, seed, run.state, verbose
            )
        save_model(autoencoder, run.results / "autoencoder.keras")
        save_model(autoencoder.encoder, run.results / "encoder.keras")
        pictures.draw_curves(histories)
        pictures.draw_reconstructions(autoencoder, parts[2])

        say("Stage 2: classifier")
        with devices.scope():
            classifier = make_classifier(autoencoder, class_names, settings, seed + 1)
            history, classifier_metrics = train_classifier(
                classifier, classifier_parts, settings, seed, run.state, verbose
            )
        detector, notes = with_notes(calibrate, classifier, parts[1], fake_class=fake_class)
        for note in notes:
            say(note)
        save_model(detector, run.results / "detector.keras")
        pictures.draw_curves({"classifier": history})
        pictures.draw_verdicts(detector, parts[2])
        pictures.draw_network(classifier, verbose)

        say("Evaluation on the test images, which neither stage has seen")
        histories["classifier"] = history
        report = evaluate_detector(detector, parts[2], verbose=min(verbose, 1))
        predictions = predict_images(detector, parts[2])
        predictions.to_csv(run.results / "predictions.csv")
        write_history(histories, run.results / "history.csv")
        write_summary(
            (autoencoder.encoder, autoencoder.decoder, classifier), run.results / "summary.txt"
        )
        metrics = {
            "images": {
                stage: dict(zip(names, map(len, split), strict=True))
                for stage, split in (("autoencoder", pretraining_parts), ("classifier", parts))
            },
            "num_left_out": num_left_out,
            "autoencoder": autoencoder_metrics,
            "classifier": classifier_metrics,
            "report": json.loads(report.to_json()),
        }
        memory = peak_memory()
        if memory is not None:
            metrics["peak_memory_gb"] = memory / 2**30
        with atomic_write(run.results / "metrics.json") as file:
            json.dump(metrics, file, indent=2)
        report.save(
            run.results / "report.html",
            sections=[("About these figures", origin, *notes), *pictures.sections],
        )
    return TrainedStudy(autoencoder, detector, histories, report, predictions)
