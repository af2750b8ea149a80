"""Files that are there whole or not at all."""

import contextlib
import glob
import os
import secrets

from keras_deepfake._arguments import check_path


@contextlib.contextmanager
def atomic_write(path, mode="w"):
    """Open a temporary file beside `path`, flush it to the disk and rename it when all went well.

    Of two processes that write to one path at a time each has a temporary file of its own, and
    the last to finish wins. Text is UTF-8; a file name that is no text in any encoding keeps its
    bytes.

    Args:
        path: Where the file shall be.
        mode: `"w"` for text or `"wb"` for bytes.

    Raises:
        OSError: with the path, where the folder is missing or not writable, or the disk is full.
    """
    path = check_path("path", path)
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.tmp")
    text = {} if "b" in mode else {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}
    try:
        # Not by `tempfile`, whose files others may not read.
        with open(temporary, mode.replace("w", "x"), **text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.filename not in (None, str(temporary)):
            raise
        raise type(error)(error.errno, f"{error.strerror}, in writing", str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(path):
    """Remove what killed processes left of writing `path`; the caller holds a lock on it."""
    path = check_path("path", path)
    for leftover in path.parent.glob(f".{glob.escape(path.name[:100])}.*.tmp"):
        leftover.unlink(missing_ok=True)
