"""Images from whatever holds them, in batches for a model: the one way in which they are read."""

import collections
import itertools
import os
from typing import NamedTuple

import keras
import numpy as np

from keras_deepfake._classes import class_numbers
from keras_deepfake._pixels import to_numpy, unit_pixels
from keras_deepfake.models.prediction import ImageSizeError

# What waits for more images of its shape: so many batches, or values, in all.
WAITING_BATCHES = 2**12
WAITING_VALUES = 2**26
# Images of an array that are converted at a time.
CHUNK = 256


class Image(NamedTuple):
    """One image on its way to a model.

    Attributes:
        name: Path of the file, or place in the data, such as `"images[3]"`.
        pixels: Float32 array in [0, 1]; `None` where a file is not read yet or cannot be.
        label: Number of the class, or `None`.
        problem: Why the file cannot be read, or `None`.
        header: Height, width and decoder of the file, where an index knows them.
    """

    name: str
    pixels: np.ndarray | None = None
    label: int | None = None
    problem: str | None = None
    header: tuple | None = None


class ImageBatch(NamedTuple):
    """Images of one shape as a model gets them, and what belongs to them.

    Attributes:
        pixels: Float32 array in [0, 1] in the layout of the model.
        images: The `Image`s, in the same order.
    """

    pixels: np.ndarray
    images: list

    def check_read(self):
        """Raise if this is a file that cannot be read."""
        image = self.images[0]
        if image.problem is not None:
            raise ValueError(f"{image.name!r} cannot be read: {image.problem.rstrip('.')}.")


def image_batches(data, input_shape, image_size=None, batch_size=32, labelled=False, num_classes=2):
    """Yield the images that `data` holds in batches, in their order.

    Only images of one shape in a row share a batch. A file that cannot be read is a batch of one
    `Image` with its `problem`, and of no pixels.

    Args:
        data: An `ImageIndex`; the path of an image, or of a folder that is searched recursively;
            an array of images, or of one; a pair `(images, labels)` of arrays; a `tf.data` or
            `keras.utils.PyDataset` of batches, with labels or without; or an iterable of all
            these. Arrays are uint8 in 0-255 or floating point in 0-1.
        input_shape: Shape of the model's input, with the batch axis.
        image_size: `(height, width)` to which RGB images are resized; `None` keeps their size.
        batch_size: Integer.
        labelled: Whether every image must have a label: one-hot, or the number of its class.
        num_classes: Integer, the number of classes.

    Raises:
        ValueError: for arrays of another shape or range, labels that are missing or no classes,
            a dataset that never ends, and what holds no images.
    """
    layout = _Layout(input_shape, image_size)
    images = _images(data, "images", num_classes)
    waiting = []
    for image in _read(images, layout):
        if labelled and image.label is None:
            raise ValueError(
                f"{image.name!r} has no label. Give an `ImageIndex` with classes, a tuple "
                "`(images, labels)` of arrays, or a dataset of such batches."
            )
        if waiting and (
            len(waiting) == batch_size
            or image.pixels is None
            or image.pixels.shape != waiting[0].pixels.shape
        ):
            yield _batch(waiting)
            waiting = []
        if image.pixels is None:
            yield _without_pixels(image, image.problem)
        else:
            waiting.append(image)
    if waiting:
        yield _batch(waiting)


def _without_pixels(image, problem):
    """The batch of an image that cannot be used, and why."""
    image = image._replace(pixels=None, problem=problem)
    return ImageBatch(np.empty((0, 0, 0, 0), "float32"), [image])


