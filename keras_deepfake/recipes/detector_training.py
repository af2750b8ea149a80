"""The recommended recipe: encoders that are kept as they are, under heads that are solved."""

import json
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from keras_deepfake._arguments import (
    check_choice,
    check_flag,
    check_integer,
    check_rate,
    check_seed,
)
from keras_deepfake._classes import CLASS_NAMES, check_class_names, find_fake
from keras_deepfake._files import atomic_write
from keras_deepfake.datasets import ImageIndex
from keras_deepfake.evaluation import (
    DetectionReport,
    Predictions,
    evaluate_detector,
    predict_images,
)
from keras_deepfake.evaluation.predictions import scored_rows
from keras_deepfake.models import Detector
from keras_deepfake.recipes._encoded_views import View, encode_views, made_images, make_views
from keras_deepfake.recipes._fine_tuned_members import fine_tune_member
from keras_deepfake.recipes._network_encoders import (
    check_sizes,
    cooccurrence_encoder,
    encoder_model,
    read_encoder,
)
from keras_deepfake.recipes._run_folders import check_output, run_folder
from keras_deepfake.recipes._solved_members import number_kinds, solve_member
from keras_deepfake.recipes._splits import (
    groups_with_copies,
    index_digest,
    leave_out,
    unused_note,
)
from keras_deepfake.recipes._stacked_members import check_training, stack_members
from keras_deepfake.recipes._synthetic_data import synthetic_faces_index
from keras_deepfake.recipes._tables import save_model

_TEST_SHARE = 0.15
_SYNTHETIC_SIDE = 64


class TrainedDetector(NamedTuple):
    """What `train_detector` returns.

    Attributes:
        detector: The calibrated `Detector`.
        report: The `DetectionReport` on the test images.
        predictions: The `Predictions` of the test images.
        members: List of dictionaries, one for each member: its `name`, `depths`, `l2` (the penalty
            for each kind of fakes; `None` of a fine-tuned one), `weight` in the detector, and the
            `losses` of the depths that were tried.
    """

    detector: Detector
    report: DetectionReport
    predictions: Predictions
    members: list


