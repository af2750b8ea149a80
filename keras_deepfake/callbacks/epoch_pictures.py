"""The callback that shows what a model makes of the same images, epoch after epoch."""

import warnings

import keras

from keras_deepfake._arguments import check_path


class EpochPictures(keras.callbacks.Callback):
    """Writes a picture of fixed images before the first epoch and after each.

    The pictures are named by the number of finished epochs: `epoch-0000.png` is the model as
    the training finds it. As that one is drawn before the first epoch, a mistake in `draw`, in
    the images or in the folder stops `fit` before the long work. If a later picture fails, the
    training goes on with a warning.

    Args:
        directory: Folder of the pictures. It is made if need be.
        images: What `draw` gets, such as a batch of the validation images as an array.
        draw: Function `(model, images) -> figure`, called with the model in training. It must
            return a Matplotlib figure, as all functions of `keras_deepfake.visualization` do.

    Raises:
        ValueError: If an argument is of another kind.
        Exception: what `draw` or the writing of its picture raises before the first epoch.

    Example:
    ```python
    def draw(model, images):
        return kd.visualization.plot_reconstructions(images, model(images))

    autoencoder = kd.models.ConvAutoencoder(image_shape=(32, 32, 3), filters=(8, 4))
    autoencoder.compile()
    images = np.random.default_rng(0).random((8, 32, 32, 3), "float32")
    pictures = kd.callbacks.EpochPictures("pictures", images[:4], draw)
    autoencoder.fit(images, images, verbose=0, callbacks=[pictures])
    ```

    For a detector, draw its explanations:

    ```python
    def draw(model, images):
        return kd.visualization.plot_overlays(images, kd.explanation.grad_cam(model, images))
    ```
    """

    def __init__(self, directory, images, draw):
        super().__init__()
        self.directory = check_path("directory", directory)
        if images is None or not callable(draw):
            raise ValueError(
                "`images` must be what `draw` is called with, and `draw` a function "
                f"`(model, images) -> figure`; got {type(images).__name__} and {draw!r}."
            )
        self.images = images
        self.draw = draw

    def on_train_begin(self, logs=None):
        self._begun = False

    def on_epoch_begin(self, epoch, logs=None):
        # Only here is the first epoch known, which a resumed training has moved.
        if not self._begun:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._write(epoch)
            self._begun = True

    def on_epoch_end(self, epoch, logs=None):
        try:
            self._write(epoch + 1)
        except Exception as error:  # `draw` is the caller's, and may fail in any way
            warnings.warn(
                f"The picture after epoch {epoch + 1} was not written to "
                f"{str(self.directory)!r}: {error!r}. The training goes on.",
                stacklevel=2,
            )

    def _write(self, finished):
        # Not before: it loads Matplotlib.
        from keras_deepfake.visualization import save_figure

        figure = self.draw(self.model, self.images)
        save_figure(figure, self.directory / f"epoch-{finished:04d}.png")
