"""Latent against residual of one autoencoder.

One autoencoder is trained on the real faces of the training part. Classifiers on its latent, on
its residual and on both are trained on the training part, each to its epoch of the lowest
validation loss. All are judged on the same test part, with 95 %
bootstrap intervals.

DATA holds the folders fake/ and real/. Images are cropped at their centre, not resized: resizing
erases what a residual shows.
"""

import argparse
import re

import keras
import numpy as np

import keras_deepfake as kd


def load(index, side):
    """Centre crops, and one-hot labels."""
    crops = []
    for path in index.paths:
        image = kd.datasets.load_image(path)
        top, left = ((length - side) // 2 for length in image.shape[:2])
        crops.append(image[top : top + side, left : left + side])
    return np.stack(crops), keras.utils.to_categorical(index.labels, 2)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", metavar="DATA", help="folder with fake/ and real/")
    parser.add_argument(
        "--group-pattern", type=re.compile, metavar="REGEX", help="as in forensic_layers.py"
    )
    parser.add_argument("--side", type=int, default=96, help="of the crops, in pixels")
    parser.add_argument("--filters", type=int, nargs="+", default=(16, 16))
    parser.add_argument("--epochs", type=int, default=30, help="of a classifier at most")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    index = kd.datasets.ImageIndex.from_directory(arguments.data, groups=arguments.group_pattern)
    parts = index.split((0.5, 0.2, 0.3), seed=arguments.seed)
    (x, y), (x_val, y_val), test = (load(part, arguments.side) for part in parts)
    reals, reals_val = x[y[:, 1] == 1], x_val[y_val[:, 1] == 1]
    print(
        f"{len(x)} training, {len(x_val)} validation, {len(test[0])} test images, half of them "
        f"fake; {arguments.side} pixels, seed {arguments.seed}, {keras.backend.backend()}"
    )

    keras.utils.set_random_seed(arguments.seed)
    side = arguments.side
    autoencoder = kd.models.ConvAutoencoder((side, side, 3), arguments.filters)
    autoencoder.compile()
    autoencoder.fit(reals, reals, epochs=arguments.epochs, batch_size=16, verbose=0)
    error = np.sqrt(autoencoder.reconstruction_error(reals_val).mean())
    print(f"root mean square error of the reconstruction of validation reals: {error:.4f}")

    reports = {}
    for features in ("latent", "residual", "both"):
        keras.utils.set_random_seed(arguments.seed)
        detector = kd.models.EncoderClassifier.from_autoencoder(
            autoencoder, features=features, pooling="avg"
        )
        detector.compile()
        best = keras.callbacks.EarlyStopping(patience=10, restore_best_weights=True)
        detector.fit(
            x,
            y,
            validation_data=(x_val, y_val),
            epochs=arguments.epochs,
            callbacks=[best],
            verbose=0,
        )
        reports[f"{features}, epoch {best.best_epoch + 1}"] = kd.evaluation.evaluate_detector(
            detector, test, groups=parts[2].groups
        )

    latent = next(iter(reports.values()))
    print("| features | AUC | 95 % interval | less that of the latent |")
    print("|---|---|---|---|")
    for name, report in reports.items():
        low, high = report.intervals["auc"]
        difference = report.compare(latent)
        below, above = difference.intervals["auc"]
        print(
            f"| {name} | {report.metrics['auc']:.3f} | {low:.3f} to {high:.3f} "
            f"| {difference.differences['auc']:+.3f} ({below:+.3f} to {above:+.3f}) |"
        )


if __name__ == "__main__":
    main()
