"""`tf.data` pipelines over an `ImageIndex`."""

import functools
import hashlib
import os
import random
import weakref

import numpy as np
import tensorflow as tf

from keras_deepfake._arguments import MOST_PLACES, check_integer, check_seed
from keras_deepfake.datasets._batch_memory import empty_batch, release_with
from keras_deepfake.datasets._image_cache import ImageCache
from keras_deepfake.datasets.image_files import check_target_size, decode_image, read_pixels
from keras_deepfake.datasets.image_index import ImageIndex
from keras_deepfake.datasets.image_resizing import resize_image, resize_images

# Pipelines run here, whatever device is the default of the process.
_DEVICE = "CPU:0"
# Files of a batch that are decoded at a time: photographs take tens of megabytes each.
_PARALLEL = min(16, os.cpu_count() or 2)
# Of a batch that is held before it is resized.
_MOST_PIXELS = 2**24


def reconstruction_dataset(
    index, image_size, batch_size=64, shuffle_buffer=0, seed=None, cache=None
):
    """Makes a `tf.data.Dataset` of `(x, x)` pairs for an autoencoder.

    `x` is float32 of shape `(batch, height, width, 3)` with values in [0, 1], read as
    `load_image` describes. The last batch is kept, and `len(dataset)` is the number of batches.
    The dataset feeds `fit`, `evaluate` and `predict` on every backend.

    Args:
        index: `ImageIndex`, with labels or without.
        image_size: Tuple `(height, width)`. Images of another size are resized bilinearly,
            antialiased when shrinking.
        batch_size: Positive integer of at most a million.
        shuffle_buffer: Number of images among which the next one is drawn; 0 keeps the order
            of the index, and the number of images or more shuffles perfectly. What is shuffled
            is the order of reading, so that a large buffer costs no memory.
        seed: Non-negative integer. The order is a function of the seed and the epoch, which is
            the number of passes read to their end (see `set_epoch`). `None` draws a seed, which
            `keras.utils.set_random_seed` makes reproducible.
        cache: `None`, `"memory"`, or the path of a folder that keeps the decoded images from
            one run to the next. They take a byte a value if all files of the index already
            have `image_size`, else four. A folder may be shared: its files are named after the
            paths, sizes and modification times of the images and `image_size`, are put in
            place only when complete, and are made anew with a warning where damaged.

    Returns:
        A `tf.data.Dataset`. A file that is damaged behind its header, or breaks or vanishes
        after it was indexed, raises an error that holds its path.

    Raises:
        ValueError: If an argument is wrong.

    Example:
    ```python
    import os

    os.makedirs("unlabelled")
    for i in range(5):
        keras.utils.save_img(f"unlabelled/{i}.png", np.full((8, 8, 3), i), scale=False)
    index = kd.datasets.ImageIndex.from_directory("unlabelled", class_names=None)
    dataset = kd.datasets.reconstruction_dataset(
        index, image_size=(16, 16), batch_size=2, shuffle_buffer=5, seed=0
    )
    len(dataset)  # 3
    ```
    """
    _check_index(index)
    with tf.device(_DEVICE):
        return _batches(
            index, image_size, batch_size, shuffle_buffer, seed, cache, lambda x, positions: (x, x)
        )


def classification_dataset(
    index, image_size, batch_size=128, shuffle_buffer=0, seed=None, cache=None
):
    """Makes a `tf.data.Dataset` of `(x, y)` pairs for a classifier.

    `x` is float32 of shape `(batch, height, width, 3)` with values in [0, 1], read as
    `load_image` describes; `y` is the float32 one-hot label of shape `(batch, classes)` with
    columns in the order of `index.class_names`. The last batch is kept, and `len(dataset)` is
    the number of batches. The dataset feeds `fit`, `evaluate` and `predict` on every backend, and
    has `groups`, and `class_names`, as those of `keras.utils.image_dataset_from_directory` have.

    Args:
        index: `ImageIndex` with labels.
        image_size: Tuple `(height, width)`. Images of another size are resized bilinearly,
            antialiased when shrinking.
        batch_size: Positive integer of at most a million.
        shuffle_buffer: As in `reconstruction_dataset`.
        seed: As in `reconstruction_dataset`.
        cache: As in `reconstruction_dataset`.

    Returns:
        A `tf.data.Dataset`. A file that is damaged behind its header, or breaks or vanishes
        after it was indexed, raises an error that holds its path.

    Raises:
        ValueError: If the index is unlabelled or an argument is wrong.

    Example:
    ```python
    import os

    for name in ("fake", "real"):
        os.makedirs(f"faces/{name}")
        for i in range(4):
            keras.utils.save_img(f"faces/{name}/{i}.png", np.full((8, 8, 3), i), scale=False)
    index = kd.datasets.ImageIndex.from_directory("faces")
    dataset = kd.datasets.classification_dataset(index, image_size=(8, 8), batch_size=8)
    x, y = next(iter(dataset))
    x.shape, y.shape  # ((8, 8, 8, 3), (8, 2))
    ```
    """
    _check_index(index)
    if index.labels is None:
        raise ValueError(
            "`index` has no labels: it was made with class_names=None. Make it with the names "
            "of the class folders, or use `reconstruction_dataset`."
        )
    with tf.device(_DEVICE):
        one_hot = tf.constant(np.eye(len(index.class_names), dtype="float32")[index.labels])
        dataset = _batches(
            index,
            image_size,
            batch_size,
            shuffle_buffer,
            seed,
            cache,
            lambda x, positions: (x, tf.gather(one_hot, positions)),
        )
    # As Keras's own `image_dataset_from_directory` has it; `fit` compares them with the model's.
    dataset.class_names, dataset.groups = index.class_names, index.groups
    return dataset