def train_detector(
    index=None,
    encoder=None,
    output="detector",
    *,
    fine_tune=None,
    fakes="given",
    copies=1,
    false_positive_rate=None,
    abstain=None,
    fake_class=None,
    seed=0,
    overwrite=False,
    verbose=1,
):
    """Train the detector that this library recommends, and leave everything about it in a folder.

    Nothing is trained by gradients, but for `fine_tune`. Each encoder, a pretrained network that
    stays as it is, turns every training image into statistics of what its layers give: class token,
    mean and deviation of tokens, or mean and deviation of the channels of a map, at several depths.
    A logistic regression on them is solved to its optimum: where the index has several kinds of
    fakes, one that tells each of them from the reals, whose probabilities are summed. Of a whole
    network the depths are chosen by cross-validation among the training images.
    `kd.layers.ResidualCooccurrence` under such a head is a member too, except beside an encoder
    where all fakes are blends, whose traces in the pixels are not those of other fakes. Without any
    encoder it is the only one, which works without a download and is much weaker.

    Every image is seen twice, as it is and degraded at random by blur, resizing and JPEG. Images
    keep their pixels: of one that is larger than a network's input, windows are seen, in a grid
    of at most 3 x 3, as many as fit into most training images. Stacking, calibration and threshold
    are fitted on what heads say of images that they were not solved on, in cross-validation; no
    group, and no image with its copies, is on both sides. The test part takes no part in a choice.

    The folder holds `detector.keras`, the page `report.html`, `metrics.json` and
    `predictions.csv`. Until all is done it is called `<output>.unfinished`, and a call that was
    killed goes on where its encoding, or its last epoch, ended when it is made again. These are
    nearly all of the time; what is printed tells how much is left.

    Args:
        index: Labelled `ImageIndex` of two classes, with groups where several images show one
            person or come from one video; as many of each class are taken. Its `kinds` count
            where 50 images or more are left to train on. With `fakes="blended"` it may be
            photographs alone, unlabelled or not, and all of its reals are taken. By default
            synthetic faces, whose figures say nothing about photographs.
        encoder: Network of RGB images in [0, 1], or a list of them: a Keras model, the path of a
            `.keras` file, or the name of a network of `keras.applications`. A path or name may
            fix the depths by names of layers: `"clip.keras:block_5,block_6"`. A network that
            ends in a vector is used as it is.
        output: Path of the folder to make.
        fine_tune: One network, given as in `encoder`, to train end to end as a further member: 5
            epochs of AdamW, warmed up to 3e-4 and cooled down by a cosine, over the images as
            they are and degraded anew, in random windows. Batch normalizations stay as they are.
            It is trained three times, on either half of the groups for what it says of the other
            half, and on all. That is 10 epochs of all images and their copies, each of which
            takes several times as long as encoding them. Sets the global random seed.
        fakes: `"given"`, the fakes of the index; `"blended"`, none of them, but blends of the
            real images (`kd.layers.SelfBlendedImages`), which finds swaps and edits of kinds
            that were not trained on and is blind to faces that are generated whole; `"both"`.
        copies: Integer, degraded copies of each image.
        false_positive_rate: As for `kd.evaluation.calibrate`.
        abstain: As for `kd.evaluation.calibrate`.
        fake_class: The name of the fake class, where it cannot be recognised.
        seed: Non-negative integer for the split, what is drawn, and the cross-validation.
        overwrite: Boolean, whether the results of an older run in `output`, and an unfinished
            run with other settings, are replaced.
        verbose: 0 for silence, 1 for progress bars.

    Returns:
        A named tuple `TrainedDetector(detector, report, predictions, members)`.

    Raises:
        ValueError: Before anything is encoded: for wrong arguments, encoders that cannot be
            read or do not take RGB images, and an output that is there already or that another
            process writes. Later, for files that turn out to be damaged.
        FloatingPointError: If fine-tuning diverges.
        OSError: If weights cannot be downloaded, or something cannot be written.

    Example:
    ```python
    import os

    faces = kd.datasets.synthetic_faces(60, (32, 32))
    for i, (image, artifact) in enumerate(zip(faces.images, faces.artifacts, strict=True)):
        folder = "faces/real" if artifact == "none" else f"faces/fake/{artifact}"
        os.makedirs(folder, exist_ok=True)
        keras.utils.save_img(f"{folder}/{i}.png", image, scale=False)
    index = kd.datasets.ImageIndex.from_directory("faces")
    trained = kd.recipes.train_detector(index, output="detector", verbose=0)
    trained.detector.scores("faces/fake")  # and see detector/report.html
    ```

    Reference:
        Ojha, Li and Lee, "Towards Universal Fake Image Detectors that Generalize Across
        Generative Models", CVPR 2023 (a linear head on a frozen CLIP); Wolpert, "Stacked
        Generalization", Neural Networks 1992; Shiohara and Yamasaki, "Detecting Deepfakes with
        Self-Blended Images", CVPR 2022.
    """
    check_choice("fakes", fakes, ("given", "blended", "both"))
    if index is not None and not isinstance(index, ImageIndex):
        raise ValueError(f"`index` must be an `ImageIndex` or None; got {index!r}.")
    is_unlabelled = index is not None and index.labels is None
    if is_unlabelled and fakes != "blended":
        raise ValueError(
            f"`index` must have labels for fakes={fakes!r}; photographs alone are trained on with "
            "fakes='blended'."
        )
    class_names = CLASS_NAMES
    if index is not None and not is_unlabelled:
        class_names = check_class_names(index.class_names, 2)
    fake_index = find_fake(class_names, fake_class)
    copies = check_integer("copies", copies, 0, 100)
    false_positive_rate = check_rate("false_positive_rate", false_positive_rate)
    abstain = check_rate("abstain", abstain)
    seed = check_seed(seed)
    check_flag("overwrite", overwrite)
    verbose = check_integer("verbose", verbose, 0, 1)
    given = [] if encoder is None else encoder if isinstance(encoder, (list, tuple)) else [encoder]
    encoders = list(map(read_encoder, given))
    if fakes != "blended" or not encoders:
        encoders.append(cooccurrence_encoder())
    if len({encoder.name for encoder in encoders}) < len(encoders):
        raise ValueError(
            f"`encoder` must hold networks of different names; got "
            f"{[encoder.name for encoder in encoders]}."
        )
    tuned = None if fine_tune is None else read_encoder(fine_tune, "fine_tune")
    check_output(output, overwrite)
    say = print if verbose else lambda *_: None
    if not given and tuned is None:
        say(
            "No encoder is given: co-occurrences of neighbouring differences are all that is "
            "looked at. A pretrained network adds most of what can be detected."
        )
    origin = f"The test images took no part in training, calibration or any choice; seed {seed}."
    if index is None:
        index = synthetic_faces_index(Path(output).parent, _SYNTHETIC_SIDE, seed, verbose)
        origin = (
            "The faces are synthetic: these figures show that the recipe works and say nothing "
            "about photographs."
        )
    lacks_fakes = index.labels is None or not np.any(index.labels == fake_index)
    if lacks_fakes:
        origin += " There were no fakes to test on: the fakes are blends of test photographs."
    # Photographs are none the less for few fakes that only test.
    is_balanced = fakes != "blended"
    unused = unused_note(index) if is_balanced else ""
    origin += unused
    images = index.balanced(seed=seed) if is_balanced else index
    train, test = images.split((1 - _TEST_SHARE, _TEST_SHARE), seed=seed)
    train = leave_out(train, test, "index")
    is_fake = np.zeros(len(train), bool) if lacks_fakes else train.labels == fake_index
    views = make_views(is_fake, fakes, copies)
    groups = groups_with_copies(train)
    kinds, kind_names = np.zeros(len(train), int), []
    if fakes != "blended":
        kinds, kind_names = number_kinds(train.kinds, is_fake, groups)
    if fakes != "given":
        kind_names.append("(blends)")
    check_training(
        views,
        kinds,
        kind_names,
        groups,
        fakes,
        tuned is not None,
        seed,
        false_positive_rate,
        abstain,
    )
    crops = [encoder.crops_per_side(train) for encoder in encoders]
    models = list(map(encoder_model, encoders, crops))
    tuned_models = [] if tuned is None else [encoder_model(tuned)]
    check_sizes([model for model, _ in models + tuned_models], images)
    identity = {
        "index": index_digest(index),
        "encoders": [encoder.digest() for encoder in encoders],
        "fine_tune": None if tuned is None else tuned.digest(),
        "fakes": fakes,
        "copies": copies,
        "false_positive_rate": false_positive_rate,
        "abstain": abstain,
        "fake_class": class_names[fake_index],
        "seed": seed,
        "backend": keras.backend.backend(),
    }
    with run_folder(output, identity, overwrite) as run:
        if unused:
            say(unused.strip())
        say(f"Training: {train}\nTest: {test}")
        if len(kind_names) > 1:
            say(f"Kinds of fakes that the heads tell apart: {', '.join(kind_names)}")
        members = []
        for number, encoder in enumerate(encoders):
            say(f"Encoding by {encoder.name}")
            model, widths = models[number]
            encoded = encode_views(
                model, train, is_fake, views, run.state / str(number), seed, verbose
            )
            say(f"Solving the head on {encoder.name}")
            row_kinds = kinds[encoded.positions]
            row_kinds[encoded.is_blended & encoded.is_fake] = len(kind_names)
            member = solve_member(
                encoder,
                encoded,
                widths,
                groups[encoded.positions],
                (row_kinds, kind_names),
                class_names,
                fake_index,
                crops[number],
                seed,
            )
            say(f"  layers: {', '.join(member.depths)}; penalty {_penalties(member.l2)}")
            members.append(member)
        if tuned is not None:
            say(f"Fine-tuning {tuned.name}")
            member = fine_tune_member(
                tuned,
                train,
                is_fake,
                views,
                encoded,
                groups[encoded.positions],
                class_names,
                fake_index,
                run.state,
                seed,
                verbose,
            )
            members.append(member)
        detector, notes = stack_members(
            members,
            encoded,
            class_names,
            fake_index,
            fakes,
            train,
            false_positive_rate,
            abstain,
            num_views=max(1, copies) if fakes == "blended" else 1 + copies,
        )
        save_model(detector, run.results / "detector.keras")

        say("Evaluation on the test images")
        data, test_groups = test, None
        if lacks_fakes:
            data, test_groups = _blended_test(test, fake_index, seed)
        report = evaluate_detector(
            detector, data, groups=test_groups, verbose=verbose, batch_size=32
        )
        predictions = _predictions(detector, test, None if lacks_fakes else report.scores)
        predictions.to_csv(run.results / "predictions.csv")
        told = [
            {
                "name": member.name,
                "depths": list(member.depths),
                "l2": None if member.l2 is None else list(member.l2),
                "weight": weight,
                "losses": member.losses,
            }
            for member, weight in zip(members, detector.member_weights, strict=True)
        ]
        metrics = {
            "images": {"train": len(train), "test": len(test)},
            "kinds": kind_names,
            "members": told,
            "report": json.loads(report.to_json()),
        }
        with atomic_write(run.results / "metrics.json") as file:
            json.dump(metrics, file, indent=2)
        report.save(
            run.results / "report.html",
            sections=[
                ("About these figures", origin, *notes),
                ("Members", "What the detector combines.", _table(told)),
            ],
        )
    return TrainedDetector(detector, report, predictions, told)