def compute_by_shape(compute, batches, batch_size):
    """Yield batches in their order, each with what a function gives for its pixels, row by row.

    Batches that are not full, as those of many sizes in a row, wait until there are enough images
    of their shape, or so many of others that memory is short, and the function gets them together.
    Images that it refuses for their size come one by one, with their `problem` and without pixels.

    Args:
        compute: Function from pixels `(images, ...)` to an array `(images, ...)`.
        batches: Iterable of `ImageBatch`es. Those that hold no pixels come with `None`.
        batch_size: Integer, the most images that the function gets.
    """
    waiting, alike, rows = collections.deque(), collections.defaultdict(list), {}
    counts, values = collections.Counter(), 0

    def compute_alike(shape):
        of_one_shape = alike.pop(shape)
        del counts[shape]
        pixels = [batch.pixels for batch in of_one_shape]
        pixels = np.concatenate(pixels) if len(pixels) > 1 else pixels[0]
        starts = range(0, len(pixels), batch_size)
        try:
            computed = np.concatenate([compute(pixels[i : i + batch_size]) for i in starts])
        except ImageSizeError as error:
            rows.update((id(batch), str(error)) for batch in of_one_shape)
            return
        ends = np.cumsum([len(batch.pixels) for batch in of_one_shape])[:-1]
        rows.update(zip(map(id, of_one_shape), np.split(computed, ends), strict=True))

    def finished(batch):
        computed = rows.pop(id(batch))
        if isinstance(computed, str):
            yield from ((_without_pixels(image, computed), None) for image in batch.images)
        else:
            yield batch, computed

    for batch in batches:
        waiting.append(batch)
        values += batch.pixels.size
        if len(batch.pixels):
            shape = batch.pixels.shape[1:]
            alike[shape].append(batch)
            counts[shape] += len(batch.pixels)
            if counts[shape] >= batch_size:
                compute_alike(shape)
        else:
            rows[id(batch)] = None
        if len(waiting) >= WAITING_BATCHES or values >= WAITING_VALUES:
            for shape in list(alike):
                compute_alike(shape)
        while waiting and id(waiting[0]) in rows:
            batch = waiting.popleft()
            values -= batch.pixels.size
            yield from finished(batch)
    for shape in list(alike):
        compute_alike(shape)
    for batch in waiting:
        yield from finished(batch)


def single_images(data):
    """Yield the RGB images that `data` holds one by one, as large as they are.

    Args:
        data: As for `image_batches`. A file is read when its turn comes.

    Yields:
        `Image`s; those of files that cannot be read have a `problem`, and no pixels.
    """
    layout = _Layout((None, None, None, 3), None)
    for image in _images(data, "images"):
        if image.pixels is not None:
            image = image._replace(pixels=layout.fit(image.pixels, image.name))
        elif image.problem is None:
            image = layout.read(image)
        yield image


def count_images(data):
    """The number of images where it is known without reading them, else `None`."""
    if hasattr(data, "paths"):
        return len(data)
    if isinstance(data, tuple) and len(data) == 2 and np.ndim(data[0]) == 4:
        return len(data[0])
    return None


def image_layout(input_shape):
    """The number of channels that a model takes, and whether they come first."""
    channels_first = input_shape[-1] not in (1, 3) and input_shape[1] in (1, 3)
    return input_shape[1 if channels_first else -1], channels_first


def _batch(images):
    if len(images) == 1:  # as of many sizes in a row: no copy
        return ImageBatch(images[0].pixels[None], images)
    return ImageBatch(np.stack([image.pixels for image in images]), images)


class _Layout:
    """Brings images to the size and the axes of a model's input."""

    def __init__(self, input_shape, image_size):
        self.channels, self.channels_first = image_layout(input_shape)
        self.image_size = image_size

    def read(self, image):
        """The image of a file that is to be read."""
        from keras_deepfake.datasets import load_image

        try:
            pixels = load_image(image.name, self.image_size)
        except ValueError as error:
            # The path has a place of its own.
            reason = str(error).removeprefix(f"`path`={image.name!r} cannot be read: ").rstrip(".")
            return image._replace(problem=reason)
        return image._replace(pixels=self.fit(pixels, image.name))

    def fit(self, pixels, name):
        if self.channels_first and pixels.shape[0] == self.channels:
            pixels = np.moveaxis(pixels, 0, -1)
        if pixels.shape[-1] != self.channels:
            raise ValueError(
                f"{name!r} must have {self.channels} channels, as the model takes them; it has "
                f"the shape {pixels.shape}."
            )
        if self.image_size is not None and pixels.shape[:2] != self.image_size:
            from keras_deepfake.datasets.image_resizing import resize_image

            if self.channels != 3:
                raise ValueError(
                    f"{name!r} must have the size {self.image_size}; got {pixels.shape[:2]}. Only "
                    "RGB images are resized."
                )
            pixels = resize_image(pixels * np.float32(255), self.image_size)
        return np.moveaxis(pixels, -1, 0) if self.channels_first else pixels


def _read(images, layout):
    """Yield the images with their pixels."""
    for are_files, alike in itertools.groupby(images, lambda image: image.pixels is None):
        if are_files:
            yield from _read_files(alike, layout)
        else:
            for image in alike:
                yield image._replace(pixels=layout.fit(image.pixels, image.name))


