"""Draws docs/images/forensic-layers.png: what forensic layers see on a real and a fake face."""

import pathlib

import keras
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import keras_deepfake as kd
from keras_deepfake import layers

SIZE = 128


def channel(layer, images, index):
    outputs = keras.ops.convert_to_numpy(layer(images))
    return outputs[..., index]


def main():
    keras.utils.set_random_seed(0)
    faces = kd.datasets.synthetic_faces(2, (SIZE, SIZE), artifacts="blurred_face", seed=1)
    rows = np.argsort(faces.labels[:, 0])  # real first
    images = faces.images[rows].astype("float32") / 255
    ycbcr = keras.ops.convert_to_numpy(layers.RGBToYCbCr()(images))

    dct = keras.ops.convert_to_numpy(layers.BlockDCT()(ycbcr[..., :1]))
    cooccurrence = layers.ResidualCooccurrence(
        orders=(1,), steps=(1,), symmetric=False, cross_channel=False, half_scale=False
    )
    triples = keras.ops.convert_to_numpy(cooccurrence(images))[:, :343].reshape(-1, 7, 7, 7)
    views = [
        ("Image", images, {}),
        (
            "SRMResidual\n(KB of luma)",
            channel(layers.SRMResidual(clip=None), ycbcr, 0),
            {"vmax": 8},
        ),
        ("ConstrainedConv2D\n(untrained)", channel(layers.ConstrainedConv2D(1), images, 0), {}),
        (
            "NeighboringPixelResidual\n(luma)",
            channel(layers.NeighboringPixelResidual(), ycbcr, 0),
            {"vmax": 0.03},
        ),
        ("BlockDCT (mean of\nhigh frequencies)", dct[..., 32:].mean(axis=-1), {"cmap": "magma"}),
        (
            "ResidualCooccurrence\n(two neighbours in Y)",
            np.sqrt((triples**2).sum(axis=3)),
            {"cmap": "magma"},
        ),
    ]
    figure, axes = plt.subplots(
        2, 7, figsize=(14, 4.4), layout="constrained", width_ratios=[1] * 6 + [1.5]
    )
    for column, (title, maps, style) in enumerate(views):
        if column and "cmap" not in style:
            limit = style.get("vmax", np.quantile(np.abs(maps), 0.99))
            style = {"cmap": "gray", "vmin": -limit, "vmax": limit}
        elif column:
            style = {**style, "vmin": maps.min(), "vmax": maps.max()}
        for row, name in enumerate(("real", "fake")):
            axis = axes[row, column]
            axis.imshow(maps[row], interpolation="nearest", **style)
            axis.set(xticks=[], yticks=[])
            if row == 0:
                axis.set_title(title, fontsize=9)
            if column == 0:
                axis.set_ylabel(name)
    axes[1, 5].set_xlabel("difference -3 ... 3", fontsize=8)

    grid = axes[0, 6].get_gridspec()
    for axis in axes[:, 6]:
        axis.remove()
    axis = figure.add_subplot(grid[:, 6])
    curves = keras.ops.convert_to_numpy(layers.AzimuthalSpectrum()(images))
    for curve, name in zip(curves, ("real", "fake"), strict=True):
        axis.plot(curve, label=name)
    axis.set_title("AzimuthalSpectrum", fontsize=9)
    axis.set_xlabel("radius (cycles per image)", fontsize=8)
    axis.legend()
    path = pathlib.Path(__file__).parents[1] / "docs/images/forensic-layers.png"
    figure.savefig(path, dpi=80)
    # 256 colours: noise does not compress otherwise.
    Image.open(path).convert("RGB").quantize(256).save(path, optimize=True)


if __name__ == "__main__":
    main()
