"""Image indexes, `tf.data` pipelines over them, and synthetic faces."""

from keras_deepfake.datasets.class_folders import find_class_folders
from keras_deepfake.datasets.image_datasets import (
    classification_dataset,
    reconstruction_dataset,
    set_epoch,
)
from keras_deepfake.datasets.image_files import load_image
from keras_deepfake.datasets.image_index import ImageIndex
from keras_deepfake.datasets.synthesis import synthetic_faces

__all__ = [
    "ImageIndex",
    "classification_dataset",
    "find_class_folders",
    "load_image",
    "reconstruction_dataset",
    "set_epoch",
    "synthetic_faces",
]
