"""Whether an artifact says what the detector says."""

import itertools

import numpy as np

from keras_deepfake.layers import ResidualCooccurrence
from keras_deepfake.models.image_batches import image_batches, image_layout

# How far a probability of the artifact may be from the detector's, and how far one must be from
# where the verdict changes for the verdict to count.
TOLERANCE, ROUNDING = 1e-4, 1e-5
BATCHES = (1, 8)
# Of the verdicts on the images that 8 bits are compared on, how many may be others.
MOST_CHANGED = 0.1
# Of images for a detector of any size, and of one that is large enough for several threads.
ANY_SIZE, LARGE = (128, 128), (480, 640)
# Of images that look like no others: there logits are large.
_LEVELS = (0, 118, 235)


def check_agreement(detector, run, format):
    """How the artifact agrees with the detector, or what it got wrong."""
    height, width = detector.image_size or ANY_SIZE
    channels, _ = image_layout(detector.input_shape)
    sizes = [(height, width)] * 2
    # What is not RGB is not resized by a detector.
    if channels == 3 or detector.image_size is None:
        sizes[1] = (height * 3 // 2 + 1, width * 4 // 3 + 1)
    batches = list(zip(BATCHES, sizes, strict=True))
    if detector.image_size is None:
        batches.append((1, LARGE))
    largest = 0.0
    for count, size in batches:
        images = _test_images(count, size, channels)
        expected = detector.scores(images)
        outputs = run(images)
        if outputs.shape != (count, 2) or outputs.dtype != "float32":
            raise ValueError(
                f"The {format} artifact gives {outputs.dtype} of shape {outputs.shape} for "
                f"{count} images, not float32 of shape {(count, 2)}; it was not kept."
            )
        fake = outputs[:, detector.fake_index]
        difference = max(abs(fake - expected).max(), abs(outputs.sum(axis=1) - 1).max())
        # NaN fails the comparison.
        if not difference <= TOLERANCE:
            raise ValueError(
                f"The {format} artifact gives other probabilities than detector "
                f"{detector.name!r}, by up to {difference:.2g} for {count} images of size {size}, "
                f"and was not kept. At most {TOLERANCE:g} is rounding.{_hint(detector)}"
            )
        bounds = (detector.threshold, *(detector.conformal_bounds or ()))
        is_clear = np.min([abs(expected - bound) for bound in bounds], axis=0) > ROUNDING
        if (detector.verdicts_of(fake) != detector.verdicts_of(expected))[is_clear].any():
            raise ValueError(
                f"The {format} artifact gives other verdicts than detector {detector.name!r} and "
                "was not kept."
            )
        largest = max(largest, float(difference))
    return {"batches": [count for count, _ in batches], "largest_difference": largest}


def _hint(detector):
    layers = detector._flatten_layers()
    if detector.image_size is None or not any(isinstance(x, ResidualCooccurrence) for x in layers):
        return ""
    return (
        " `ResidualCooccurrence` rounds pixels, so that the last digit of resizing may move its "
        "counts: leave `image_size` out, and give images at the size they were made at."
    )


def raw_batches(detector, images):
    """Yield images as an artifact takes them, uint8 of their own sizes, after the first is read."""
    channels, channels_first = image_layout(detector.input_shape)
    sides = (None, None)
    shape = (None, channels, *sides) if channels_first else (None, *sides, channels)
    batches = image_batches(images, shape, batch_size=max(BATCHES))
    first = next(batches, None)
    if first is None:
        raise ValueError("`comparison_images` must hold at least one image; got none.")
    first.check_read()

    def raw():
        for batch in itertools.chain([first], batches):
            batch.check_read()
            pixels = np.moveaxis(batch.pixels, 1, -1) if channels_first else batch.pixels
            yield np.round(pixels * 255).astype("uint8")

    return raw()


def check_rounded(detector, run, batches):
    """How an artifact of 8 bits agrees with the detector on these raw images, if it does."""
    expected, fake = [], []
    for images in batches:
        expected.append(detector.scores(images))
        fake.append(run(images)[:, detector.fake_index])
    expected, fake = np.concatenate(expected), np.concatenate(fake)
    changed = np.mean(detector.verdicts_of(fake) != detector.verdicts_of(expected))
    if changed > MOST_CHANGED:
        raise ValueError(
            f"In 8 bits detector {detector.name!r} gives another verdict on {changed:.0%} of "
            f"`comparison_images`, and was not kept; at most {MOST_CHANGED:.0%} may change. "
            "Export it as format='litert'."
        )
    return {
        "images": len(expected),
        "largest_difference": float(abs(fake - expected).max()),
        "mean_difference": float(abs(fake - expected).mean()),
        "changed_verdicts": float(changed),
    }


def _test_images(count, size, channels):
    """Coarse noise with fine noise on it; the last of several are dark, grey and bright."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 236, (count, 4, 4, channels), "uint8")
    if count > len(_LEVELS):
        coarse[-len(_LEVELS) :] = np.reshape(_LEVELS, (-1, 1, 1, 1))
    rows, columns = (np.arange(side) * 4 // side for side in size)
    fine = random.integers(0, 20, (count, *size, channels), "uint8")
    return coarse[:, rows][:, :, columns] + fine
