"""Reading one image file: the same numbers here and inside the `tf.data` pipelines."""

import os
import stat

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps, UnidentifiedImageError

# Who decodes a file: TensorFlow the ordinary ones, Pillow what TensorFlow reads wrongly or not
# at all (EXIF rotation, CMYK, 16 bits, the other formats).
JPEG, PNG, PILLOW = range(3)

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

# The formats behind these extensions, so that no other plugin of Pillow is handed a file.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
_JPEG_END = b"\xff\xd9"
_PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"
_ORIENTATION = 0x0112
_PNG_BIT_DEPTH = 24  # position of the byte
# What a PNG holds its orientation in; Pillow would decode the whole file to look for it.
_PNG_ROTATION = (b"eXIf", b"XML:com.adobe.xmp", b"Raw profile type exif")


def load_image(path, image_size=None):
    """Reads one image file as the datasets of this package do.

    The numbers are exactly those that `classification_dataset` and `reconstruction_dataset`
    feed to a model. Whatever the file holds comes out as RGB: grey and palette images are
    expanded, alpha is dropped (not composited), CMYK is converted, 16 bits are scaled to 8, and
    of an animation the first frame is taken. The EXIF orientation is applied.

    Args:
        path: Path of a JPEG, PNG, BMP, GIF, WebP or TIFF file.
        image_size: Tuple `(height, width)` to resize to, bilinearly and antialiased when
            shrinking; `None` keeps the size of the file.

    Returns:
        A float32 NumPy array of shape `(height, width, 3)` with values in [0, 1].

    Raises:
        ValueError: If the file is not an image that can be read, or `image_size` is not a pair
            of positive integers. The message holds the path.

    Example:
    ```python
    keras.utils.save_img("face.png", np.zeros((32, 48, 3)), scale=False)
    image = kd.datasets.load_image("face.png", image_size=(16, 16))
    image.shape  # (16, 16, 3)
    ```
    """
    path = os.fspath(path)
    if image_size is not None:
        image_size = check_image_size(image_size)
    try:
        *_, decoder = inspect_image(path)
    except ValueError as error:
        raise ValueError(f"`path`={path!r} cannot be read: {error}.") from error
    # Resizing on a GPU would round differently from the pipelines, which run on the CPU.
    with tf.device("CPU"):
        try:
            image = decode_image(os.fsencode(path), decoder)
        except tf.errors.InvalidArgumentError as error:
            # The header of a JPEG does not show damage behind it.
            raise ValueError(f"`path`={path!r} cannot be read: truncated or damaged.") from error
        if image_size is None:
            return scale_image(image).numpy()
        return resize_image(image, image_size).numpy()


def check_image_size(image_size):
    """Returns `image_size` as a tuple of two positive integers, or raises."""
    try:
        height, width = image_size
    except (TypeError, ValueError):
        height = width = None
    if not all(isinstance(side, (int, np.integer)) and side > 0 for side in (height, width)):
        raise ValueError(
            "`image_size` must be a tuple `(height, width)` of positive integers, as (256, 256); "
            f"got {image_size!r}."
        )
    return int(height), int(width)


