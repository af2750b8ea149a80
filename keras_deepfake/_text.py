"""How numbers, names and tables look wherever they are printed, drawn or put on a page."""

import math
import numbers
import unicodedata

# Control characters, marks that reorder a line, broken Unicode, and breaks of a line.
_UNPRINTABLE = {"Cc", "Cf", "Cs", "Zl", "Zp"}
# Persian, the Indic scripts and emoji are spelt with these two.
_JOINERS = "\u200c\u200d"
_MAX_LISTED = 20


def printable(text):
    """Return `text` on one line that every terminal, page and picture can show.

    File names may hold any bytes but two. Those that break a line or are no text in any
    encoding are written as Python's escapes, such as `\\n` and `\\udcff`.
    """
    text = str(text)
    if text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode()
        if unicodedata.category(character) in _UNPRINTABLE and character not in _JOINERS
        else character
        for character in text
    )


def listing(problems):
    """Returns `(path, reason)` pairs as lines, the first twenty of them."""
    lines = [
        f"\n  {path if path.isprintable() else repr(path)}: {reason}"
        for path, reason in problems[:_MAX_LISTED]
    ]
    if len(problems) > _MAX_LISTED:
        lines.append(f"\n  and {len(problems) - _MAX_LISTED} more, {len(problems)} in all")
    return "".join(lines)


def format_cell(cell):
    """Text of a number, of a pair as an interval, of `None` as nothing, of all else as it is."""
    if cell is None:
        return ""
    if isinstance(cell, tuple) and all(isinstance(end, numbers.Real) for end in cell):
        return "n/a" if any(map(math.isnan, cell)) else " to ".join(map(format_cell, cell))
    if isinstance(cell, numbers.Real) and not isinstance(cell, numbers.Integral):
        if math.isnan(cell):
            return "n/a"
        # Learning rates are smaller than three decimals show, and rounding errors smaller still.
        return f"{cell:.3g}" if 1e-8 <= abs(cell) < 1e-3 else f"{cell:z.3f}"
    return printable(cell)


def number_columns(rows):
    """For each column, whether it holds numbers, which are set to the right."""
    head, *body = rows
    return [
        any(not isinstance(row[place], (str, type(None))) for row in body)
        for place in range(len(head))
    ]


def text_table(rows):
    """Return rows, the first of which holds the headings, as aligned lines of text."""
    cells = [[format_cell(cell) for cell in row] for row in rows]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    is_number = number_columns(rows)
    lines = []
    for row in cells:
        line = []
        for text, width, right in zip(row, widths, is_number, strict=True):
            space = " " * (width - _width(text))
            line.append(space + text if right else text + space)
        lines.append("  ".join(line).rstrip())
    return "\n".join(lines)


def _width(text):
    """Places that a terminal gives to a text: two for a Chinese character, none for an accent."""
    if text.isascii():
        return len(text)
    return sum(
        (unicodedata.east_asian_width(character) in "WF") + (not unicodedata.combining(character))
        for character in text
    )
