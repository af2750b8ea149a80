"""From photographs to aligned crops of the faces on them."""

from keras_deepfake.faces.face_cropper import Face, FaceCropper
from keras_deepfake.faces.face_crops import FaceCrop, FaceCrops, crop_faces

__all__ = ["Face", "FaceCrop", "FaceCropper", "FaceCrops", "crop_faces"]