def inspect_image(path):
    """Checks a file without decoding it where its format allows that.

    Returns:
        `(height, width, decoder)`: the size after the EXIF orientation, and who decodes it.

    Raises:
        ValueError: With the reason, without the path, if the file cannot be used.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ValueError("not a regular file")  # to open a pipe would wait for its other end
        with open(path, "rb") as file:
            start = file.read(4)
            if not start:
                raise ValueError("zero bytes")
            return _inspect(file)
    except ValueError:
        raise
    except UnidentifiedImageError as error:
        if start.startswith((b"\xff\xd8\xff", b"\x89PNG")):
            raise ValueError("truncated or damaged") from error
        raise ValueError("not an image") from error
    except Image.DecompressionBombError as error:
        raise ValueError("too large to be decoded safely") from error
    # Pillow reports damage as OSError, SyntaxError, EOFError, struct.error and others.
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise ValueError(f"unreadable: {error.strerror}") from error
        raise ValueError(f"truncated or damaged: {error}") from error


def _inspect(file):
    with Image.open(file, formats=_FORMATS) as image:
        width, height = image.size
        if width * height > Image.MAX_IMAGE_PIXELS:
            raise ValueError(f"too large to be decoded safely: {width} x {height} pixels")
        if image.format == "JPEG":
            file.seek(-len(_JPEG_END), os.SEEK_END)
            if file.read() != _JPEG_END:
                # Some cameras append data of their own after the end marker.
                contents = _contents(file)
                if contents.find(_JPEG_END, contents.rfind(b"\xff\xda")) < 0:
                    raise ValueError("truncated")
            elif image.mode in ("L", "RGB") and _orientation(image) == 1:
                return height, width, JPEG
        elif image.format == "PNG":
            contents = _contents(file)
            if _PNG_END not in contents:
                raise ValueError("truncated")
            if contents[_PNG_BIT_DEPTH] <= 8 and not any(m in contents for m in _PNG_ROTATION):
                image.verify()
                return height, width, PNG
        return *_read_with_pillow(file).shape[:2], PILLOW


def _contents(file):
    file.seek(0)
    return file.read()


def _orientation(image):
    return image.getexif().get(_ORIENTATION, 1)


def _read_with_pillow(file):
    """Reads an open file into a uint8 array of shape `(height, width, 3)`."""
    file.seek(0)
    with Image.open(file, formats=_FORMATS) as image:
        if image.width * image.height > Image.MAX_IMAGE_PIXELS:
            raise ValueError("too large to be decoded safely")
        orientation = _orientation(image)
        if image.format == "PNG" and _contents(file)[_PNG_BIT_DEPTH] == 16:
            # Pillow would keep only the high byte of colour, and clip grey.
            deep = tf.io.decode_png(_contents(file), channels=3, dtype="uint16").numpy()
            image = Image.fromarray(_eight_bits(deep))
            image.getexif()[_ORIENTATION] = orientation
        image = ImageOps.exif_transpose(image)
        if image.mode in ("I", "F"):
            raise ValueError(f"32-bit pixels (mode {image.mode!r}) have no defined range")
        if image.mode.startswith("I;16"):
            image = Image.fromarray(_eight_bits(np.asarray(image)))
        elif image.mode in ("P", "PA"):
            # Pillow warns of a palette with transparency unless it goes through RGBA.
            image = image.convert("RGBA")
        return np.array(image.convert("RGB"))


def _eight_bits(pixels):
    return np.round(pixels / 257).astype("uint8")


def _decode_with_pillow(path):
    path = os.fsdecode(np.asarray(path).item())  # bytes in a graph, an array eagerly
    try:
        with open(path, "rb") as file:
            return _read_with_pillow(file)
    except Exception as error:
        raise ValueError(
            f"The image file {path!r} cannot be read ({error}). Its pixels are damaged, which its "
            "header does not show, or it has changed since it was indexed: mend or remove it, and "
            "index the folder again."
        ) from error


def decode_image(path, decoder):
    """Decodes a file that `inspect_image` has passed, eagerly or in a graph.

    Args:
        path: Scalar string tensor.
        decoder: `JPEG`, `PNG`, `PILLOW`, or a scalar integer tensor holding one of them.

    Returns:
        A uint8 tensor of shape `(height, width, 3)`. A file that has broken since raises an
        error whose message holds its path.
    """

    def with_pillow():
        return tf.numpy_function(_decode_with_pillow, [path], tf.uint8, stateful=False)

    def jpeg():
        contents = tf.io.read_file(path)
        # TensorFlow's own error would not name the file.
        padded = tf.strings.join([tf.constant(bytes(2)), contents])
        return tf.cond(
            tf.strings.substr(padded, -2, 2) == _JPEG_END,
            # The settings of Pillow, so that both ways give the same numbers.
            lambda: tf.io.decode_jpeg(
                contents, channels=3, fancy_upscaling=True, dct_method="INTEGER_ACCURATE"
            ),
            with_pillow,
        )

    def png():
        # A PNG may break in the middle, which only decoding it shows; a dataset is the one
        # place where TensorFlow catches an error.
        contents = tf.io.read_file(path)
        if tf.executing_eagerly():
            # Every dataset made here would leave its function behind.
            try:
                return tf.io.decode_png(contents, channels=3)
            except tf.errors.InvalidArgumentError:
                return with_pillow()
        attempt = (
            tf.data.Dataset.from_tensors(contents)
            .map(lambda contents: tf.io.decode_png(contents, channels=3))
            .ignore_errors()
            .concatenate(tf.data.Dataset.from_tensors(tf.zeros((0, 0, 3), "uint8")))
            .take(1)
            .get_single_element()
        )
        return tf.cond(tf.size(attempt) > 0, lambda: attempt, with_pillow)

    branches = (jpeg, png, with_pillow)
    image = branches[decoder]() if isinstance(decoder, int) else tf.switch_case(decoder, branches)
    return tf.ensure_shape(image, (None, None, 3))


def scale_image(image):
    """Casts uint8 pixels to float32 in [0, 1]."""
    return tf.cast(image, "float32") / 255.0


def resize_image(image, image_size):
    """Resizes a uint8 image bilinearly, antialiased when shrinking, and scales it to [0, 1]."""
    resized = tf.cond(
        tf.reduce_any(tf.shape(image)[:2] > image_size),
        lambda: tf.image.resize(image, image_size, antialias=True),
        # Up to rounding what the antialiasing operation gives here, in a third of its time.
        lambda: tf.image.resize(image, image_size),
    )
    # The weights of the antialiasing filter sum to 1 but for rounding.
    resized = tf.clip_by_value(resized / 255.0, 0.0, 1.0)
    return tf.ensure_shape(resized, (*image_size, 3))
