"""What an audit found, and how it reads."""

import collections
import dataclasses
import textwrap

from keras_deepfake._results import Result
from keras_deepfake._text import printable, text_table

SEVERITIES = ("error", "warning", "info")
# Files of a finding that are printed.
MAX_NAMES = 6


def count(number, noun):
    """A number and its noun, in the plural where it is due."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing in a data set that would let a model cheat, or that spoils its evaluation.

    Args:
        kind: `"format"`, `"image_size"`, `"jpeg_quality"`, `"chroma_subsampling"`,
            `"file_size"`, `"colour_mode"`, `"brightness"`, `"sharpness"`, `"metadata"`,
            `"duplicate"`, `"near_duplicate"` or `"group_leak"`.
        severity: `"error"`, `"warning"` or `"info"`.
        message: What was found, in numbers, and what to do.
        paths: The files concerned; for a shortcut a few that show it best.
        sets: The same files as one tuple for each set of copies or each leaking group.

    Example:
    ```python
    finding = kd.audit.Finding("duplicate", "warning", "1 set of 2 files", ("a", "b"))
    finding.kind  # 'duplicate'
    ```
    """

    kind: str
    severity: str
    message: str
    paths: tuple = ()
    sets: tuple = ()

    def first_names(self, limit):
        """The first files in printable form, and how many more there are."""
        names = [printable(path) for path in self.paths[:limit]]
        if len(self.paths) > limit:
            names.append(f"and {len(self.paths) - limit} more")
        return names


@dataclasses.dataclass(frozen=True)
class DatasetAudit(Result):
    """What `audit_dataset` found.

    `print(audit)` shows it as text, `save` writes a page, JSON or CSV.

    Args:
        findings: Tuple of `Finding`, errors first.
        splits: Dictionary of the number of images of each class by split. The one split of a
            single index is called `"data"`.
        shortcuts: Dictionary from the kind of a property to its `"auc"`, `"low"` and `"high"`:
            the cross-validated AUC of predicting the class over all images, and its 95 %
            interval. Numbers, as of brightness, are left out that fewer than 5 groups of a class
            have; names, as of formats, are judged by image then.

    Example:
    ```python
    finding = kd.audit.Finding("duplicate", "warning", "1 set of 2 files", ("a", "b"))
    audit = kd.audit.DatasetAudit(
        (finding,), splits={"data": {"fake": 1, "real": 1}}, shortcuts={}
    )
    audit.ok  # True
    ```
    """

    findings: tuple
    splits: dict
    shortcuts: dict

    @property
    def ok(self):
        """Whether there is no error."""
        return not any(finding.severity == "error" for finding in self.findings)

    def figures(self):
        """All that was found, and `ok`."""
        return {"ok": self.ok, **dataclasses.asdict(self)}

    def table(self):
        """The findings with one row a file; files of one set share its number."""
        rows = [("severity", "kind", "set", "path", "message")]
        for finding in self.findings:
            # A shortcut has no sets, and perhaps no files.
            sets = finding.sets or [finding.paths or ("",)]
            for number, paths in enumerate(sets):
                place = number if finding.sets else None
                rows += [
                    (finding.severity, finding.kind, place, path, finding.message) for path in paths
                ]
        return rows

    def shortcut_table(self):
        """The rows of the table of shortcuts, as it is printed."""
        rows = [("Property of the file", "AUC of the class", "95 % interval")]
        for kind, figures in self.shortcuts.items():
            interval = (figures["low"], figures["high"])
            rows.append((kind.replace("_", " "), figures["auc"], interval))
        return rows

    def summary(self):
        """Whether the data passed, the numbers of findings, and the sizes of the splits."""
        sizes = "; ".join(
            f"{printable(split)} " + ", ".join(f"{n} {printable(c)}" for c, n in counts.items())
            for split, counts in self.splits.items()
        )
        number = collections.Counter(finding.severity for finding in self.findings)
        return (
            f"Dataset audit {'passed' if self.ok else 'FAILED'}: "
            f"{count(number['error'], 'error')}, {count(number['warning'], 'warning')}, "
            f"{count(number['info'], 'note')} ({sizes})."
        )

    def __str__(self):
        parts = [self.summary()]
        for finding in self.findings:
            text = f"{finding.severity.upper()} {finding.kind}: {finding.message}"
            lines = textwrap.wrap(text, width=96, subsequent_indent="  ")
            lines += [f"    {name}" for name in finding.first_names(MAX_NAMES)]
            parts.append("\n".join(lines))
        if self.shortcuts:
            parts.append(text_table(self.shortcut_table()))
        return "\n\n".join(parts)
