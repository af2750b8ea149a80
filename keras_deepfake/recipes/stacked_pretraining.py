"""Greedy layer-wise denoising pretraining of an autoencoder's encoder."""

import keras
from keras import ops

from keras_deepfake._arguments import check_integer, check_keras
from keras_deepfake.layers import ConvTransposeBlock, MaskingNoise
from keras_deepfake.models.conv_autoencoder import ConvAutoencoder
from keras_deepfake.models.model_copy import copy_model
from keras_deepfake.models.training_data import checked_fit_arguments


def pretrain_stacked(
    autoencoder,
    dataset,
    epochs=10,
    validation_data=None,
    corruption=None,
    optimizer="adam",
    callbacks=None,
    **fit_arguments,
):
    """Trains the encoder of an autoencoder block by block, each as a denoising autoencoder.

    Block k learns to code what the finished blocks below it make of an image, h(k−1), so that a
    linear decoder of its own restores it from a corrupted copy: it minimises the mean of
    (h(k−1) − ĥ(k−1))². The blocks below stay as they are, batch statistics included. The
    decoders of the stages are dropped, and the trained blocks are in place in
    `autoencoder.encoder`, ready for `EncoderClassifier.from_autoencoder`. The autoencoder's own
    decoder, whose blocks have other shapes, is not trained: for reconstructions `fit` the
    autoencoder afterwards, which trains both together.

    A block without trainable weights keeps its weights and has no stage. Trainable flags do not
    change.

    Args:
        autoencoder: A `ConvAutoencoder`.
        dataset: What `fit` takes for the autoencoder, such as a `reconstruction_dataset`, or a
            NumPy array of images in [0, 1].
        epochs: Integer, epochs of every stage.
        validation_data: As `dataset`, or `None`. It is not corrupted.
        corruption: A Keras layer that corrupts h(k−1) while training; `None` takes that of the
            autoencoder where it has one, else `MaskingNoise(0.25)`. The noise must suit
            features of any scale.
        optimizer: A Keras optimizer or its name. Every stage starts with a fresh one.
        callbacks: `None`, or a function from the position of the block to the list of callbacks
            of its stage.
        **fit_arguments: Other arguments of `fit`, such as `batch_size` and `verbose`.

    Returns:
        A list with the `History` of each stage, from the image inwards.

    Raises:
        ValueError: If an argument does not fit the description, the encoder is frozen as a whole,
            or the first batch has pixels that are not finite. Pixels outside [0, 1] only warn.
        FloatingPointError: At the first loss or weight of a stage that is not finite.

    Example:
    ```python
    autoencoder = kd.models.ConvAutoencoder(image_shape=(16, 16, 3), filters=(8, 4))
    images = np.random.default_rng(0).random((8, 16, 16, 3), "float32")
    histories = kd.recipes.pretrain_stacked(autoencoder, images, epochs=1, verbose=0)
    len(histories)  # 2
    ```

    Reference:
        Xing, Ma and Yang, "Stacked Denoise Autoencoder Based Feature Extraction and
        Classification for Hyperspectral Images", 2016; the linear decoder for real values is
        that of Vincent et al., "Stacked Denoising Autoencoders", JMLR 2010, section 2.2.
    """
    if not isinstance(autoencoder, ConvAutoencoder):
        raise ValueError(f"`autoencoder` must be a `ConvAutoencoder`; got {autoencoder!r}.")
    epochs = check_integer("epochs", epochs, 1)
    if corruption is not None and not isinstance(corruption, keras.layers.Layer):
        raise ValueError(f"`corruption` must be a Keras layer or None; got {corruption!r}.")
    optimizer = check_keras(
        "optimizer", optimizer, _optimizer, "a Keras optimizer or the name of one"
    )
    if callbacks is not None and not callable(callbacks):
        raise ValueError(
            "`callbacks` must be None or a function from the position of a block to a list, as "
            f"every stage needs callbacks of its own; got {callbacks!r}."
        )
    blocks = [
        layer
        for layer in autoencoder.encoder.layers
        if not isinstance(layer, keras.layers.InputLayer)
    ]
    if not autoencoder.encoder.trainable_variables:
        raise ValueError(
            "`autoencoder.encoder` is frozen; set `autoencoder.encoder.trainable = True`."
        )
    if corruption is None:
        corruption = autoencoder.corruption or MaskingNoise(
            0.25, data_format=autoencoder.data_format
        )
    if validation_data is not None:
        fit_arguments["validation_data"] = _pairs("validation_data", validation_data)

    pairs = _pairs("dataset", dataset)

    histories = []
    for position, block in enumerate(blocks):
        if not block.trainable_variables:
            continue
        stage, trained = _stage(autoencoder, block, corruption)
        stage.compile(optimizer=_fresh(optimizer), loss=_mean_square)
        x, y = pairs if isinstance(pairs, tuple) else (pairs, None)
        arguments = {
            "x": x,
            "y": y,
            "epochs": epochs,
            "callbacks": None if callbacks is None else callbacks(position),
            **fit_arguments,
        }
        history = stage.fit(**checked_fit_arguments(stage, arguments))
        block.set_weights(trained.get_weights())
        histories.append(history)
    return histories


