"""How well each forensic layer separates fake from real faces under a linear classifier.

Every image is scored once, by a logistic regression that saw neither it nor any image of its
group: K outer folds, and the strength of the L2 penalty is chosen on a validation part of the
training folds. Features are centred and divided by their deviation in the training folds;
co-occurrences are only centred. The interval is that of 1000 bootstrap samples of the groups.
Needs scikit-learn (the extra `search`).

DATA holds the folders fake/ and real/, read recursively, with images of one size. Nothing is
resized.
"""

import argparse
import re
import time

import keras
import numpy as np
from keras import ops
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import keras_deepfake as kd
from keras_deepfake import layers

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


def moments(*stack):
    """A stack of layers from images to the moments of the last one's map."""
    return keras.Sequential([keras.Input((None, None, 3)), *stack, layers.MomentPooling()])


def srm_histograms(images):
    """Square roots of the frequencies of 13 levels."""
    levels = ops.round(2 * layers.SRMResidual()(layers.RGBToYCbCr()(images)))
    frequencies = [
        ops.mean(ops.cast(ops.equal(levels, level), "float32"), axis=(1, 2))
        for level in range(-6, 7)
    ]
    return ops.sqrt(ops.concatenate(frequencies, axis=-1))


def grey_dct(images):
    luma = layers.RGBToYCbCr()(images)[..., :1]
    return layers.MomentPooling()(layers.BlockDCT()(luma))


def shifted_dct(images):
    planes = layers.RGBToYCbCr()(images)
    shifted = keras.layers.Cropping2D(((4, 0), (4, 0)))(planes)
    grids = [layers.MomentPooling()(layers.BlockDCT()(grid)) for grid in (planes, shifted)]
    return keras.layers.Concatenate()(grids)


def cooccurrences(**arguments):
    """Scaled so that the penalties below suit them."""
    return keras.Sequential([layers.ResidualCooccurrence(**arguments), keras.layers.Rescaling(100)])


# The AUC that NumPy implementations of the same features had on other images of the same kind as
# stylegan_faces (training on 700 a class), where one was measured.
FEATURES = {
    "azimuthal spectrum": (lambda: layers.AzimuthalSpectrum(), 0.61),
    "neighbouring pixels, moments": (
        lambda: moments(layers.RGBToYCbCr(), layers.NeighboringPixelResidual()),
        0.60,
    ),
    "constrained convolution, untrained, moments": (
        lambda: moments(
            layers.ConstrainedConv2D(
                12, kernel_initializer=keras.initializers.RandomUniform(0, 1, seed=0)
            )
        ),
        None,
    ),
    "SRM, moments": (lambda: moments(layers.RGBToYCbCr(), layers.SRMResidual()), None),
    "SRM, histograms": (lambda: srm_histograms, 0.66),
    "block DCT of grey, moments": (lambda: grey_dct, 0.69),
    "block DCT of Y, Cb, Cr on two grids, moments": (lambda: shifted_dct, 0.78),
    "co-occurrences, full scale, no cross-channel": (
        lambda: cooccurrences(cross_channel=False, half_scale=False),
        0.87,
    ),
    "co-occurrences": (cooccurrences, 0.895),
}


def extract(layer, dataset, image_shape):
    """Features of all images, and images a second."""
    inputs = keras.Input(image_shape)
    model = keras.Model(inputs, layer(inputs))
    model.predict_on_batch(next(iter(dataset))[0].numpy())
    features, seconds = [], 0.0
    for images, _ in dataset:
        images = images.numpy()
        start = time.perf_counter()
        features.append(model.predict_on_batch(images))
        seconds += time.perf_counter() - start
    features = np.concatenate(features)
    return features, len(features) / seconds


def out_of_fold_scores(features, fake, groups, scaler, folds, seed):
    scores = np.zeros(len(fake))
    outer = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for train, test in outer.split(features, fake, groups):
        inner = StratifiedGroupKFold(folds - 1, shuffle=True, random_state=seed)
        validation = next(inner.split(features[train], fake[train], groups[train]))
        search = GridSearchCV(
            make_pipeline(scaler, LogisticRegression(max_iter=200, tol=1e-3)),
            {"logisticregression__C": PENALTIES},
            scoring="roc_auc",
            cv=[validation],
        ).fit(features[train], fake[train])
        scores[test] = search.decision_function(features[test])
    return scores


def interval(fake, scores, groups, seed, samples=1000):
    random = np.random.default_rng(seed)
    _, groups = np.unique(groups, return_inverse=True)
    members = np.split(np.argsort(groups, kind="stable"), np.cumsum(np.bincount(groups))[:-1])
    aucs = []
    for _ in range(samples):
        drawn = random.integers(0, len(members), len(members))
        chosen = np.concatenate([members[group] for group in drawn])
        aucs.append(roc_auc_score(fake[chosen], scores[chosen]))
    return np.percentile(aucs, [2.5, 97.5])


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", metavar="DATA", help="folder with fake/ and real/")
    parser.add_argument(
        "--group-pattern",
        type=re.compile,
        metavar="REGEX",
        help="its first match in a file name is the image's group, such as 'p[0-9]+' for a "
        "person; without it every image is a group of its own",
    )
    parser.add_argument("--folds", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--only", metavar="TEXT", default="", help="features whose name has TEXT")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    index = kd.datasets.ImageIndex.from_directory(arguments.data, groups=arguments.group_pattern)
    fake = index.labels == index.class_names.index("fake")
    groups = np.asarray(index.groups or index.paths)
    image_shape = kd.datasets.load_image(index.paths[0]).shape
    dataset = kd.datasets.classification_dataset(
        index, image_size=image_shape[:2], batch_size=arguments.batch_size
    )
    print(
        f"{fake.sum()} fake, {(~fake).sum()} real, {len(set(groups))} groups, "
        f"{arguments.folds} folds, seed {arguments.seed}, {keras.backend.backend()}"
    )
    print("| features | length | images/s | AUC | 95 % interval | NumPy, other images |")
    print("|---|---|---|---|---|---|", flush=True)
    for name, (make, reference) in FEATURES.items():
        if arguments.only not in name:
            continue
        features, speed = extract(make(), dataset, image_shape)
        scaler = StandardScaler(with_std="co-occurrences" not in name)
        scores = out_of_fold_scores(features, fake, groups, scaler, arguments.folds, arguments.seed)
        low, high = interval(fake, scores, groups, arguments.seed)
        print(
            f"| {name} | {features.shape[1]} | {speed:.0f} | {roc_auc_score(fake, scores):.3f} "
            f"| {low:.3f} to {high:.3f} | {reference or '-'} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
