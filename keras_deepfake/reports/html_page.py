"""One self-contained HTML page of texts, figures and tables."""

import base64
import html
import io
from collections.abc import Iterable

from keras_deepfake._arguments import check_path, check_text
from keras_deepfake._files import atomic_write
from keras_deepfake._text import format_cell, number_columns, printable

STYLE = """
:root { color-scheme: light; }
body { margin: 0 auto; max-width: 60rem; padding: 2.5rem 1.5rem 4rem; background: #fff;
  color: #222; font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { margin: 0 0 1rem; font-size: 2rem; line-height: 1.2; }
h2 { margin: 3rem 0 1rem; border-top: 1px solid #ddd; padding-top: 1.5rem; font-size: 1.35rem; }
p { max-width: 44rem; overflow-wrap: anywhere; }
dl { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1.5rem 0; }
dl div { flex: 1 1 8.5rem; border-radius: 8px; padding: .8rem 1rem; background: #f3f5f7; }
dt { color: #555; font-size: .85rem; }
dd { margin: 0; font-size: 1.7rem; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .93rem; }
th, td { border-bottom: 1px solid #e5e5e5; padding: .4rem .9rem .4rem 0; text-align: left;
  vertical-align: baseline; overflow-wrap: break-word; }
th { border-bottom: 2px solid #bbb; font-weight: 600; }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.figures { display: flex; flex-wrap: wrap; gap: 1.5rem; align-items: flex-start; margin: 1rem 0; }
figure { margin: 0; max-width: 100%; }
img { width: 100%; height: auto; }
figcaption { color: #555; font-size: .9rem; }
"""


def save_html(path, title, sections):
    """Write one self-contained HTML page, with its figures inside.

    The page is there whole or not at all. All texts are escaped: none of them can add markup to
    the page, and what cannot be shown, as in the names of some files, is written as an escape.

    Args:
        path: Path of the file to write, which is replaced if it exists.
        title: Title of the page.
        sections: Iterable of `(heading, content, content, ...)`; of one that makes them as they
            are asked for, only one is held at a time. A content is a text, a
            Matplotlib figure, a dictionary of figures to show large by their names, or a table:
            a sequence of rows, of which the first holds the headings. A text that follows a
            figure is its caption. In a table columns of numbers are set to the right, floats
            have three decimals, and a pair of numbers is an interval.

    Raises:
        ValueError: for sections or contents of another type.
        OSError: if the file cannot be written.

    Example:
    ```python
    kd.reports.save_html(
        "page.html",
        "Two detectors",
        [("Result", "Trained on the same faces.", [("detector", "AUC"), ("first", 0.91)])],
    )
    ```
    """
    path = check_path("path", path)
    title, sections = check_text("title", title), check_sections(sections)
    with atomic_write(path) as file:
        file.writelines(_page(title, sections))


def make_page(title, sections):
    """Markup of a whole page."""
    return "".join(_page(check_text("title", title), check_sections(sections)))


def _page(title, sections):
    """Yields the markup part by part, as one part may be all that memory holds."""
    yield (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_escaped(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{_escaped(title)}</h1>\n"
    )
    for section in sections:
        yield _section(section, title)
    yield "</body>\n</html>\n"


def check_sections(sections):
    """Return the sections, in whatever holds or makes them."""
    if isinstance(sections, (str, bytes, dict)) or not isinstance(sections, Iterable):
        raise ValueError(
            "`sections` must be an iterable of `(heading, content, content, ...)`; got "
            f"{type(sections).__name__}."
        )
    return sections


def _escaped(text):
    return html.escape(printable(text))


def _section(section, title):
    if not isinstance(section, (tuple, list)) or not section or not isinstance(section[0], str):
        raise ValueError(
            "Each of `sections` must be `(heading, content, content, ...)`, the heading a text; "
            f"got {section!r:.200}."
        )
    heading, *contents = section
    parts = [f"<h2>{_escaped(heading)}</h2>\n"] if heading else []
    figures = []
    for content in contents:
        if hasattr(content, "savefig"):
            figures.append([_image(content, heading or title), ""])
        elif isinstance(content, str) and figures and not figures[-1][1]:
            figures[-1][1] = f"<figcaption>{_lines(content)}</figcaption>"
        else:
            parts.append(_figures(figures))
            figures = []
            parts.append(_block(content))
    parts.append(_figures(figures))
    return "<section>\n" + "".join(parts) + "</section>\n"


def _lines(text):
    """A text whose breaks of lines are spaces, as HTML has it."""
    return _escaped(" ".join(text.split()))


def _figures(figures):
    if not figures:
        return ""
    inside = "".join(
        f'<figure style="width: {width}px">{image}{caption}</figure>\n'
        for (image, width), caption in figures
    )
    return f'<div class="figures">\n{inside}</div>\n'


def _image(figure, heading):
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=192, bbox_inches="tight", facecolor="white")
    data = stream.getvalue()
    source = base64.b64encode(data).decode()
    # Half the width that the PNG header states: sharp on displays of double density.
    width = int.from_bytes(data[16:20], "big") // 2
    return f'<img src="data:image/png;base64,{source}" alt="{_escaped(heading)}">', width


def _block(content):
    if isinstance(content, str):
        return f"<p>{_lines(content)}</p>\n"
    if isinstance(content, dict):
        tiles = "".join(
            f"<div><dt>{_escaped(name)}</dt><dd>{html.escape(format_cell(value))}</dd></div>"
            for name, value in content.items()
        )
        return f"<dl>{tiles}</dl>\n"
    is_table = isinstance(content, (list, tuple)) and len(content) > 0
    if not is_table or not all(isinstance(row, (list, tuple)) for row in content):
        raise ValueError(
            "A content of `sections` must be a text, a Matplotlib figure, a dictionary of values "
            f"or a list of rows; got {type(content).__name__}."
        )
    if len({len(row) for row in content}) > 1:
        raise ValueError(
            "A table of `sections` must have rows of one length; got lengths "
            f"{sorted({len(row) for row in content})}."
        )
    is_number = number_columns(content)
    head, *rows = content
    table = _row("th", head, is_number) + "".join(_row("td", row, is_number) for row in rows)
    return f'<div class="scroll"><table>\n{table}</table></div>\n'


def _row(tag, row, is_number):
    cells = "".join(
        f'<{tag} class="{"number" if number else "text"}">{html.escape(format_cell(cell))}</{tag}>'
        for cell, number in zip(row, is_number, strict=True)
    )
    return f"<tr>{cells}</tr>\n"
