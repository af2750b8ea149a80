import io
import types

import numpy as np
import pytest
from PIL import Image

from keras_deepfake.audit._duplicates import connected_sets, exact_copies, similar_pairs


def pictures(count, seed=0):
    rng = np.random.default_rng(seed)
    coarse = [Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype="uint8")) for _ in range(count)]
    return [image.resize((96, 96), Image.Resampling.BICUBIC) for image in coarse]


def thumbnails(images):
    small = [image.resize((32, 32), Image.Resampling.BILINEAR).convert("L") for image in images]
    return np.stack([np.asarray(image) for image in small])


def pairs(images, **kwargs):
    return {
        pair
        for i, j in similar_pairs(thumbnails(images), **kwargs)
        for pair in zip(i.tolist(), j.tolist(), strict=True)
    }


def saved(image, **options):
    file = io.BytesIO()
    image.save(file, "JPEG", **options)
    return Image.open(file)


@pytest.mark.parametrize(
    "change",
    [
        lambda image: saved(image, quality=90),
        lambda image: saved(image, quality=30),
        lambda image: image.resize((48, 48)),
        lambda image: saved(image.resize((32, 32)), quality=75),
        lambda image: image.resize((200, 150)),
        lambda image: image.convert("L"),
        lambda image: Image.eval(image, lambda level: 20 + level * 7 // 10),
    ],
)
def test_changed_copies_are_found(change):
    originals = pictures(12)
    copies = [change(image) for image in originals]
    assert pairs(originals + copies) == {(i, i + 12) for i in range(12)}


def test_other_pictures_are_not():
    originals = pictures(60)
    mirrored = [image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for image in originals]
    assert pairs(originals + mirrored) == set()


def test_two_files_alone():
    (image,) = pictures(1)
    assert pairs([image, saved(image, quality=50)]) == {(0, 1)}


def test_blocks_do_not_change_the_pairs():
    images = pictures(9)
    images += [saved(image, quality=50) for image in images[::2]]
    assert pairs(images, block_size=4) == pairs(images)


def test_exact_copies_by_bytes_or_pixels():
    files = [(b"a", b"1"), (b"b", b"1"), (b"b", b"2"), (b"c", b"3"), (b"d", b"4"), (b"d", b"4")]
    traits = [types.SimpleNamespace(file_hash=f, pixel_hash=p) for f, p in files]
    sets = exact_copies(traits)
    assert sets[0] == sets[1] == sets[2]
    assert sets[4] == sets[5]
    assert len(set(sets.tolist())) == 3


def test_connected_sets_follow_chains():
    sets = connected_sets([(5, 4), (4, 3), (0, 1), (3, 2)], 7)
    assert len({sets[i] for i in (2, 3, 4, 5)}) == 1
    assert sets[0] == sets[1]
    assert len(set(sets.tolist())) == 3


def test_pictures_that_differ_by_more_than_encoding_are_not():
    # As much alike as tiny copies, but at a contrast at which encoding changes less.
    originals = pictures(24)

    def mixed(share):
        halves = zip(originals[:12], originals[12:], strict=True)
        return [Image.blend(a, b, share) for a, b in halves]

    def faint(images):
        return [Image.eval(image, lambda level: 100 + level // 4) for image in images]

    assert pairs(originals[:12] + mixed(0.24)) == set()
    assert pairs(faint(originals[:12] + mixed(0.2))) == {(i, i + 12) for i in range(12)}
