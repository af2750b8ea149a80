"""Finding and reading image files: the same numbers here and inside the `tf.data` pipelines."""

import collections
import functools
import itertools
import math
import os
import pathlib

import numpy as np
import tensorflow as tf

from keras_deepfake._arguments import check_image_size, check_path
from keras_deepfake._pillow_images import MAX_PIXELS
from keras_deepfake.datasets._inspection import MEMORY, PILLOW, inspect_image, read_with_pillow
from keras_deepfake.datasets.image_resizing import resize_image

EXTENSIONS = (
    ".bmp",
    ".gif",
    ".jfif",
    ".jpe",
    ".jpeg",
    ".jpg",
    ".png",
    ".tif",
    ".tiff",
    ".webp",
)

# What operating systems, archives and network disks leave in folders, thumbnails and deleted
# photographs among it; what begins with a dot is ignored as well.
_SYSTEM_NAMES = {
    "#recycle",
    "$recycle.bin",
    "@eadir",
    "@recycle",
    "__macosx",
    "desktop.ini",
    "ehthumbs.db",
    "lost+found",
    "system volume information",
    "thumbs.db",
}


def load_image(path, image_size=None):
    """Reads one image file as the datasets of this package do.

    The numbers are exactly those that `classification_dataset` and `reconstruction_dataset`
    feed to a model. Whatever the file holds comes out as RGB: grey and palette images are
    expanded, alpha is dropped (not composited), CMYK is converted, 16 bits are scaled to 8, and
    of an animation the first frame is taken. The EXIF orientation is applied. What other code
    has set in Pillow (`MAX_IMAGE_PIXELS`, `LOAD_TRUNCATED_IMAGES`) changes nothing here. JPEG has
    no checksums: a file that lost data in its middle, and still ends as it should, is an image
    of which parts are grey or displaced.

    Files of more than 2**28 bytes (256 MiB) and images of more than 2**26 pixels (8192 x 8192),
    or more than 65 535 on a side, are refused by their header: a small file can hold an image
    that fills the memory.

    Args:
        path: Path (str or `pathlib.Path`) of a JPEG, PNG, BMP, GIF, WebP or TIFF file.
        image_size: Tuple `(height, width)` to resize to, bilinearly and antialiased when
            shrinking; `None` keeps the size of the file.

    Returns:
        A float32 NumPy array of shape `(height, width, 3)` with values in [0, 1].

    Raises:
        ValueError: If the file is not an image that can be read, or `image_size` is not a pair
            of positive integers of at most 2**26 pixels. The message holds the path.

    Example:
    ```python
    keras.utils.save_img("face.png", np.zeros((32, 48, 3)), scale=False)
    image = kd.datasets.load_image("face.png", image_size=(16, 16))
    image.shape  # (16, 16, 3)
    ```
    """
    path = os.fspath(check_path("path", path))
    if image_size is not None:
        image_size = check_target_size(image_size)
    try:
        header = inspect_image(path)
    except ValueError as error:
        raise ValueError(f"`path`={path!r} cannot be read: {error}.") from error
    return resize_image(np.asarray(read_pixels(path, *header)), image_size)


def check_target_size(image_size):
    """Returns `image_size` as two ints if an image of that size may be made."""
    height, width = check_image_size(image_size)
    if height * width > MAX_PIXELS:
        raise ValueError(
            f"`image_size` must be of at most {MAX_PIXELS} pixels; got {(height, width)}."
        )
    return height, width


def walk_images(folder, relative, problems):
    """Yields the relative paths of the image files under a folder, whatever links lead there.

    Every folder is walked once, by its own path rather than a link's. Links to a folder that
    `folder` itself lies in are a problem, as they lead out of what was asked for.

    Args:
        folder: Path of the folder.
        relative: The folder's own relative path, with forward slashes; `""` for the root.
        problems: List to which `(path, reason)` of every other file is added.
    """
    parents = pathlib.Path(os.path.realpath(folder)).parents
    above = {_identity(parent.stat()) for parent in parents if parent.exists()}
    walked = set()
    folders, links = collections.deque([(folder, relative)]), collections.deque()
    while folders or links:
        folder, relative = (folders or links).popleft()
        try:
            here = _identity(os.stat(folder))
            if here in walked:
                continue
            if here in above:
                problems.append((folder, "a link to a folder that holds this one"))
                continue
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            problems.append((folder, f"unreadable: {error.strerror}"))
            continue
        walked.add(here)
        for entry in entries:
            extension = os.path.splitext(entry.name)[1]
            if entry.name.startswith(".") or entry.name.lower() in _SYSTEM_NAMES:
                continue
            below = f"{relative}/{entry.name}" if relative else entry.name
            try:
                if entry.is_dir():
                    (links if entry.is_symlink() else folders).append((entry.path, below))
                elif extension.lower() in EXTENSIONS:
                    yield below
                else:
                    problems.append((entry.path, f"unknown extension {extension!r}"))
            except OSError as error:  # as of a link to itself
                problems.append((entry.path, f"unreadable: {error.strerror}"))


