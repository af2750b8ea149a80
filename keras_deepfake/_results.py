"""What the results of the library share: text, JSON, CSV and a page."""

import csv
import json
import math

import numpy as np

from keras_deepfake._arguments import check_path
from keras_deepfake._files import atomic_write
from keras_deepfake._text import text_table

# Makes the page of a result. Pages stand above results, as they draw pictures too; the package
# itself, which stands above both, puts the maker here.
page_maker = None


class Result:
    """A result that prints as text and is saved as JSON, CSV or a page.

    Subclasses implement `table`, and `figures` unless they hold `rows`, a tuple of named tuples;
    what they print is `summary` and the table, unless they implement `__str__`.
    """

    def summary(self):
        """What the figures are of, in a sentence or two."""
        return ""

    def figures(self):
        """The figures as a dictionary of plain Python values; NaN is allowed."""
        return {**vars(self), "rows": [row._asdict() for row in self.rows]}

    def table(self):
        """The rows of the table, the first of which holds the headings."""
        raise NotImplementedError

    def __str__(self):
        return "\n\n".join(filter(None, (self.summary(), text_table(self.table()))))

    def to_json(self):
        """Return the figures as strict JSON; NaN and infinity become `null`."""
        return json.dumps(strict_json(self.figures()), indent=2, allow_nan=False)

    def to_csv(self, path):
        """Write the table to a CSV file, which is there whole or not at all.

        Texts are written as they are: a spreadsheet may take one that begins with `=` for a
        formula.

        Args:
            path: Path of the file, which is replaced if it exists.
        """
        with atomic_write(path) as file:
            csv.writer(file).writerows(self.table())

    def to_html(self, sections=()):
        """Return one self-contained HTML page, pictures included.

        Args:
            sections: More sections for the end of the page, as `kd.reports.save_html` takes them.
        """
        return page_maker(self, sections)

    def save(self, path, sections=()):
        """Write the result to a file in the format that its suffix names.

        Args:
            path: Path that ends in `.html`, `.json` or `.csv`.
            sections: Of a page: more sections for its end, as `kd.reports.save_html` takes them.

        Raises:
            ValueError: for another suffix.
            OSError: if the file cannot be written.
        """
        suffix = check_path("path", path).suffix.lower()
        if suffix not in (".html", ".json", ".csv"):
            raise ValueError(f"`path` must end in .html, .json or .csv; got {str(path)!r}.")
        if not isinstance(sections, (list, tuple)):
            raise ValueError(f"`sections` must be a list or tuple of sections; got {sections!r}.")
        if sections and suffix != ".html":
            raise ValueError(f"`sections` are for a page; got {str(path)!r}. Save it as .html.")
        if suffix == ".csv":
            self.to_csv(path)
            return
        text = self.to_json() if suffix == ".json" else self.to_html(sections)
        with atomic_write(path) as file:
            file.write(text)


def strict_json(value):
    """The same with Python's numbers, and `None` for NaN and infinity, which JSON lacks."""
    if isinstance(value, dict):
        return {str(key): strict_json(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [strict_json(entry) for entry in value]
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
