"""Memory of batches, which is used again."""

import collections
import weakref

import numpy as np

# TensorFlow makes a copy of arrays that are not aligned to it.
_ALIGNMENT = 64
# All that a pipeline has in use, and lets go at the end of an epoch: two batches in the making, two
# ready, the consumer's, and a smaller last one. What is older is given back to the system.
_FREE = collections.deque(maxlen=6)


def empty_batch(shape, dtype):
    """Makes an array of any content that TensorFlow takes without a copy.

    It lies in the memory of an earlier one that nobody holds any longer, if there is such: the
    system hands out tens of new megabytes more slowly than they are filled, and a virtual machine
    that has to ask its host for them much more slowly.
    """
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    storage = _storage(size + _ALIGNMENT)
    # Every view keeps this array alive; through the `memoryview` none keeps the storage alone.
    memory = np.frombuffer(memoryview(storage), "uint8")
    weakref.finalize(memory, _FREE.append, storage).atexit = False
    start = -storage.ctypes.data % _ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


def release_with(dataset):
    """Gives what is free back to the system when a dataset ends; others that go on take new."""
    weakref.finalize(dataset, _FREE.clear).atexit = False


def _storage(size):
    for _ in range(len(_FREE)):
        try:
            storage = _FREE.popleft()
        except IndexError:  # another thread took it
            break
        # A small batch that somebody keeps would keep all of a large one.
        if size <= storage.size <= 2 * size:
            return storage
        _FREE.append(storage)
    return np.empty(size, "uint8")
