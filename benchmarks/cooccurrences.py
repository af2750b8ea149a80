"""Images a second of `ResidualCooccurrence` next to the same histograms by NumPy.

The peer is what one would write with `np.diff` and `np.bincount`, image by image; its frequencies
are checked to be the layer's. Both take turns. Without `symmetric`, which merges bins afterwards.
"""

import argparse
import itertools

import keras
import numpy as np
from measuring import speeds_in_turns

import keras_deepfake as kd

ORDERS, STEPS, TRUNCATION = (1, 2), (1, 3), 3
BINS = (2 * TRUNCATION + 1) ** 3
YCBCR = np.array([[19595, 38470, 7471], [-11059, -21709, 32768], [32768, -27439, -5329]], "float32")


def by_numpy(image):
    """The square-rooted frequencies of one image in [0, 1]."""
    planes = np.floor(np.round(image * 255) @ YCBCR.T / 65536 + 0.5).transpose(2, 0, 1)
    height, width = (side // 2 * 2 for side in planes.shape[1:])
    blocks = planes[:, :height, :width].reshape(3, height // 2, 2, width // 2, 2)
    features = []
    for scale, order in itertools.product((planes, blocks.mean(axis=(2, 4))), ORDERS):
        counts = 0
        for turned in (scale, scale.swapaxes(1, 2)):
            residuals = np.round(np.diff(turned, order, axis=2))
            counts = counts + np.stack([histograms(residuals, step) for step in STEPS], axis=1)
        features.append(in_order(counts / counts.sum(axis=-1, keepdims=True)))
    return np.sqrt(np.concatenate(features).ravel())


def histograms(residuals, step):
    """Along the differences and across them in each plane, and of the planes at one place."""
    symbols = np.clip(np.round(residuals / step), -TRUNCATION, TRUNCATION).astype("int64")
    symbols += TRUNCATION
    triples = [
        *((s[:, :-2], s[:, 1:-1], s[:, 2:]) for s in symbols),
        *((s[:-2], s[1:-1], s[2:]) for s in symbols),
        tuple(symbols),
    ]
    base = 2 * TRUNCATION + 1
    return np.stack(
        [np.bincount(((a * base + b) * base + c).ravel(), minlength=BINS) for a, b, c in triples]
    )


def in_order(frequencies):
    """Rows of `(histograms, steps, bins)` as the layer has them: by kind, step and plane."""
    kinds = frequencies[:3], frequencies[3:6], frequencies[6:]
    return np.concatenate([kind.swapaxes(0, 1).reshape(-1, BINS) for kind in kinds])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image-size", type=int, default=256, help="side in pixels")
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    shape = (options.images, options.image_size, options.image_size, 3)
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 6, shape) + np.linspace(40, 200, options.image_size)[:, None]
    images = np.round(noise).clip(0, 255).astype("float32") / 255
    layer = kd.layers.ResidualCooccurrence(ORDERS, STEPS, TRUNCATION, symmetric=False)
    model = keras.Sequential([keras.Input(shape[1:]), layer])
    runs = {
        "ours": lambda: model.predict(images, batch_size=8, verbose=0),
        "numpy": lambda: np.stack([by_numpy(image) for image in images]),
    }
    np.testing.assert_allclose(runs["ours"](), runs["numpy"](), atol=1e-6)
    ours, peer = speeds_in_turns(runs, options.images, options.rounds).values()
    print(
        f"| images a second, {options.image_size} px | ours | `np.bincount` | ratio |\n"
        "|---|---|---|---|\n"
        f"| histograms of triples | {ours:.0f} | {peer:.0f} | {ours / peer:.2f} |"
    )


if __name__ == "__main__":
    main()
