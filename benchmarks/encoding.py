"""Images a second of the encoding for a solved head next to a bare `encoder.predict`.

Both take the same float32 images of an array, and are run by turns. What is encoded is checked to
be the same.
"""

import argparse

import keras
import numpy as np
from measuring import speeds_in_turns

import keras_deepfake as kd
from keras_deepfake.models._encoding import encode


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image-size", type=int, default=128, help="side in pixels")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    shape = (options.image_size, options.image_size, 3)
    encoder = keras.Sequential(
        [
            keras.Input(shape),
            *(kd.layers.ConvBlock(filters) for filters in (32, 64, 64)),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )
    images = np.random.default_rng(0).random((options.images, *shape), "float32")
    labels = np.arange(options.images) % 2
    runs = {
        "ours": lambda: encode(encoder, (images, labels), batch_size=options.batch_size)[0],
        "predict": lambda: encoder.predict(images, options.batch_size, verbose=0),
    }
    np.testing.assert_allclose(runs["ours"](), runs["predict"](), atol=1e-5)
    ours, peer = speeds_in_turns(runs, options.images, options.rounds).values()
    print(
        f"| images a second, {options.image_size} px | ours | `encoder.predict` | ratio |\n"
        "|---|---|---|---|\n"
        f"| encoding for a solved head | {ours:.0f} | {peer:.0f} | {ours / peer:.2f} |"
    )


if __name__ == "__main__":
    main()
