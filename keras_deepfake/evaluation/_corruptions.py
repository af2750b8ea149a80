"""What happens to images on their way: compression, blur, resizing, noise, crop, light.

Every function takes and returns 8-bit images `(height, width, channels)` of 1 or 3 channels, as
files hold them.
"""

import io

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from keras_deepfake._pillow_images import open_image


def jpeg(image, quality):
    """Encode as JPEG with 4:2:0 chroma subsampling, and decode."""
    file = io.BytesIO()
    _to_pillow(image).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    with open_image(file) as decoded:
        return np.asarray(decoded).reshape(image.shape)


def blur(image, sigma):
    """Blur by a Gaussian of standard deviation `sigma` pixels, cut off at four of them.

    Beyond its borders the image goes on mirrored.
    """
    return _to_uint8(gaussian_filter(image.astype("float32"), (sigma, sigma, 0)))


def resize(image, factor):
    """Resize both sides by `factor`, and back to the original size, bicubically."""
    height, width = image.shape[:2]
    size = max(1, round(width * factor)), max(1, round(height * factor))
    there = _to_pillow(image).resize(size, Image.Resampling.BICUBIC)
    back = there.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(back).reshape(image.shape)


def noise(image, sigma, rng):
    """Add Gaussian noise of standard deviation `sigma` grey levels to every value."""
    return _to_uint8(image + sigma * rng.standard_normal(image.shape))


def crop(image, fraction):
    """Cut `fraction` off the width and the height, evenly on both sides, and resize back."""
    height, width = image.shape[:2]
    x, y = fraction * width / 2, fraction * height / 2
    cropped = _to_pillow(image).resize(
        (width, height), Image.Resampling.BICUBIC, box=(x, y, width - x, height - y)
    )
    return np.asarray(cropped).reshape(image.shape)


def brightness(image, change):
    """Multiply all values by `1 + change`."""
    return _to_uint8(image * (1 + change))


def _to_pillow(image):
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def _to_uint8(image):
    return np.clip(np.rint(image), 0, 255).astype("uint8")
