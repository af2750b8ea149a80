"""Locks between processes."""

import contextlib
import errno
import os
import sys
import warnings
import weakref

from keras_deepfake._arguments import check_path


class FileLock:
    """Takes the lock that a file stands for, until `release`, the end of a `with`, or its own end.

    The system drops the lock when the process ends, however it ends: a file that was left behind
    locks nothing.

    Args:
        path: Path of the file that stands for the lock. It holds nothing, and is made and removed.

    Raises:
        ValueError: If the lock is taken.
        OSError: With the path of its folder, if the file cannot be made there.
    """

    def __init__(self, path):
        path = check_path("path", path)
        self.release = weakref.finalize(self, _unlock, _open_locked(path), path, os.getpid())

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.release()


def _open_locked(path):
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            # Nobody has heard of the file.
            raise type(error)(error.errno, error.strerror, str(path.parent)) from error
        try:
            if not _lock(descriptor, path):
                raise ValueError(
                    f"Another process works on the same files: it holds {str(path)!r}. Wait until "
                    "it has ended, or choose another place."
                )
            # The last holder may have removed the file after it was opened here.
            if os.path.exists(path) and os.path.samestat(os.fstat(descriptor), os.stat(path)):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor, path):
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            return False
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP):
            raise
        warnings.warn(
            f"The file system of {str(path)!r} knows no locks: see to it that no two processes "
            "work there at a time.",
            stacklevel=4,
        )
    return True


def _unlock(descriptor, path, owner):
    # A process that was forked meanwhile has the descriptor, but not the right to the name.
    removes = os.getpid() == owner
    if sys.platform == "win32":
        os.close(descriptor)
        # Windows removes no open file: then another process has just taken the lock.
        with contextlib.suppress(PermissionError):
            path.unlink(missing_ok=True)
        return
    if removes:
        path.unlink(missing_ok=True)
    os.close(descriptor)