def set_epoch(epoch):
    """Tells every shuffled dataset of this process which epoch its next pass is.

    A dataset counts the passes that were read to their end, and its order is a function of its
    seed and that count. Training that goes on in a new process at epoch `k` sees the data in
    the order of epoch `k` if `set_epoch(k)` is called before that epoch begins, as from
    `on_epoch_begin` of a callback.

    Args:
        epoch: Non-negative integer.

    Example:
    ```python
    class SameOrderOnResume(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            kd.datasets.set_epoch(epoch)
    ```
    """
    epoch = check_integer("epoch", epoch, 0, 2**31 - 1)
    for order in _ORDERS:
        order.epoch = epoch


_ORDERS = weakref.WeakSet()


class _ShuffledOrder:
    """Positions in the order of a shuffle buffer, a function of the seed and the epoch."""

    def __init__(self, size, buffer, seed):
        self.size, self.buffer, self.seed = size, buffer, seed
        self.epoch = 0
        _ORDERS.add(self)

    def positions(self):
        # Raw numbers, as NumPy promises never to change them.
        draws = np.random.PCG64([self.seed, self.epoch]).random_raw(self.size)
        if self.buffer >= self.size:
            return np.argsort(draws, kind="stable")
        order = np.empty(self.size, "int64")
        waiting = list(range(self.buffer))
        for i, draw in enumerate(draws.tolist()):
            drawn = draw % len(waiting)
            order[i] = waiting[drawn]
            if i + self.buffer < self.size:
                waiting[drawn] = i + self.buffer
            else:
                waiting[drawn] = waiting[-1]
                waiting.pop()
        return order

    def end_pass(self):
        self.epoch += 1
        return np.int64(self.epoch)


def _batches(index, image_size, batch_size, shuffle_buffer, seed, cache, finish):
    image_size = check_target_size(image_size)
    batch_size = check_integer("batch_size", batch_size, 1, MOST_PLACES)
    shuffle_buffer = check_integer("shuffle_buffer", shuffle_buffer, 0)
    seed = check_seed(seed, optional=True)

    # Images that need no resizing stay bytes until they are in a batch: less to copy and keep.
    as_bytes = bool((index.headers[:, :2] == image_size).all())
    read = _reader(index, image_size, batch_size, as_bytes)
    scale = _scale if as_bytes else tf.identity
    images = order = None
    if cache is not None:
        images = ImageCache(cache, index.paths, image_size, "uint8" if as_bytes else "float32")
    dataset = tf.data.Dataset.range(len(index))
    if shuffle_buffer:
        # What `keras.random` does without a seed, under the same global seed.
        seed = random.randint(1, int(1e9)) if seed is None else seed
        order = _ShuffledOrder(len(index), shuffle_buffer, seed)
        dataset = _positions(order)

    def batch(positions):
        x = _read_scaled(positions, read, scale, images)
        return finish(tf.ensure_shape(x, (None, *image_size, 3)), positions)

    # Batches are large: two are ready and two in the making while one is in use, on any machine.
    dataset = (
        dataset.batch(batch_size).map(batch, num_parallel_calls=2, deterministic=True).prefetch(2)
    )
    if shuffle_buffer:
        dataset = _counting_passes(dataset, order)
    # The functions of the pipeline refer to these weakly: they live as long as the dataset.
    dataset.image_cache, dataset.shuffled_order = images, order
    release_with(dataset)
    dataset.data_digest = _digest(index, image_size, batch_size, shuffle_buffer)
    return dataset


def _digest(index, *settings):
    """Tells datasets apart, not the places where their files lie."""
    prefix = len(os.path.commonprefix(index.paths))  # noqa: RUF071 (the drives may differ)
    names = [path[prefix:] for path in index.paths]
    labels = None if index.labels is None else index.labels.tolist()
    content = repr((names, labels, index.class_names, *map(str, settings)))
    return hashlib.sha256(content.encode("utf-8", "surrogateescape")).hexdigest()


