"""What a run writes besides pictures: models, histories, figures, notes."""

import contextlib
import csv
import sys
import warnings

from keras_deepfake._files import atomic_write


def save_model(model, path):
    """Save a model; a full disk or the like raises an error with the path."""
    try:
        model.save(path)
    except OSError as error:
        if error.filename is not None:
            raise
        raise type(error)(error.errno, f"{error.strerror}, in writing", str(path)) from error


def write_history(histories, path):
    """Write the histories of several stages to one CSV file, a row an epoch."""
    names = sorted({name for history in histories.values() for name in history})
    with atomic_write(path) as file:
        writer = csv.writer(file)
        writer.writerow(["stage", "epoch", *names])
        for stage, history in histories.items():
            for epoch in range(len(history["loss"])):
                values = [history[name][epoch] if name in history else "" for name in names]
                writer.writerow([stage, epoch + 1, *values])


def write_summary(models, path):
    """Write the layers and parameters of models to a text file."""
    with atomic_write(path) as file:
        for model in models:
            model.summary(print_fn=lambda line: print(line, file=file))


def with_notes(calibrate, *arguments, **options):
    """Call a function of calibration, and return what it gives with the texts of its warnings.

    Warnings of other kinds are passed on.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        detector = calibrate(*arguments, **options)
    for warning in caught:
        if warning.category is not UserWarning:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
    return detector, [str(w.message) for w in caught if w.category is UserWarning]


def peak_memory():
    """The most memory that the process has held, in bytes; `None` where nobody tells."""
    with contextlib.suppress(ImportError):  # there is no such module on Windows
        import resource

        # macOS counts bytes, Linux kilobytes.
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return None
