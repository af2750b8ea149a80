"""Pictures of data, trainings, verdicts and their reasons, drawn with Matplotlib.

Every function returns the figure, draws on given axes, and needs no display.
"""

from keras_deepfake.visualization.detection_curves import (
    plot_confusion_matrix,
    plot_precision_recall,
    plot_reliability,
    plot_roc,
    plot_score_histogram,
)
from keras_deepfake.visualization.figure_files import save_figure
from keras_deepfake.visualization.images import (
    plot_images,
    plot_input_target,
    plot_predictions,
    plot_reconstructions,
)
from keras_deepfake.visualization.overlays import plot_overlays
from keras_deepfake.visualization.photographs import plot_photograph
from keras_deepfake.visualization.robustness import plot_robustness
from keras_deepfake.visualization.search import plot_search
from keras_deepfake.visualization.training_curves import plot_training_curves

__all__ = [
    "plot_confusion_matrix",
    "plot_images",
    "plot_input_target",
    "plot_overlays",
    "plot_photograph",
    "plot_precision_recall",
    "plot_predictions",
    "plot_reconstructions",
    "plot_reliability",
    "plot_robustness",
    "plot_roc",
    "plot_score_histogram",
    "plot_search",
    "plot_training_curves",
    "save_figure",
]
