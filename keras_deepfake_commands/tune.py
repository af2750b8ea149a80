"""Search hyperparameters of a detector with KerasTuner and compare the best with the study's.

Without --data synthetic faces are drawn; figures on them say nothing about real ones.
With --data it expects a folder for each of two classes inside DIR, such as fake/ and real/, read
recursively, of aligned face crops. The test images are held out before the search begins.

Every trial pretrains an autoencoder of its own, unless --autoencoder or --encoder names a trained
one. At the end the best configuration and the study's are trained the same way and evaluated on
the test images. A search that was killed goes on when it is started again with the same arguments,
with any number of workers. Several machines: see docs/hyperparameter-search.md.
"""

import json
import os

from keras_deepfake_commands._options import OF_FOLDERS, add_classes, add_index, read_index

NUM_SYNTHETIC_FACES = 2000


def add_options(parser):
    add = parser.add_argument
    add("--data", metavar="DIR", help="folder with two class folders (default: synthetic faces)")
    add_classes(add, OF_FOLDERS)
    add("--output", metavar="DIR", default="search", help="folder of the search (default: search)")
    add(
        "--tuner",
        choices=("hyperband", "bayesian", "random", "grid"),
        default="random",
        help="of KerasTuner (default: random)",
    )
    add("--max-trials", type=int, default=10, metavar="N", help="trials at most (default: 10)")
    add("--epochs", type=int, default=8, metavar="N", help="of each classifier (default: 8)")
    add(
        "--pretraining-epochs",
        type=int,
        default=3,
        metavar="N",
        help="of a trial's own autoencoder (default: 3)",
    )
    add("--autoencoder", metavar="FILE", help="trained autoencoder whose encoder every trial gets")
    add("--encoder", metavar="FILE", help="trained encoder, any Keras model, for every trial")
    add("--image-size", type=int, default=64, metavar="N", help="side in pixels (default: 64)")
    add(
        "--max-filters",
        type=int,
        default=168,
        metavar="N",
        help="largest number of filters of a block (default: 168)",
    )
    add_index(add, "; no group is split")
    add(
        "--workers",
        type=int,
        default=0,
        metavar="N",
        help="run N trials at a time, each in a process of its own (default: this process alone)",
    )
    add("--seed", type=int, default=0, metavar="N", help="seed of everything (default: 0)")


def _check_options(options):
    if min(options.max_trials, options.epochs) < 1 or options.workers < 0:
        raise ValueError("--max-trials and --epochs must be 1 or more, --workers 0 or more.")
    if options.autoencoder and options.encoder:
        raise ValueError("give --autoencoder or --encoder, not both.")
    if options.class_names and not options.data:
        raise ValueError("--class-names are those of --data.")


def _load_data(options):
    """Training and validation data as arguments of `fit`, and the test part to evaluate on."""
    import numpy as np

    import keras_deepfake as kd

    size, seed = (options.image_size, options.image_size), options.seed
    if options.data is None:
        print(f"Drawing {NUM_SYNTHETIC_FACES} synthetic faces …")
        faces = kd.datasets.synthetic_faces(NUM_SYNTHETIC_FACES, size, seed=seed)
        images = faces.images.astype("float32") / 255
        order = np.random.default_rng(seed).permutation(len(images))
        parts = np.split(order, [int(0.7 * len(order)), int(0.85 * len(order))])
        return [(images[part], faces.labels[part]) for part in parts]
    index = read_index(options.data, options, options.class_names)
    parts = index.balanced(seed=seed).split((0.7, 0.15, 0.15), seed=seed)
    for name, part in zip(("train", "validation", "test"), parts, strict=True):
        print(f"{name}: {part}")
    train, validation = (
        kd.datasets.classification_dataset(
            part, size, shuffle_buffer=buffer, seed=seed, cache="memory"
        )
        for part, buffer in ((parts[0], len(parts[0])), (parts[1], 0))
    )
    return (train,), validation, parts[2]


def _make_hypermodel(options, max_filters):
    import keras_deepfake as kd

    shape = (options.image_size, options.image_size, 3)
    autoencoder = encoder = None
    if options.encoder:
        encoder = kd.models.load_model(options.encoder)
    elif options.autoencoder:
        autoencoder = kd.models.load_model(options.autoencoder)
    else:
        autoencoder = kd.hypermodels.HyperConvAutoencoder(
            shape, depth=(2, 3), filters=(8, max_filters, 8)
        )
    return kd.hypermodels.HyperEncoderClassifier(
        shape,
        options.class_names,
        autoencoder,
        encoder,
        pretraining_epochs=options.pretraining_epochs,
        seed=options.seed,
    )


