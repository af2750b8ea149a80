"""One self-contained HTML page of texts, figures and tables."""

import base64
import html
import io
import math
import os
from pathlib import Path

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

    The page is written under a temporary name and renamed, so that a page which is there is
    whole. All texts are escaped: none of them can add markup to the page.

    Args:
        path: Path of the file to write.
        title: Title of the page.
        sections: Sequence of `(heading, content, content, ...)`. A content is a text, a
            Matplotlib figure, a dictionary of figures to show large by their names, or a table:
            a sequence of rows, of which the first holds the headings. A text that follows a
            figure is its caption. In a table numbers are set to the right, floats with three
            decimals, and a pair of floats as an interval.

    Raises:
        TypeError: for a content of another type.

    Example:
    ```python
    kd.reports.save_html(
        "page.html",
        "Two detectors",
        [("Result", "Trained on the same faces.", [("detector", "AUC"), ("first", 0.91)])],
    )
    ```
    """
    body = "".join(section_html(heading, contents) for heading, *contents in sections)
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{html.escape(title)}</h1>\n{body}</body>\n</html>\n"
    )
    path = Path(path)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    # File names may hold bytes that are no text; the page shows them as question marks.
    temporary.write_text(page, encoding="utf-8", errors="replace")
    temporary.replace(path)


def section_html(heading, contents):
    """Markup of one section, without the style of the page."""
    parts = [f"<h2>{html.escape(heading)}</h2>\n"] if heading else []
    figures = []
    for content in contents:
        if hasattr(content, "savefig"):
            figures.append([_image(content, heading), ""])
        elif isinstance(content, str) and figures and not figures[-1][1]:
            figures[-1][1] = f"<figcaption>{html.escape(content)}</figcaption>"
        else:
            parts.append(_figures(figures))
            figures = []
            parts.append(_block(content))
    parts.append(_figures(figures))
    return "<section>\n" + "".join(parts) + "</section>\n"


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
    return f'<img src="data:image/png;base64,{source}" alt="{html.escape(heading)}">', width


def _block(content):
    if isinstance(content, str):
        return f"<p>{html.escape(content)}</p>\n"
    if isinstance(content, dict):
        tiles = "".join(
            f"<div><dt>{html.escape(str(name))}</dt><dd>{html.escape(format_cell(value))}</dd></div>"
            for name, value in content.items()
        )
        return f"<dl>{tiles}</dl>\n"
    if not isinstance(content, (list, tuple)):
        raise TypeError(
            "A section's content must be a text, a Matplotlib figure, a dictionary of values or "
            f"a list of rows; got {type(content).__name__}."
        )
    head, *rows = content
    numbers = [bool(rows) and not isinstance(cell, str) for cell in (rows or [head])[0]]
    table = _row("th", head, numbers) + "".join(_row("td", row, numbers) for row in rows)
    return f'<div class="scroll"><table>\n{table}</table></div>\n'


def _row(tag, row, numbers):
    cells = "".join(
        f'<{tag} class="{"number" if number else "text"}">{html.escape(format_cell(cell))}</{tag}>'
        for cell, number in zip(row, numbers, strict=True)
    )
    return f"<tr>{cells}</tr>\n"


def format_cell(cell):
    """Text of a number, of a pair as an interval, of anything else as it is."""
    if isinstance(cell, tuple):
        return "n/a" if any(map(math.isnan, cell)) else " to ".join(map(format_cell, cell))
    if isinstance(cell, float):
        return "n/a" if math.isnan(cell) else f"{cell:.3f}"
    return str(cell)