def _identity(status):
    return status.st_dev, status.st_ino


def read_pixels(path, height, width, decoder):
    """Decodes a file that `inspect_image` has passed, by the decoders of the pipelines.

    Args:
        path: Path as str.
        height: What `inspect_image` returned, as are the next two.
        width: See `height`.
        decoder: See `height`.

    Returns:
        A uint8 array or eager tensor of shape `(height, width, 3)`.

    Raises:
        ValueError: With the path, if the pixels are damaged.
    """
    if decoder != PILLOW:
        with MEMORY.taking(height * width), tf.device("CPU:0"):
            try:
                with open(path, "rb") as file:
                    return _DECODERS[decoder](file.read())
            except (OSError, tf.errors.InvalidArgumentError):
                pass  # Pillow reads it, or says why not
    return _decode_with_pillow(path)


def read_pixels_of_many(paths, headers):
    """Decodes files that `inspect_image` has passed, outside Python's lock for all of them.

    Args:
        paths: Sequence of str.
        headers: What `inspect_image` returned for each; the decoder is that of all, and not
            `PILLOW`.

    Returns:
        A list of uint8 arrays `(files, height, width, 3)`, one for all neighbours of one size; of
        no arrays if a file cannot be decoded, or is larger or smaller by now.
    """
    names = [os.fsencode(path) for path in paths]
    sizes = [3 * height * width for height, width, _ in headers]
    with MEMORY.taking(sum(sizes) // 3), tf.device("CPU:0"):
        try:
            shapes, values = _make_decode_many(headers[0][2])(names, sizes)
        except tf.errors.OpError:  # read one by one they say why
            return []
    arrays, start, values = [], 0, values.numpy()
    for shape, neighbours in itertools.groupby(shapes.numpy().tolist()):
        shape = (len(list(neighbours)), *shape)
        end = start + math.prod(shape)
        arrays.append(values[start:end].reshape(shape))
        start = end
    return arrays


@functools.cache
def _make_decode_many(decoder):
    """A function from paths and sizes in values to the shapes and the values of their images."""

    # One trace for any number of files.
    @tf.function(
        input_signature=(tf.TensorSpec([None], tf.string), tf.TensorSpec([None], tf.int32))
    )
    def decode_many(paths, sizes):
        count = tf.size(paths)

        def decode_next(i, shapes, values):
            image = decode_image(paths[i], decoder)
            # Of another size it is an error, whose memory nobody has foreseen.
            flat = tf.reshape(image, [sizes[i]])
            shape = tf.cast(tf.shape(image), tf.int64)
            return i + 1, shapes.write(i, shape), values.write(i, flat)

        shapes = tf.TensorArray(tf.int64, count, element_shape=[3])
        values = tf.TensorArray(tf.uint8, count, infer_shape=False, element_shape=[None])
        _, shapes, values = tf.while_loop(
            lambda i, *_: i < count, decode_next, (0, shapes, values), parallel_iterations=1
        )
        return shapes.stack(), values.concat()

    return decode_many


def decode_image(path, decoder):
    """Decodes a file that `inspect_image` has passed, in the graph of a dataset.

    Args:
        path: Scalar string tensor.
        decoder: `JPEG`, `PNG`, `PILLOW`, or a scalar integer tensor holding one of them.

    Returns:
        A uint8 tensor of shape `(height, width, 3)`.
    """

    def with_pillow():
        return tf.numpy_function(_decode_with_pillow, [path], tf.uint8, stateful=False)

    branches = [lambda decode=decode: decode(tf.io.read_file(path)) for decode in _DECODERS]
    branches.append(with_pillow)
    image = branches[decoder]() if isinstance(decoder, int) else tf.switch_case(decoder, branches)
    return tf.ensure_shape(image, (None, None, 3))


def _decode_jpeg(contents):
    # The settings of Pillow, so that both ways give the same numbers.
    return tf.io.decode_jpeg(
        contents, channels=3, fancy_upscaling=True, dct_method="INTEGER_ACCURATE"
    )


def _decode_png(contents):
    return tf.io.decode_png(contents, channels=3)


_DECODERS = (_decode_jpeg, _decode_png)


def _decode_with_pillow(path):
    path = os.fsdecode(path)  # bytes in a graph
    try:
        with open(path, "rb") as file:
            return read_with_pillow(file)
    except Exception as error:
        raise ValueError(
            f"The image file {path!r} cannot be read ({error}). Its pixels are damaged, which its "
            "header does not show, or it has changed since it was indexed: mend or remove it, and "
            "index the folder again."
        ) from error
