"""Parts for pretraining and training of which none has seen the test images."""

import collections
import hashlib
import json
import os

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from keras_deepfake.models.solved_head import group_numbers


def split_with_pretraining(index, fractions, seed, subset=1.0, unlabelled=None):
    """Split labelled images into parts, and find the images that may be pretrained on.

    Args:
        index: Labelled `ImageIndex`, of which equally many images of every class are taken.
        fractions: Shares of training, validation and test.
        seed: Integer.
        subset: Share of the labelled images to use.
        unlabelled: `ImageIndex` of images to pretrain on. By default the labelled images that
            are not held out for the test, whether `subset` takes them or not.

    Returns:
        The parts, a tuple of three; the images to pretrain on; and how many images were left
        out of the trainings because of the test images.

    Raises:
        ValueError: If a part would be empty or of one class, or as `leave_out`.
    """
    index = index.balanced(seed=seed)
    # The test part goes first, so that pretraining may use everything else.
    train, validation, test = fractions
    pool, test_pool = index.split((train + validation, test), seed=seed)
    allowed = leave_out(pool, test_pool, "index")
    share = train / (train + validation)
    parts = allowed.subset(subset, seed=seed).split((share, 1 - share), seed=seed)
    parts += (test_pool.subset(subset, seed=seed),)
    num_left_out = len(pool) - len(allowed)
    if unlabelled is None:
        return parts, allowed, num_left_out
    pretraining = leave_out(unlabelled, parts[-1], "unlabelled")
    return parts, pretraining, num_left_out + len(unlabelled) - len(pretraining)


def leave_out(index, held_out, name):
    """Leave out of an index what would leak images that are held out.

    These are the held-out images themselves, by whatever path, copies of their bytes, and all
    images of their groups.

    Args:
        index: `ImageIndex` to take images from.
        held_out: `ImageIndex` of the images that are held out.
        name: What `index` is called in an error.

    Returns:
        A new `ImageIndex`.

    Raises:
        ValueError: If `held_out` has groups and `index` has none, or nothing remains.
    """
    if held_out.groups is not None and index.groups is None:
        raise ValueError(
            f"`{name}` must have groups as the test images have, or their persons could be "
            "trained on; got none."
        )
    groups = set(held_out.groups or ())
    sizes = [os.path.getsize(path) for path in index.paths]
    held_sizes = [os.path.getsize(path) for path in held_out.paths]
    shared_sizes = {*sizes} & {*held_sizes}
    digests = {
        _digest(path)
        for path, size in zip(held_out.paths, held_sizes, strict=True)
        if size in shared_sizes
    }
    kept = [
        i
        for i, (path, size) in enumerate(zip(index.paths, sizes, strict=True))
        if (index.groups is None or index.groups[i] not in groups)
        and (size not in shared_sizes or _digest(path) not in digests)
    ]
    if not kept:
        raise ValueError(
            f"`{name}` holds no image but those that are held out for the test, their copies, "
            "and others of their groups; give other images."
        )
    return index.take(np.array(kept))


def groups_with_copies(index):
    """The number of each image's group; copies of the same bytes, and their groups, are one."""
    sizes = [os.path.getsize(path) for path in index.paths]
    counts = collections.Counter(sizes)
    units = list(index.groups or range(len(index)))
    # Each image links its group to what its file holds, where others are as long.
    contents = [
        _digest(path) if counts[size] > 1 else place
        for place, (path, size) in enumerate(zip(index.paths, sizes, strict=True))
    ]
    left, right = group_numbers(units), group_numbers(contents)
    count = left.max() + 1
    links = coo_array(
        (np.ones(len(left)), (left, count + right)), shape=2 * [count + right.max() + 1]
    )
    return connected_components(links, directed=False)[1][left]


def unused_note(index):
    """What to say of the images of the larger class that `balanced` leaves out, if of any."""
    counts = np.bincount(index.labels, minlength=len(index.class_names))
    unused = int(len(index) - len(counts) * counts.min())
    if not unused:
        return ""
    return f" {unused} of {len(index)} images were not used: as many of each class are."


def index_digest(index):
    """A text that is the same for the same files, labels and groups in the same order."""
    labels = None if index.labels is None else index.labels.tolist()
    files = [(path, *_version(path)) for path in index.paths]
    content = [files, labels, index.class_names, repr(index.groups), repr(index.kinds)]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _version(path):
    """What changes with the content of a file."""
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns


def _digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
