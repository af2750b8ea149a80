"""Models from files."""

import keras

from keras_deepfake._arguments import check_path


def load_model(path):
    """Loads a saved model, or says in one way what is wrong with its file.

    `keras.saving.load_model` fails on damaged and foreign files with whatever the unpacking
    raises. Nothing that the file holds is executed.

    Args:
        path: Path of a `.keras` file.

    Returns:
        The Keras model, not compiled.

    Raises:
        ValueError: If there is no such file, or it holds no Keras model that can be loaded.

    Example:
        ```python
        autoencoder = kd.models.ConvAutoencoder(image_shape=(32, 32, 3), filters=(16, 8))
        kd.models.EncoderClassifier.from_autoencoder(autoencoder).save("classifier.keras")
        detector = kd.models.as_detector(kd.models.load_model("classifier.keras"))
        ```
    """
    path = check_path("path", path)
    if not path.is_file():
        raise ValueError(f"`path` must be the file of a model; there is no file {str(path)!r}.")
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        if reason.startswith("File not found"):  # as Keras says of whatever is no archive
            reason = "it is no archive, as `.keras` files are."
        raise ValueError(
            f"`path`={str(path)!r} is not a Keras model that can be loaded: {reason}"
        ) from error
    if not isinstance(model, keras.Model):
        raise ValueError(f"`path`={str(path)!r} holds no model but a {type(model).__name__}.")
    return model
