"""Writing pictures."""

from keras_deepfake._arguments import check_path
from keras_deepfake._files import atomic_write


def save_figure(figure, path):
    """Write a figure to a file, which is there whole or not at all.

    Args:
        figure: A Matplotlib figure.
        path: Where to write. Its suffix names the format, such as `.png` or `.svg`.

    Raises:
        ValueError: for what is no figure, and for a suffix that is no format of pictures.
        OSError: if the file cannot be written.

    Example:
    ```python
    figure = kd.visualization.plot_confusion_matrix([[45, 5], [10, 40]])
    kd.visualization.save_figure(figure, "confusion.png")
    ```
    """
    if not hasattr(figure, "savefig"):
        raise ValueError(f"`figure` must be a Matplotlib figure; got {type(figure).__name__}.")
    path = check_path("path", path)
    suffix = path.suffix[1:].lower()
    formats = figure.canvas.get_supported_filetypes()
    if suffix not in formats:
        raise ValueError(
            f"`path` must end in a format of pictures, {', '.join(sorted(formats))}; got "
            f"{str(path)!r}."
        )
    with atomic_write(path, "wb") as file:
        figure.savefig(file, format=suffix)
