"""Writing pictures."""

import os
import pathlib


def save_figure(figure, path):
    """Write a figure to a file, which is there whole or not at all.

    It is written under a temporary name beside `path` and then renamed.

    Args:
        figure: A Matplotlib figure.
        path: Where to write. Its suffix names the format, such as `.png` or `.svg`.

    Example:
    ```python
    figure = kd.visualization.plot_confusion_matrix([[45, 5], [10, 40]])
    kd.visualization.save_figure(figure, "confusion.png")
    ```
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        figure.savefig(temporary, format=path.suffix[1:])
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