def _reader(index, image_size, batch_size, as_bytes):
    """Makes the function from positions in the index to images of `image_size`."""
    paths = tf.constant([os.fsencode(path) for path in index.paths])
    headers = tf.constant(index.headers)
    decoders = index.headers[:, 2]
    # Most folders need one decoder, and then no choice in the graph.
    only = int(decoders[0]) if np.ptp(decoders) == 0 else None
    shape, dtype = (*image_size, 3), "uint8" if as_bytes else "float32"
    # Small images of one size are resized by the batch, which Python's lock hinders less.
    height, width = index.headers[0, :2].tolist()
    by_batch = (index.headers[:, :2] == (height, width)).all() and (
        as_bytes or height * width * batch_size <= _MOST_PIXELS
    )
    decoded_shape = (height, width, 3) if by_batch else shape
    none = np.zeros((0, *decoded_shape), "uint8" if by_batch else "float32")
    slowly = functools.partial(_read_one_by_one, image_size=image_size, as_bytes=as_bytes)

    def resized(images):
        resize = functools.partial(resize_images, image_size=image_size)
        return tf.numpy_function(resize, [images], "float32", stateful=False)

    def read_one(path, header):
        image = decode_image(path, tf.cast(header[2], "int32") if only is None else only)
        image = image if by_batch else resized(image[None])[0]
        return tf.ensure_shape(image, decoded_shape)

    def read(positions):
        files = tf.gather(paths, positions), tf.gather(headers, positions)
        attempt = _map_files(read_one, files, tf.size(positions, "int64"), none, _PARALLEL)
        images = tf.cond(
            tf.size(attempt) > 0,
            lambda: resized(attempt) if by_batch and not as_bytes else attempt,
            lambda: tf.numpy_function(slowly, files, dtype, stateful=False),
        )
        return tf.ensure_shape(images, (None, *shape))

    return read


def _map_files(function, files, count, empty, parallel):
    """Maps a function over files in a graph: what it gives for all, or `empty`, if one fails.

    A dataset is the one place where TensorFlow catches an error; its own would not name the file.

    Args:
        function: Function from the elements of `files` to a tensor.
        files: Tensor, or tuple of tensors, with a row a file.
        count: Scalar int64 tensor, the number of files.
        empty: What a batch of no files would be.
        parallel: Integer, how many files are read at a time.
    """
    results = tf.data.Dataset.from_tensor_slices(files).map(
        function, num_parallel_calls=parallel, deterministic=True
    )
    return (
        results.batch(count, drop_remainder=True)
        .ignore_errors()
        # What follows an error is no batch of these files.
        .concatenate(tf.data.Dataset.from_tensors(empty))
        .take(1)
        .get_single_element()
    )


def _read_one_by_one(paths, headers, image_size, as_bytes):
    """The images of a batch; the first that cannot be read raises an error with its path."""
    images = []
    for path, header in zip(map(os.fsdecode, paths), headers.tolist(), strict=True):
        pixels = np.asarray(read_pixels(path, *header))
        if as_bytes and pixels.shape[:2] != image_size:
            raise ValueError(
                f"The image file {path!r} has another size than when it was indexed: index the "
                "folder again."
            )
        images.append(pixels if as_bytes else resize_image(pixels, image_size))
    return np.stack(images)


def _scale(images):
    """Casts a batch of bytes to float32 in [0, 1]."""

    def scale(images):
        return np.divide(images, np.float32(255), out=empty_batch(images.shape, "float32"))

    return tf.numpy_function(scale, [images], "float32", stateful=False)


def _read_scaled(positions, read, scale, images):
    """Images in [0, 1] from the cache, if there is one and it has them all, else from files."""
    if images is None:
        return scale(read(positions))

    def read_and_keep():
        batch = read(positions)
        with tf.control_dependencies([call_weakly(images.put, [positions, batch], "bool")]):
            return scale(batch)

    kept = call_weakly(images.get, [positions], "float32")
    return tf.cond(tf.size(kept) > 0, lambda: kept, read_and_keep)


def _positions(order):
    return (
        tf.data.Dataset.range(1)
        .flat_map(
            lambda _: tf.data.Dataset.from_tensor_slices(
                tf.ensure_shape(call_weakly(order.positions, [], "int64"), [order.size])
            )
        )
        .apply(tf.data.experimental.assert_cardinality(order.size))
    )


def _counting_passes(dataset, order):
    last = len(dataset) - 1

    def count(step, batch):
        # The epoch ends with the last batch and not after it, as Keras asks for no more; it does
        # not begin with the first, as Keras may look at one before it trains.
        ended = tf.cond(
            step == last,
            lambda: call_weakly(order.end_pass, [], "int64"),
            lambda: tf.constant(0, "int64"),
        )
        with tf.control_dependencies([ended]):
            return tf.nest.map_structure(tf.identity, batch)

    return dataset.enumerate().map(count)


def call_weakly(method, inputs, dtype):
    """Calls a method in the graph of a dataset that may outlive its object."""
    # TensorFlow keeps every Python function that it was given for ever; not so its object.
    method = weakref.WeakMethod(method)

    def call(*arguments):
        alive = method()
        if alive is None:
            raise RuntimeError(
                "A dataset of `kd.datasets` is gone that another one reads from, as in `flat_map`: "
                "keep it in a variable."
            )
        return alive(*arguments)

    return tf.numpy_function(call, inputs, dtype)


def _check_index(index):
    if not isinstance(index, ImageIndex):
        raise ValueError(f"`index` must be an `ImageIndex`; got {type(index).__name__}.")
    if not len(index):
        raise ValueError("`index` must hold at least one image; got none.")
