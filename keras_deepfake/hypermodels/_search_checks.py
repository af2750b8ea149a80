"""What is refused before the first trial of a search."""

import json
import pathlib
import tempfile

import keras
import keras_tuner
import numpy as np
import tensorflow as tf

from keras_deepfake._files import atomic_write
from keras_deepfake._pixels import unit_pixels
from keras_deepfake.callbacks import ResumeTraining
from keras_deepfake.hypermodels._fit_arguments import fit_arguments, is_endless
from keras_deepfake.hypermodels.seeded_hyper_model import SeededHyperModel

# Images are checked so many at a time.
CHUNK = 256


def check_tuner(tuner):
    """Refuse what is no tuner, or cannot write where it should."""
    if not isinstance(tuner, keras_tuner.Tuner):
        raise ValueError(f"`tuner` must be a `keras_tuner.Tuner`; got {tuner!r}.")
    try:
        with tempfile.TemporaryFile(dir=tuner.project_dir):
            pass
    except OSError as error:
        raise OSError(
            f"The tuner's directory {str(tuner.project_dir)!r} is not writable ({error}). Give "
            "the tuner another `directory`."
        ) from error


def check_callbacks(callbacks):
    """Refuse callbacks with which a trial would go on where another one ended."""
    for callback in callbacks or ():
        if isinstance(callback, (ResumeTraining, keras.callbacks.BackupAndRestore)):
            raise ValueError(
                f"`callbacks` must hold no `{type(callback).__name__}`: trials would share its "
                "file, and each go on with the weights of the one before. A search goes on by "
                "itself when the same tuner is made again and given to `search`."
            )


def check_project(tuner):
    """Refuse to go on with trials that another objective scored or another space made.

    KerasTuner would take their scores for those of the new objective, and the old space.
    """
    objective = tuner.oracle.objective
    objectives = getattr(objective, "objectives", [objective])
    settings = {"objective": [[one.name, one.direction] for one in objectives]}
    if isinstance(tuner.hypermodel, SeededHyperModel):
        hp = keras_tuner.HyperParameters()
        tuner.hypermodel.settings(hp)
        settings["seed"] = tuner.hypermodel.seed
        settings["space"] = hp.get_config()["space"]
    settings = json.loads(json.dumps(settings))
    path = pathlib.Path(tuner.project_dir, "search.json")
    if not path.exists():
        with atomic_write(path) as file:
            json.dump(settings, file)
        return
    previous = json.loads(path.read_text(encoding="utf-8"))
    different = [name for name in settings if settings[name] != previous.get(name)]
    if different:
        raise ValueError(
            f"{str(tuner.project_dir)!r} holds a search with another {' and '.join(different)}. "
            "Make the tuner with those of before to go on with it, or with another "
            "`project_name`, or with `overwrite=True` to delete it."
        )


def check_arguments(tuner, args, kwargs):
    """Refuse data that do not fit the model, and an objective that it does not report."""
    arguments = fit_arguments(args, kwargs)
    model = tuner.hypermodel.build(tuner.oracle.get_space())
    target_shape = _check_data(
        "x", [arguments[name] for name in ("x", "y", "sample_weight") if name in arguments], model
    )
    validation = arguments.get("validation_data")
    if validation is not None:
        is_dataset = isinstance(validation, tf.data.Dataset)
        _check_data("validation_data", [validation] if is_dataset else validation, model)

    names = set(_evaluate(model, model.input_shape[1:], target_shape))
    if validation is not None or "validation_split" in arguments:
        names |= {f"val_{name}" for name in names}
    objective = tuner.oracle.objective
    for one in getattr(objective, "objectives", [objective]):
        _check_objective(one, names, model)


def check_pixels(name, images):
    """Refuse images that are not in [0, 1]; of a dataset those of the first batch."""
    if isinstance(images, tf.data.Dataset):
        first = tf.nest.flatten(next(iter(images.take(1)), ()))
        if not first:
            raise ValueError(f"`{name}` must hold one or more images; got an empty dataset.")
        images = first[0]
    if not hasattr(images, "shape"):
        raise ValueError(
            f"`{name}` must be an array or a `tf.data.Dataset`; got {type(images).__name__}."
        )
    if len(images.shape) not in (3, 4) or 0 in images.shape:
        raise ValueError(
            f"`{name}` must hold one or more images of shape (height, width, channels); got shape "
            f"{tuple(images.shape)}."
        )
    if keras.backend.standardize_dtype(images.dtype) == "uint8":
        raise ValueError(
            f"`{name}` must hold floating-point pixel values in [0, 1], as they go into the model "
            "unchanged; got uint8. Divide them by 255."
        )
    for start in range(0, len(images), CHUNK):
        unit_pixels(images[start : start + CHUNK], name)


