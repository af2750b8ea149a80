"""The folder of a run: unfinished beside its final name, and put in place when it is whole."""

import contextlib
import json
import shutil
from pathlib import Path
from typing import NamedTuple

from keras_deepfake._arguments import check_path
from keras_deepfake._files import atomic_write
from keras_deepfake._locks import FileLock

_SETTINGS = "settings.json"
# Other programs have files of that name.
_MARK = {"written_by": "keras_deepfake"}


class RunFolder(NamedTuple):
    """Where a run writes: `results` becomes its output, `state` is what a restart goes on from."""

    results: Path
    state: Path


@contextlib.contextmanager
def run_folder(output, settings, overwrite=False):
    """Open the folder of a run, new or left unfinished, and put it in place at the end.

    Everything is written into `<output>.unfinished`. Whatever ends the run early leaves that
    folder as it is, and the next run with the same settings gets it again. A process that is
    killed while an older output is being replaced leaves either of the two under the final
    name, or the older one set aside, which the next run puts back.

    Args:
        output: Path of the folder to make.
        settings: Dictionary of what makes two runs the same, of values that JSON knows.
        overwrite: Boolean, whether an older run, finished or not, may be replaced.

    Yields:
        A `RunFolder`.

    Raises:
        ValueError: If the output is there already, another process is writing it, or an
            unfinished run has other settings.
        OSError: If nothing can be written there.
    """
    output = _checked(output, overwrite)
    output.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(_lock_of(output)):
        work = output.with_name(f"{output.name}.unfinished")
        run = RunFolder(work / "results", work / "state")
        _recover(work, output)
        _checked(output, overwrite)
        _begin(run, json.loads(json.dumps(_MARK | settings)), overwrite)
        yield run
        if output.exists():
            output.rename(work / "replaced")
        run.results.rename(output)
        # The results are in place, whatever something else has put into the other folder.
        with contextlib.suppress(OSError):
            _recover(work, output)


def check_output(output, overwrite):
    """Say why a run's output cannot be made, before anything is done for it."""
    output = _checked(output, overwrite)
    if _lock_of(output).exists():
        FileLock(_lock_of(output)).release()


def _lock_of(output):
    return output.with_name(f".{output.name}.lock")


def _checked(output, overwrite):
    """The path of an output that can be made."""
    shown = str(output)
    output = check_path("output", output).resolve()
    if not output.name:
        raise ValueError(f"`output` must name a folder to make; got {shown!r}.")
    if output.exists() and not overwrite:
        raise ValueError(
            f"`output`={shown!r} is there already; choose another, or replace it with "
            "`overwrite=True`."
        )
    # What this library did not write is not its to delete.
    if output.exists() and not _is_run(output / _SETTINGS):
        raise ValueError(f"`output`={shown!r} is not the folder of a run; choose another.")
    return output


def _is_run(file):
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(settings, dict) and _MARK.items() <= settings.items()


def _recover(work, output):
    """Ends what a run that was killed at its very end has left undone."""
    replaced = work / "replaced"
    if replaced.exists():
        if output.exists():
            shutil.rmtree(replaced)
        else:
            replaced.rename(output)
    if work.exists() and not (work / "results").exists():
        if (work / "state").exists():
            shutil.rmtree(work / "state")
        for file in work.glob(".*"):  # of file managers
            file.unlink()
        work.rmdir()


def _begin(run, settings, overwrite):
    file = run.results / _SETTINGS
    if file.exists():
        known = json.loads(file.read_text(encoding="utf-8"))
        if known == settings:
            # What a killed process was writing.
            for leftover in run.results.glob(".*.tmp"):
                leftover.unlink()
            return
        if not overwrite:
            differ = [
                f"`{name}`"
                for name in sorted({*known, *settings})
                if known.get(name) != settings.get(name)
            ]
            raise ValueError(
                f"{str(run.results.parent)!r} holds an unfinished run that differs in "
                f"{', '.join(differ)}; start that again to go on with it, or drop it with "
                "`overwrite=True`."
            )
        for folder in run:
            if folder.exists():
                shutil.rmtree(folder)
    run.state.mkdir(parents=True, exist_ok=True)
    run.results.mkdir(exist_ok=True)
    with atomic_write(file) as stream:
        json.dump(settings, stream, indent=2)
