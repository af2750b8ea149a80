"""Audit of a data set: shortcuts, copies and leaks that would let a detector cheat."""

import concurrent.futures
import os

import keras
import numpy as np

from keras_deepfake._arguments import check_integer, check_seed
from keras_deepfake._text import printable
from keras_deepfake.audit._audited_files import AuditedFiles
from keras_deepfake.audit._copies import find_copies, find_group_leaks
from keras_deepfake.audit._file_traits import read_file_traits
from keras_deepfake.audit._shortcuts import find_shortcuts
from keras_deepfake.audit.findings import SEVERITIES, DatasetAudit, Finding, count


def audit_dataset(index, seed=0, verbose=0):
    """Look for what would let a detector cheat on a data set, or would spoil its evaluation.

    A model that shall tell fakes from real photographs learns instead that fakes are PNG files,
    or sharper, or recalls a face of which a copy lies in the test set. The audit is about
    classes of any name and number; it reads each file once and reports:

    - *shortcuts*: a property of the single file that predicts its class: `format`,
      `image_size`, `jpeg_quality` (from the quantisation tables), `chroma_subsampling`,
      `file_size`, `colour_mode`, `brightness`, `sharpness` and `metadata` (what else the file
      holds, such as EXIF). Measured by the AUC on groups that were not used to learn the
      relation, whatever its form, over all images, in each split, and for each kind of a class.
      An error where the lower end of the 95 % interval, from a bootstrap over groups, is at
      least .70; a warning from .60. Properties of JPEG files are compared among those.
    - *copies*: `duplicate` (the same bytes or the same decoded pixels) is an error across
      classes or splits, a warning within. `near_duplicate` (the same picture with another
      compression or size) is an error across splits and across classes; across classes within
      one group it is information: a fake and the picture it was made from. Within a class and
      a split it is a warning between groups, which a later split may part, else information.
    - *leaks*: `group_leak`, a group (person, video) in more than one split, is an error.

    Files that cannot be read are an error of kind `format`.

    Args:
        index: `ImageIndex`, or several of them to be audited together: a dictionary from the
            name of a split to its index, or a list. Without labels only copies and leaks
            are looked for. Without groups each image counts as its own.
        seed: Integer. Seed of the folds and of the bootstrap.
        verbose: 1 for a progress bar, 0 for none.

    Returns:
        A `DatasetAudit`. Print it, `save` it, or use `.ok` and `.findings`.

    Raises:
        ValueError: if `index` is none, holds no images, or has splits with different classes.

    Example:
    ```python
    import os

    rng = np.random.default_rng(0)
    for name, suffix in (("fake", "png"), ("real", "jpg")):
        os.makedirs(f"faces/{name}")
        for number in range(20):
            image = rng.integers(0, 256, (32, 32, 3))
            keras.utils.save_img(f"faces/{name}/{number}.{suffix}", image)
    audit = kd.audit.audit_dataset(kd.datasets.ImageIndex.from_directory("faces"))
    print(audit)  # the format alone tells fake from real
    audit.save("audit.html")
    ```
    """
    splits = _as_splits(index)
    seed = check_seed(seed)
    verbose = check_integer("verbose", verbose, 0, 2)
    files = AuditedFiles(splits)
    progress = keras.utils.Progbar(len(files.paths), verbose=verbose, unit_name="image")
    traits = []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for measured in pool.map(_read, files.paths):
            traits.append(measured)
            progress.update(len(traits))
    findings = _find_unreadable(files, traits)
    readable = [i for i, t in enumerate(traits) if not isinstance(t, Exception)]
    files, traits = files.take(readable), [traits[i] for i in readable]
    shortcuts = {}
    if files.labelled:
        found, shortcuts = find_shortcuts(files, traits, seed)
        findings += found
    findings += find_copies(files, traits)
    findings += find_group_leaks(files)
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return DatasetAudit(tuple(findings), _class_counts(splits), shortcuts)


def _as_splits(index):
    if hasattr(index, "paths"):
        splits = {"data": index}
    elif hasattr(index, "items"):
        splits = dict(index)
    else:
        items = index if isinstance(index, (list, tuple)) else [index]
        splits = {f"split {number}": split for number, split in enumerate(items)}
    for name, split in splits.items():
        if not hasattr(split, "paths"):
            raise ValueError(
                "`index` must be an `ImageIndex`, a dictionary of them by the name of the split, "
                f"or a list of them; {name!r} is a {type(split).__name__}."
            )
    if not any(len(split.paths) for split in splits.values()):
        raise ValueError("`index` holds no images: there is nothing to audit.")
    class_names = {name: split.class_names for name, split in splits.items()}
    if len({tuple(names or ()) for names in class_names.values()}) > 1:
        raise ValueError(
            "All splits of `index` must have the same `class_names`, or all be without labels; "
            f"got {class_names}."
        )
    return splits


def _class_counts(splits):
    counts = {}
    for name, index in splits.items():
        if index.labels is None:
            counts[name] = {"unlabelled": len(index.paths)}
        else:
            number = np.bincount(index.labels, minlength=len(index.class_names))
            counts[name] = dict(zip(index.class_names, number.tolist(), strict=True))
    return counts


def _read(path):
    # Pillow's plugins raise whatever a broken file leads them to.
    try:
        return read_file_traits(path)
    except Exception as error:
        return error


def _find_unreadable(files, traits):
    errors = {
        path: error
        for path, error in zip(files.paths, traits, strict=True)
        if isinstance(error, Exception)
    }
    if not errors:
        return []
    first = next(iter(errors.values()))
    message = (
        f"{count(len(errors), 'file')} cannot be read, and took no part in the audit; the "
        f"first: {type(first).__name__}: {printable(first)}. Remove or replace them."
    )
    return [Finding("format", "error", message, tuple(errors))]
