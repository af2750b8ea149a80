"""What a run writes besides pictures: models, histories, figures."""

import contextlib
import csv
import sys

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


def peak_memory():
    """The most memory that the process has held, in bytes; `None` where nobody tells."""
    with contextlib.suppress(ImportError):  # there is no such module on Windows
        import resource

        # macOS counts bytes, Linux kilobytes.
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return None
