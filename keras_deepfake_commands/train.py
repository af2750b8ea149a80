"""Train a detector of fake faces.

--preset recommended puts logistic regressions, which are solved rather than trained, on encoders
that stay as they are: on every pretrained network of --encoder, and on co-occurrences of
neighbouring pixels. --preset real-only does it without any fakes: it blends photographs with
themselves. The presets small and seed train the study's autoencoder, then a classifier on its
encoder: seed (the study that this library grew from, not --seed) at 256 px in hours, small at
64 px in minutes.

Without --data synthetic faces are drawn; figures on them say nothing about real ones. With --data
it expects a folder for each of two classes inside DIR, such as fake/ and real/, read recursively,
of aligned face crops. The test images are held out before anything begins.

A run that was killed goes on where it was when it is started again with the same arguments.
"""

import dataclasses
import os

from keras_deepfake_commands._options import OF_FOLDERS, add_classes, add_index, read_index

NUM_SHOWN = 8


def add_options(parser):
    add = parser.add_argument
    add("--data", metavar="DIR", help="folder with two class folders (default: synthetic faces)")
    add("--output", metavar="DIR", default="results", help="folder to make (default: results)")
    add("--overwrite", action="store_true", help="replace the results of an older run")
    add(
        "--preset",
        choices=("recommended", "real-only", "small", "seed"),
        default="small",
        help="which recipe: see above (default: small, the study at 64 px in minutes)",
    )
    add_classes(add, OF_FOLDERS)
    add_index(add, "; no group is split, and none of the test part is pretrained on")
    add("--seed", type=int, default=0, metavar="N", help="seed of everything (default: 0)")

    add = parser.add_argument_group("recommended and real-only").add_argument
    add(
        "--encoder",
        nargs="+",
        metavar="NETWORK",
        help="pretrained networks: FILE.keras, or names of keras.applications; with "
        "FILE.keras:LAYER,LAYER these layers are used, otherwise the best are chosen",
    )
    add(
        "--fine-tune",
        metavar="NETWORK",
        help="a network as in --encoder, to train end to end as a further member; slow on a CPU",
    )
    add(
        "--photographs",
        metavar="DIR",
        help="for real-only: aligned crops of real faces alone, instead of --data",
    )
    add(
        "--false-positive-rate",
        type=float,
        metavar="F",
        help="share of reals that may be called fake, which sets the threshold (default: the "
        "threshold of the best balanced accuracy)",
    )
    add(
        "--abstain",
        type=float,
        metavar="F",
        help="say unsure, so that at most this share of either class is called the other "
        "(default: always answer)",
    )

    add = parser.add_argument_group(
        "small and seed", "Defaults are those of the preset: docs/training.md lists them."
    ).add_argument
    add(
        "--pretraining-data",
        metavar="DIR",
        help="folder of unlabelled faces for the autoencoder, read recursively (default: --data "
        "without the test images)",
    )
    add("--image-size", type=int, metavar="N", help="side of the square images in pixels")
    add("--filters", type=int, nargs="+", metavar="N", help="filters of the encoder's blocks")
    add("--activation", choices=("softmax", "sigmoid"), help="activation of the head")
    add("--l1", type=float, metavar="F", help="L1 penalty of the head")
    add("--l2", type=float, metavar="F", help="L2 penalty of the head")
    add(
        "--corruption",
        choices=("gaussian", "masking", "salt_and_pepper"),
        help="train a denoising autoencoder (default: a plain one)",
    )
    add(
        "--pretraining",
        choices=("joint", "stacked"),
        help="train the autoencoder as a whole (default), or greedily layer by layer",
    )
    add("--subset", type=float, metavar="F", help="share of the labelled images to use")
    add("--split", type=float, nargs=3, metavar="F", help="shares of train, validation and test")
    add(
        "--split-autoencoder",
        type=float,
        nargs=3,
        metavar="F",
        help="the same for the images of the autoencoder",
    )
    add("--distribute", action="store_true", help="train on all devices of the machine at once")
    add("--epochs-autoencoder", type=int, metavar="N", help="passes over its images")
    add("--epochs-classifier", type=int, metavar="N", help="passes over its images")
    add("--batch-size-autoencoder", type=int, metavar="N", help="images in a batch")
    add("--batch-size-classifier", type=int, metavar="N", help="images in a batch")


def _check_options(options, changes, is_study):
    """Raise for options that the preset has no use for."""
    unused = [name for name in ("pretraining_data", "distribute") if getattr(options, name)]
    unused = [*changes, *unused]
    if is_study:
        names = ("encoder", "fine_tune", "photographs", "false_positive_rate", "abstain")
        unused = [name for name in names if getattr(options, name) is not None]
    elif options.photographs and (options.data or options.preset == "recommended"):
        unused.append("photographs" if options.preset == "recommended" else "data")
    if unused:
        unused = ", ".join(f"--{name.replace('_', '-')}" for name in unused)
        raise ValueError(
            f"--preset {options.preset} has no use for {unused}. --help says what each takes."
        )


def run(options):
    import keras_deepfake as kd  # not above: --help need not wait for TensorFlow

    names = [field.name for field in dataclasses.fields(kd.recipes.StudySettings)]
    changes = {name: getattr(options, name) for name in names}
    changes = {name: value for name, value in changes.items() if value is not None}
    is_study = options.preset in ("small", "seed")
    _check_options(options, changes, is_study)
    index = unlabelled = None
    if options.data:
        class_names = options.class_names or kd.datasets.find_class_folders(
            options.data, options.fake_class
        )
        index = read_index(options.data, options, class_names)
    if options.pretraining_data:
        unlabelled = read_index(options.pretraining_data, options, class_names=None)
    if options.photographs:
        index = read_index(options.photographs, options, class_names=None)
    common = {name: getattr(options, name) for name in ("fake_class", "seed", "overwrite")}
    if is_study:
        settings = kd.recipes.StudySettings.preset(options.preset, **changes)
        trained = kd.recipes.train_study(
            index,
            options.output,
            settings,
            unlabelled=unlabelled,
            distribute=options.distribute,
            **common,
        )
    else:
        trained = kd.recipes.train_detector(
            index,
            options.encoder,
            options.output,
            fine_tune=options.fine_tune,
            fakes="given" if options.preset == "recommended" else "blended",
            false_positive_rate=options.false_positive_rate,
            abstain=options.abstain,
            **common,
        )
    print(trained.report)
    print(trained.predictions[:NUM_SHOWN])
    print(f"Results are in {options.output}: open {os.path.join(options.output, 'report.html')}.")