def _evaluate(model, *shapes):
    """What the model reports for an image and a target of these shapes, by name."""
    image, target = (
        np.zeros((1, *(1 if side is None else side for side in shape)), "float32")
        for shape in shapes
    )
    return model.evaluate(image, target, verbose=0, return_dict=True)


def _check_objective(objective, names, model):
    if objective.name not in names:
        raise ValueError(
            f"The objective {objective.name!r} is not among what training reports: "
            f"{sorted(names)}. Give the tuner `keras_tuner.Objective(name, direction)` with one of "
            "them; names that begin with 'val_' need `validation_data`."
        )
    better = {"loss": "min"}
    for group in model.metrics:
        for metric in getattr(group, "metrics", [group]):
            # Keras's own callbacks tell by this when a metric improves.
            if getattr(metric, "_direction", None) is not None:
                better[metric.name] = "max" if metric._direction == "up" else "min"
    direction = better.get(objective.name.removeprefix("val_"), objective.direction)
    if direction != objective.direction:
        raise ValueError(
            f"The tuner looks for the {objective.direction}imum of {objective.name!r}, which is "
            f"better the {'higher' if direction == 'max' else 'lower'}. Give the tuner "
            f"`keras_tuner.Objective({objective.name!r}, {direction!r})`."
        )


def _check_data(name, parts, model):
    """Raise unless images and targets fit the model; return the shape of a target."""
    is_dataset = isinstance(parts[0], tf.data.Dataset)
    if is_dataset:
        specs = parts[0].element_spec
        specs = specs if isinstance(specs, tuple) else (specs,)
        first_axis = specs[0].shape.rank == len(model.input_shape)
        shapes = [tuple(spec.shape)[first_axis:] for spec in specs[:2]]
    else:
        lengths = [len(part) for part in parts if part is not None]
        if len(set(lengths)) > 1 or 0 in lengths:
            raise ValueError(
                f"`{name}` must hold as many targets as images, and one or more; got arrays of the "
                f"lengths {lengths}."
            )
        shapes = [tuple(np.shape(part))[1:] for part in parts[:2]]
    wanted = [model.input_shape[1:], model.output_shape[1:]]
    if len(shapes) < 2 or not _fits(shapes[0], wanted[0]) or not _suits(model, shapes, wanted):
        raise ValueError(
            f"`{name}` must hold images and targets of the shapes {wanted[0]} and {wanted[1]}; got "
            f"{' and '.join(map(str, shapes))}."
        )
    if len(shapes[0]) == 3:
        check_pixels(name, parts[0])
    if len(wanted[1]) == 1 and not is_endless(parts[0]):
        has_columns = len(shapes[1]) == 1 and shapes[1][0] != 1
        batches = (y for _, y, *_ in parts[0]) if is_dataset else [parts[1]]
        classes = _two_classes(batches, has_columns)
        if len(classes) < 2:
            raise ValueError(
                f"The labels of `{name}` must hold at least two classes; got {sorted(classes)} "
                "only."
            )
    return wanted[1] if _fits(shapes[1], wanted[1]) else shapes[1]


def _fits(shape, wanted):
    return len(shape) == len(wanted) and all(
        None in (side, other) or side == other for side, other in zip(shape, wanted, strict=True)
    )


def _suits(model, shapes, wanted):
    """Whether the loss takes targets of this shape; class numbers, for one, have no columns."""
    if _fits(shapes[1], wanted[1]):
        return True
    if len(wanted[1]) > 1:
        return False
    try:
        _evaluate(model, wanted[0], shapes[1])
    except Exception:  # what losses and metrics raise for a shape has no common type
        return False
    return True


def _two_classes(batches, have_columns):
    """Columns with a label, or values where there are no columns, read until there are two."""
    classes = set()
    for labels in batches:
        found = np.nonzero(np.asarray(labels))[-1] if have_columns else np.unique(labels)
        classes.update(found.tolist())
        if len(classes) > 1:
            break
    return classes
