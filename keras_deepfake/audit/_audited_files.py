"""The files of all splits side by side."""

import copy

import numpy as np

from keras_deepfake._text import printable


class AuditedFiles:
    """The files of all splits, as arrays with one entry a file."""

    def __init__(self, splits):
        self.split_names = [printable(name) for name in splits]
        indices = list(splits.values())
        self.labelled = indices[0].labels is not None
        self.class_names = [printable(name) for name in indices[0].class_names or ()]
        sizes = [len(index.paths) for index in indices]
        self.paths = [path for index in indices for path in index.paths]
        self.split = np.repeat(np.arange(len(indices)), sizes)
        if self.labelled:
            self.labels = np.concatenate([np.asarray(index.labels, int) for index in indices])
        else:
            self.labels = np.zeros(len(self.paths), dtype=int)
        self.kinds = self._concatenate([index.kinds for index in indices], sizes)
        groups = self._concatenate([index.groups for index in indices], sizes)
        # An image without a group is one of its own.
        names = [(False, i) if group is None else (True, group) for i, group in enumerate(groups)]
        number = {name: i for i, name in enumerate(dict.fromkeys(names))}
        self.groups = np.array([number[name] for name in names])
        self.group_names = [printable(name) for _, name in number]

    @staticmethod
    def _concatenate(columns, sizes):
        values = []
        for column, size in zip(columns, sizes, strict=True):
            values += [None] * size if column is None else list(column)
        return np.array([*values, None], dtype=object)[:-1]

    def take(self, rows):
        """The files at the integer positions `rows`."""
        files = copy.copy(self)
        files.paths = [self.paths[row] for row in rows]
        for name in ("split", "labels", "kinds", "groups"):
            setattr(files, name, getattr(self, name)[rows])
        return files
