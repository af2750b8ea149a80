"""Draws docs/images/architecture.png: the folders of the package and the way of an image."""

import itertools
import pathlib
import re

import matplotlib.pyplot as plt

import keras_deepfake as kd

ROOT = pathlib.Path(__file__).parents[1]
STEPS = (
    ("datasets", "file, decoded\nto [0, 1]"),
    ("layers", "forensic layer,\nif any"),
    ("models", "encoder: map,\ntokens or vector"),
    ("models", "pooling, head:\nlogits"),
    ("models", "temperature:\nP(fake)"),
    ("models", "threshold:\nfake or real"),
    ("evaluation", "verdict, figures\nwith intervals"),
    ("reports", "page, table"),
)
ARROW = {"arrowstyle": "-|>", "mutation_scale": 14, "linewidth": 1.6, "color": "0.3"}
COLOURS = plt.get_cmap("Pastel1").colors


def folder_imports():
    """Folder: those it imports, as CONTRIBUTING.md draws them."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (drawing,) = re.findall(r"```\nroot\n(.*?)```", text, re.DOTALL)
    rows = (line.partition("→") for line in drawing.splitlines())
    return {name.strip(): set(re.findall(r"\w+", others)) for name, _, others in rows}


def reachable(name, imports):
    return imports[name].union(*(reachable(other, imports) for other in imports[name]))


def draw_box(axis, x, y, title, text=""):
    colour = COLOURS[sum(map(ord, title)) % len(COLOURS)]
    style = {"boxstyle": "round,pad=0.4", "facecolor": colour, "edgecolor": "0.4"}
    label = f"{title}\n\n{text}" if text else title
    return axis.text(
        x, y, label, ha="center", va="center", fontsize=9 if text else 11, bbox=style, zorder=2
    )


def draw_arrow(axis, start, end, bend=0):
    """From the border of one box to that of another."""
    patches = {"patchA": start.get_bbox_patch(), "patchB": end.get_bbox_patch()}
    style = {"shrinkA": 0, "shrinkB": 2, "connectionstyle": f"arc3,rad={bend}"}
    arrow = ARROW | patches | style
    axis.annotate("", end.get_position(), start.get_position(), arrowprops=arrow)


def main():
    imports = folder_imports()
    ranks = {}
    for name, others in imports.items():
        ranks[name] = 1 + max((ranks[other] for other in others), default=-1)
    figure, (above, below) = plt.subplots(
        2, 1, figsize=(12, 6.4), height_ratios=[3, 1.3], layout="constrained"
    )
    places = {}
    for rank in range(max(ranks.values()) + 1):
        names = [name for name in imports if ranks[name] == rank]
        for row, name in enumerate(names):
            places[name] = rank, (len(names) - 1) / 2 - row
    above.set(xlim=(-0.5, max(ranks.values()) + 0.5), ylim=(-1.9, 1.4))
    boxes = {name: draw_box(above, *place, name) for name, place in places.items()}
    for name, others in imports.items():
        implied = set().union(*(reachable(other, imports) for other in others))
        for other in others - implied:
            around = ranks[name] - ranks[other] > 1  # the boxes between
            draw_arrow(above, boxes[other], boxes[name], 0.5 if around else 0)

    face = kd.datasets.synthetic_faces(2, (64, 64), seed=1).images[0]
    below.imshow(face, extent=(-1.35, -0.65, -0.3, 0.3), aspect="auto")
    steps = [draw_box(below, x, 0, title, text) for x, (title, text) in enumerate(STEPS)]
    below.annotate("", (-0.38, 0), (-0.65, 0), arrowprops=ARROW)
    for one, other in itertools.pairwise(steps):
        draw_arrow(below, one, other)
    below.set(xlim=(-1.4, len(STEPS) - 0.5), ylim=(-0.6, 0.6))
    for axis in (above, below):
        axis.axis("off")
    figure.savefig(ROOT / "docs/images/architecture.png", dpi=100)


if __name__ == "__main__":
    main()
