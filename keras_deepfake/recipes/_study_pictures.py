"""The pictures of the study, as files and as sections of its page."""

import keras
import numpy as np

from keras_deepfake.datasets import load_image, reconstruction_dataset
from keras_deepfake.explanation import grad_cam
from keras_deepfake.visualization import (
    plot_images,
    plot_input_target,
    plot_overlays,
    plot_predictions,
    plot_reconstructions,
    plot_training_curves,
    save_figure,
)

NUM_SHOWN = 8
_MEASURES = ("loss", "accuracy", "precision", "recall")


class StudyPictures:
    """Draws the pictures of a run, each saved at once and kept for the page.

    Args:
        folder: Path of the folder to save them in.
        image_size: Integer, side of the images in pixels.
    """

    def __init__(self, folder, image_size):
        self.folder = folder
        self.image_size = (image_size, image_size)
        self.sections = []

    def draw_data(self, part):
        """The look at the data before anything is trained."""
        images, labels = self._sample(part)
        low, high = (round(255 * float(value)) for value in (images.min(), images.max()))
        self._add(
            "data",
            plot_images(images, titles=[part.class_names[label] for label in labels]),
            f"Training images as they come from the folder: values from {low} to {high}, which "
            "are scaled to [0, 1].",
        )
        inputs, targets = next(iter(reconstruction_dataset(part, self.image_size, NUM_SHOWN)))
        self._add(
            "input_target",
            plot_input_target(inputs, targets),
            "What the autoencoder is given, above what it shall return.",
        )

    def draw_curves(self, histories):
        """The curves of every stage."""
        for stage, history in histories.items():
            measures = [name for name in _MEASURES if name in history]
            self._add(f"{stage}_curves", plot_training_curves(history, measures))

    def draw_reconstructions(self, autoencoder, part):
        """Test images through the autoencoder."""
        images, _ = self._sample(part)
        self._add(
            "reconstructions",
            plot_reconstructions(images, autoencoder.predict(images, verbose=0)),
            "Test images, their reconstructions, and where the two differ.",
        )

    def draw_verdicts(self, detector, part):
        """Test images with the probabilities and what speaks for them."""
        images, labels = self._sample(part)
        names, fake = detector.class_names, detector.fake_index
        scores = detector.scores(images)[:, None]
        self._add(
            "predictions",
            plot_predictions(
                images,
                np.where(np.arange(2) == fake, scores, 1 - scores),
                names,
                labels,
                threshold=detector.threshold,
                fake_class=names[fake],
            ),
            "Test images with the detector's probabilities; the mark at the bar is its threshold.",
        )
        self._add(
            "explanations",
            plot_overlays(
                images,
                grad_cam(detector, images),
                titles=[names[label] for label in labels],
                label="Speaks for fake",
            ),
            "What in these images speaks for fake (HiResCAM, last encoder block).",
        )

    def draw_network(self, model, verbose):
        """The layers of a model, where graphviz is installed."""
        try:
            keras.utils.plot_model(
                model, self.folder / "model.png", show_shapes=True, expand_nested=True
            )
        except ImportError as error:
            if verbose:
                print(f"No picture of the network: {error}")

    def _sample(self, part):
        """A few images of each class, with their labels."""
        positions = np.concatenate(
            [np.flatnonzero(part.labels == label)[: NUM_SHOWN // 2] for label in (0, 1)]
        )
        images = np.stack([load_image(part.paths[i], self.image_size) for i in positions])
        return images, part.labels[positions]

    def _add(self, name, figure, *caption):
        save_figure(figure, self.folder / f"{name}.png")
        self.sections.append((name.replace("_", " ").capitalize(), figure, *caption))