def _make_tuner(options, hypermodel):
    import keras_tuner

    tuner_class, arguments = {
        "hyperband": (keras_tuner.Hyperband, {"max_epochs": options.epochs}),
        "bayesian": (keras_tuner.BayesianOptimization, {"max_trials": options.max_trials}),
        "random": (keras_tuner.RandomSearch, {"max_trials": options.max_trials}),
        "grid": (keras_tuner.GridSearch, {"max_trials": options.max_trials}),
    }[options.tuner]
    tuner = tuner_class(
        hypermodel,
        keras_tuner.Objective("val_auc", "max"),
        seed=options.seed + 1,  # KerasTuner takes 0 for no seed
        directory=options.output,
        project_name="trials",
        **arguments,
    )
    # Hyperband sets its own number of trials; this is the limit.
    tuner.oracle.max_trials = options.max_trials
    return tuner


def _check_settings(options):
    """Refuses to go on with a search that was begun with other options."""
    from keras_deepfake._files import atomic_write

    free = ("output", "workers", "command")
    settings = {name: value for name, value in vars(options).items() if name not in free}
    file = os.path.join(options.output, "settings.json")
    if not os.path.exists(file):
        os.makedirs(options.output, exist_ok=True)
        with atomic_write(file) as stream:
            json.dump(settings, stream, indent=2)
        return
    with open(file, encoding="utf-8") as stream:
        if json.load(stream) != settings:
            raise ValueError(
                f"{options.output!r} holds a search with other options; give them again to go on "
                "with it, or choose another --output."
            )


def _train(hypermodel, hp, options, data, validation):
    """The detector of a configuration, at the epoch that is best on the validation images."""
    import keras

    import keras_deepfake as kd

    classifier = hypermodel.build(hp)
    best_epoch = keras.callbacks.EarlyStopping(
        "val_auc", mode="max", patience=options.epochs, restore_best_weights=True
    )
    hypermodel.fit(
        hp,
        classifier,
        *data,
        validation_data=validation,
        epochs=options.epochs,
        callbacks=[best_epoch],
    )
    return kd.models.as_detector(classifier, fake_class=options.fake_class)


def run(options):
    _check_options(options)
    import keras_tuner  # not above: --help need not wait for TensorFlow

    import keras_deepfake as kd

    defaults = keras_tuner.HyperParameters()
    if not options.class_names:
        options.class_names = ["fake", "real"]
        if options.data:
            names = kd.datasets.find_class_folders(options.data, options.fake_class)
            options.class_names = list(names)
    hypermodel = _make_hypermodel(options, options.max_filters)
    study = _make_hypermodel(options, max(options.max_filters, 168))  # holds its filters
    # It must be clear which class is fake before the search begins.
    kd.models.as_detector(study.build(defaults), fake_class=options.fake_class)
    data, validation, test = _load_data(options)
    _check_settings(options)
    tuner = _make_tuner(options, hypermodel)
    try:
        if options.workers:
            command = [*options.command, "--workers", "0"]
            results = kd.hypermodels.run_local_workers(tuner, options.workers, command)
        else:
            results = kd.hypermodels.search(
                tuner, *data, validation_data=validation, epochs=options.epochs
            )
    except RuntimeError as error:
        raise ValueError(error) from error
    if results is None:  # in one process of several; another one has the results
        return
    results.to_csv(os.path.join(options.output, "results.csv"))
    kd.visualization.save_figure(
        kd.visualization.plot_search(results), os.path.join(options.output, "search.png")
    )

    best = tuner.get_best_hyperparameters()[0]
    reports = {}
    for name, space, hp in (("best", hypermodel, best), ("study", study, defaults)):
        print(f"\nTraining the {name} configuration: {space.settings(hp)}")
        detector = _train(space, hp, options, data, validation)
        unfinished = os.path.join(options.output, f".{name}.keras")
        detector.save(unfinished)
        os.replace(unfinished, os.path.join(options.output, f"{name}.keras"))
        reports[name] = kd.evaluation.evaluate_detector(detector, test)
        reports[name].save(os.path.join(options.output, f"{name}.html"))
    print("\nOn the test images, which neither the search nor a training has seen:")
    for name, report in reports.items():
        low, high = report.intervals["auc"]
        print(f"  {name:6} AUC {report.metrics['auc']:.3f} (95 % interval {low:.3f} to {high:.3f})")
    print(f"\nBest against study:\n{reports['best'].compare(reports['study'])}")
    if options.data is None:
        print("The faces are synthetic: these figures say nothing about photographs.")
    print(f"Results are in {options.output}: results.csv, search.png, best.keras, best.html.")