def _blended_test(test, fake_index, seed):
    """Photographs and their blends, where there are no other fakes, and the group of each."""
    positions = np.arange(min(len(test), 500))
    view, is_fake = View("blended", positions), np.zeros(len(test), bool)
    images, fakes, of_images = zip(
        *made_images(test, is_fake, view, positions, (seed,)), strict=True
    )
    labels = [np.where(fake, fake_index, 1 - fake_index) for fake in fakes]
    groups = test.groups or range(len(test))
    return zip(images, labels, strict=True), [groups[i] for i in np.concatenate(of_images)]


def _predictions(detector, test, scores):
    """Verdicts on the test images, by the scores of the report where it is on the same images."""
    if scores is None:
        return predict_images(detector, test, verbose=0)
    return Predictions(
        scored_rows(detector, test.paths, scores.astype("float32")),
        detector.class_names,
        detector.threshold,
        detector.conformal_bounds,
        fake_class=detector.class_names[detector.fake_index],
    )


def _penalties(l2):
    return ", ".join(f"{penalty:.2g}" for penalty in l2)


def _table(members):
    rows = [("member", "layers", "penalty", "weight")]
    for member in members:
        penalty = "fine-tuned" if member["l2"] is None else _penalties(member["l2"])
        rows.append((member["name"], ", ".join(member["depths"]), penalty, member["weight"]))
    return rows