def _stage(autoencoder, block, corruption):
    """Builds the model from images to the error of one block's own autoencoder.

    It works on copies, so that nothing of the autoencoder is frozen or left in another graph.

    Returns:
        The model, and in it the copy of the block.
    """
    policy = autoencoder.dtype_policy
    images = keras.Input(autoencoder.encoder.input_shape[1:])
    code = images
    if block is not autoencoder.encoder.layers[1]:
        below = copy_model(keras.Model(autoencoder.encoder.inputs, block.input))
        below.trainable = False
        code = below(images, training=False)
    trained = copy_model(keras.Model(block.input, block.output))
    # The configuration of a block holds its own flag only.
    for layer, copied in zip(
        block._flatten_layers(), trained.layers[1]._flatten_layers(), strict=True
    ):
        copied.trainable = layer.trainable
    corrupt = type(corruption).from_config(
        {**corruption.get_config(), "dtype": keras.dtype_policies.serialize(policy)}
    )
    decoder = ConvTransposeBlock(
        code.shape[1 if autoencoder.data_format == "channels_first" else -1],
        autoencoder.kernel_size,
        activation=None,
        data_format=autoencoder.data_format,
        dtype=policy,
    )
    restored = decoder(trained(corrupt(code)))
    error = keras.layers.Subtract(dtype=policy)([code, restored])
    stage = keras.Model(images, error, name=f"{block.name}_stage")
    # Keras scales the loss under mixed_float16 by the policy of the model.
    stage.dtype_policy = policy
    return stage, trained


def _mean_square(_, error):
    return ops.mean(ops.square(error), axis=(1, 2, 3))


# What can be gone through, and is neither batches nor a pair of arrays.
_NO_BATCHES = (str, bytes, dict, list, set)


def _optimizer(identifier):
    optimizer = keras.optimizers.get(identifier)
    if optimizer is None:
        raise ValueError
    return optimizer


def _fresh(optimizer):
    return type(optimizer).from_config(optimizer.get_config())


def _pairs(name, images):
    """Pairs of an array with itself; what is no array is pairs already."""
    if len(getattr(images, "shape", ())) == 4:
        return images, images
    is_pairs = hasattr(images, "__iter__") or isinstance(images, keras.utils.PyDataset)
    if not is_pairs or hasattr(images, "shape") or isinstance(images, _NO_BATCHES):
        raise ValueError(
            f"`{name}` must be an array of shape (images, height, width, channels), or batches of "
            f"pairs such as those of `kd.datasets.reconstruction_dataset`; got {images!r}."
        )
    return images
