"""Look for what in the files would let a model cheat: sizes, formats, copies, leaks.

Each DATA is a folder with a folder for each class, such as fake/ and real/, read recursively.
Several are the splits of one data set. The exit status is 1 where a finding is an error.
"""

import os

from keras_deepfake_commands._options import (
    OF_FOLDERS,
    OF_RESULT,
    add_classes,
    add_index,
    check_output,
    read_index,
)


def add_options(parser):
    add = parser.add_argument
    add("data", metavar="DATA", nargs="+", help="folder with two class folders")
    add("--output", metavar="FILE", help="write a page, .html, or the figures, .json or .csv")
    add_classes(add, OF_FOLDERS)
    add_index(add)
    add("--seed", type=int, default=0, metavar="N", help="seed of the folds (default: 0)")


def run(options):
    import keras_deepfake as kd  # not above: --help need not wait for TensorFlow

    if options.output:
        check_output(options.output, *OF_RESULT)
    names = options.class_names or kd.datasets.find_class_folders(
        options.data[0], options.fake_class
    )
    if len({*map(os.path.realpath, options.data)}) < len(options.data):
        raise ValueError(f"DATA names a folder twice: {' '.join(options.data)}.")
    splits = {folder: read_index(folder, options, names) for folder in options.data}
    audit = kd.audit.audit_dataset(splits, options.seed, verbose=1)
    if options.output:
        audit.save(options.output)
    print(f"\n{audit}")
    if options.output:
        print(f"\nAudit: {options.output}")
    if not audit.ok:
        raise ValueError("there are errors in the data")