def _read_files(images, layout):
    from keras_deepfake.datasets.image_streams import stream_images

    images, ahead = itertools.tee(images)
    files = ((image.name, image.header) for image in ahead if image.problem is None)
    stream = stream_images(files, layout.image_size)
    for image in images:
        if image.problem is not None:
            yield image
        elif (pixels := next(stream)) is not None:
            yield image._replace(pixels=layout.fit(pixels, image.name))
        else:
            # It cannot be read, and this says why.
            yield layout.read(image)


def _images(data, place, num_classes=2):
    """Yield an `Image` for everything in the data; files are not read yet."""
    if hasattr(data, "paths"):
        labels = [None] * len(data) if data.labels is None else data.labels.tolist()
        headers = data.headers.tolist()
        for path, label, header in zip(data.paths, labels, headers, strict=True):
            yield Image(path, label=label, header=header)
    elif isinstance(data, (str, os.PathLike)):
        # NumPy's strings have a buffer, which the `os` functions take for bytes.
        yield from _files(str(os.fsdecode(data)))
    elif _is_pair(data):
        yield from _array_images(data[0], place, data[1], num_classes)
    elif isinstance(data, keras.utils.PyDataset):
        yield from _dataset_images((data[i] for i in range(len(data))), place, num_classes)
    elif hasattr(data, "element_spec"):
        if int(data.cardinality()) == -1:  # tf.data.INFINITE_CARDINALITY
            raise ValueError(
                "The dataset never ends; leave out `.repeat()`, or add `.take(batches)`."
            )
        yield from _dataset_images(data, place, num_classes)
    elif hasattr(data, "shape") and not _holds_paths(data):
        yield from _array_images(data, place)
    elif hasattr(data, "__iter__") and not isinstance(data, (bytes, dict)):
        for i, item in enumerate(data):
            if isinstance(item, tuple) and not isinstance(data, (tuple, list)):
                yield from _dataset_images([item], f"{place}[{i}]", num_classes)
            else:
                yield from _images(item, f"{place}[{i}]", num_classes)
    else:
        raise ValueError(
            f"`{place}` must be an `ImageIndex`, a path, an array, a dataset of batches, or an "
            f"iterable of these; got {type(data).__name__}."
        )


def _holds_paths(array):
    return isinstance(array, np.ndarray) and array.dtype.kind in "OUS" and array.ndim > 0


def _is_pair(data):
    """Whether these are `(images, labels)`, and not two images."""
    return (
        isinstance(data, (tuple, list))
        and len(data) in (2, 3)
        and len(getattr(data[0], "shape", ())) == 4
        and np.ndim(data[1]) in (1, 2)
    )


def _files(path):
    if not os.path.isdir(path):
        yield Image(path)
        return
    # TensorFlow loads only where images are read.
    from keras_deepfake.datasets.image_files import walk_images

    problems = []
    found = dict.fromkeys(os.path.join(path, name) for name in walk_images(path, "", problems))
    for file, problem in sorted({**found, **dict(problems)}.items()):
        yield Image(file, problem=problem)


def _dataset_images(batches, place, num_classes):
    count = 0
    for batch in batches:
        parts = batch if isinstance(batch, (tuple, list)) else (batch,)
        pixels, labels = parts[0], parts[1] if len(parts) > 1 else None
        # The targets of an autoencoder are images, not labels.
        if labels is not None and len(getattr(labels, "shape", ())) > 2:
            labels = None
        if len(getattr(pixels, "shape", ())) == 3:  # not batched
            pixels, labels = pixels[None], None if labels is None else np.asarray(labels)[None]
        for image in _array_images(pixels, place, labels, num_classes):
            yield image._replace(name=f"{place}[{count}]")
            count += 1


def _array_images(pixels, place, labels=None, num_classes=2):
    pixels = to_numpy(pixels, place)
    if pixels.ndim == 3 and labels is None:
        yield Image(place, unit_pixels(pixels, place))
        return
    if pixels.ndim != 4 or 0 in pixels.shape[1:]:
        raise ValueError(
            f"`{place}` has the shape {pixels.shape}. Give images of shape (height, width, "
            "channels) or (batch, height, width, channels)."
        )
    numbers = [None] * len(pixels) if labels is None else class_numbers(labels, num_classes)
    if len(numbers) != len(pixels):
        raise ValueError(
            f"There must be a label for each image; got {len(numbers)} labels for {len(pixels)} "
            "images."
        )
    for start in range(0, len(pixels), CHUNK):
        chunk = unit_pixels(pixels[start : start + CHUNK], place, start)
        for i, image in enumerate(chunk, start):
            yield Image(f"{place}[{i}]", image, numbers[i])
