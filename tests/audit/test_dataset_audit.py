import csv
import dataclasses
import html.parser
import json
import os

import numpy as np
import pytest
from PIL import Image

from keras_deepfake.audit import audit_dataset
from keras_deepfake.datasets import ImageIndex
from tests.audit.small_pictures import SIZE, audit, picture, save, severities, write


def blurred(image):
    small = image.resize((SIZE // 2, SIZE // 2), Image.Resampling.BILINEAR)
    return small.resize((SIZE, SIZE), Image.Resampling.BILINEAR)


def exif():
    exif = Image.Exif()
    exif[271] = "camera"
    return exif


@pytest.mark.parametrize("seed", range(3))
def test_a_clean_set_has_no_error_and_no_warning(tmp_path, seed):
    result = audit(write(tmp_path, seed=seed), seed=seed)
    assert result.ok
    assert severities(result) == {}
    assert result.splits == {"data": {"fake": 40, "real": 40}}
    assert set(result.shortcuts) == {
        "format",
        "image_size",
        "jpeg_quality",
        "chroma_subsampling",
        "file_size",
        "colour_mode",
        "brightness",
        "sharpness",
        "metadata",
    }


@pytest.mark.parametrize(
    ("kind", "planted"),
    [
        ("format", {"suffix": ".png"}),
        ("jpeg_quality", {"quality": 84}),
        ("chroma_subsampling", {"subsampling": "4:4:4"}),
        ("image_size", {"fake": lambda image: image.resize((SIZE + 1, SIZE))}),
        ("colour_mode", {"fake": lambda image: image.convert("L")}),
        ("colour_mode", {"fake": lambda image: image.convert("L").convert("RGB")}),
        ("brightness", {"fake": lambda image: Image.eval(image, lambda level: level * 6 // 10)}),
        ("sharpness", {"fake": blurred}),
        ("metadata", {"exif": exif()}),
        ("metadata", {"comment": b"made by a generator"}),
        ("file_size", {"fake": blurred}),
    ],
)
def test_a_planted_shortcut_is_an_error(tmp_path, kind, planted):
    result = audit(write(tmp_path, **planted))
    assert not result.ok
    found = [finding for finding in result.findings if finding.kind == kind]
    assert [finding.severity for finding in found] == ["error"]
    assert "AUC" in found[0].message
    assert set(found[0].paths) <= {os.fspath(path) for path in tmp_path.rglob("*.*")}
    assert result.shortcuts[kind]["low"] >= 0.7


@pytest.mark.parametrize("planted", [{"subsampling": "4:4:4"}, {"exif": exif()}])
def test_what_the_pixels_do_not_show_is_found_alone(tmp_path, planted):
    # Quality and format of the files stay the same.
    found = severities(audit(write(tmp_path, **planted)))
    assert set(found) <= {"chroma_subsampling", "metadata", "file_size"}


def test_a_shortcut_need_not_be_monotone(tmp_path):
    # Real pictures are of middle brightness, fakes dark or bright.
    rng = np.random.default_rng(0)
    for number in range(60):
        save(picture(rng), tmp_path / f"real/{number}.png")
        shift = (-70, 70)[number % 2]
        image = Image.eval(picture(rng), lambda level, shift=shift: min(max(level + shift, 0), 255))
        save(image, tmp_path / f"fake/{number}.png")
    assert severities(audit(tmp_path))["brightness"] == "error"


def test_a_shortcut_of_one_kind_of_fake_is_found(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(60):
        save(picture(rng), tmp_path / f"real/{number}.jpg")
        kind, suffix = ("swap", "png") if number < 12 else ("gan", "jpg")
        save(picture(rng), tmp_path / f"fake/{kind}/{number}.{suffix}")
    result = audit(tmp_path)
    assert result.shortcuts["format"]["low"] < 0.6
    (finding,) = [finding for finding in result.findings if finding.kind == "format"]
    assert finding.severity == "error"
    assert "'swap'" in finding.message


def test_a_shortcut_of_one_split_is_found(tmp_path):
    write(tmp_path / "train", count=60)
    write(tmp_path / "test", count=10, seed=1, suffix=".png")
    result = audit_dataset(
        {name: ImageIndex.from_directory(tmp_path / name) for name in ("train", "test")}
    )
    assert result.shortcuts["format"]["low"] < 0.6
    (finding,) = [finding for finding in result.findings if finding.kind == "format"]
    assert finding.severity == "error"
    assert "split 'test'" in finding.message


def test_images_of_one_group_are_not_independent(tmp_path):
    # The camera of each person has its own brightness, which has nothing to do with the class.
    rng = np.random.default_rng(1)
    for person in range(24):
        gain = rng.uniform(0.2, 1)
        for number in range(6):
            image = Image.eval(picture(rng), lambda level, gain=gain: int(level * gain))
            save(image, tmp_path / f"{('fake', 'real')[person % 2]}/{person}_{number}.png")
    by_image = audit(tmp_path).shortcuts["brightness"]
    by_group = audit(tmp_path, groups=lambda path: os.path.basename(path).split("_")[0])
    by_group = by_group.shortcuts["brightness"]
    assert by_image["low"] > 0.55 > by_group["low"]
    assert by_group["high"] - by_group["low"] > 1.5 * (by_image["high"] - by_image["low"])


def test_few_groups(tmp_path):
    rng = np.random.default_rng(0)
    for name, suffix, gain in (("fake", "png", 0.3), ("real", "jpg", 1)):
        for number in range(12):
            image = Image.eval(picture(rng), lambda level, gain=gain: int(level * gain))
            save(image, tmp_path / f"{name}/{number % 3}_{number}.{suffix}")
    result = audit(tmp_path, groups=lambda path: os.path.relpath(path, tmp_path).split("_")[0])
    # Three people of a class can differ in brightness by chance, but hardly in their format.
    assert "brightness" not in result.shortcuts
    assert severities(result) == {"format": "error"}
    assert "by image, as there are too few groups" in result.findings[0].message


def test_unreadable_files_are_reported(clean, tmp_path):
    write(tmp_path)
    index = ImageIndex.from_directory(tmp_path)
    broken = tmp_path / "fake/000.jpg"
    broken.write_bytes(broken.read_bytes()[:400])
    (tmp_path / "fake/001.jpg").write_text("no image")
    (tmp_path / "real/002.jpg").unlink()
    result = audit_dataset(index)
    (finding,) = [f for f in result.findings if f.severity == "error"]
    assert finding.kind == "format"
    assert [os.path.basename(path) for path in finding.paths] == ["000.jpg", "001.jpg", "002.jpg"]
    assert "3 files cannot be read" in finding.message


def test_nothing_readable(tmp_path):
    index = ImageIndex.from_directory(write(tmp_path, count=2))
    for path in index.paths:
        os.unlink(path)
    result = audit_dataset(index)
    assert not result.ok
    assert result.shortcuts == {}
    print(result)


def test_classes_of_any_name_and_number_are_compared(tmp_path):
    rng = np.random.default_rng(0)
    # Only the last of three classes differs, and only one kind of the second.
    for number in range(30):
        save(picture(rng), tmp_path / f"cats/{number}.jpg")
        kind, quality = ("old", 60) if number < 12 else ("new", 85)
        save(picture(rng), tmp_path / f"dogs/{kind}/{number}.jpg", quality=quality)
        save(picture(rng), tmp_path / f"Pferde $x$/{number}.png")
    names = ("cats", "dogs", "Pferde $x$")
    result = audit_dataset(ImageIndex.from_directory(tmp_path, class_names=names))
    messages = {finding.kind: finding.message for finding in result.findings}
    assert "tells Pferde $x$ from cats or dogs: AUC 1.00" in messages["format"]
    assert "Pferde $x$: 100% PNG; cats or dogs: 100% JPEG" in messages["format"]
    assert "tells dogs from cats or Pferde $x$ in kind 'old' of dogs" in messages["jpeg_quality"]


def test_a_shortcut_of_one_kind_of_the_second_class_is_found(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(60):
        save(picture(rng), tmp_path / f"fake/{number}.jpg")
        kind, suffix = ("celebrities", "png") if number < 12 else ("street", "jpg")
        save(picture(rng), tmp_path / f"real/{kind}/{number}.{suffix}")
    (finding,) = [finding for finding in audit(tmp_path).findings if finding.kind == "format"]
    assert "tells real from fake in kind 'celebrities' of real" in finding.message


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "F", "transparent palette"]
)
def test_every_colour_mode_is_read(tmp_path, mode):
    rng = np.random.default_rng(0)
    write(tmp_path, count=6)
    index = ImageIndex.from_directory(tmp_path)
    name = {"CMYK": "000.jpg", "F": "000.tif"}.get(mode, "000.png")
    image = picture(rng)
    options = {}
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype("uint16") * 257)
    elif mode == "transparent palette":
        image = image.quantize(16)
        options = {"transparency": bytes(range(16))}
    else:
        image = image.convert(mode)
    path = save(image, tmp_path / "other" / name, **options)
    result = audit_dataset(dataclasses.replace(index, paths=(path, *index.paths[1:])))
    assert all("cannot be read" not in finding.message for finding in result.findings)


class _Tables(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


def test_the_report_survives_hostile_names(tmp_path):
    write(tmp_path, suffix=".png", count=10)
    name = "<script>alert('x')</script>\n\x1b[2J&".replace("/", "\N{DIVISION SLASH}") + ".jpg"
    (tmp_path / f"real/{name}").write_bytes((tmp_path / "real/003.jpg").read_bytes())
    odd = os.fsdecode(os.fsencode(tmp_path / "real") + b"/\xff.jpg")
    with open(odd, "wb") as file:
        file.write((tmp_path / "real/004.jpg").read_bytes())
    result = audit(tmp_path)
    (copies,) = [f for f in result.findings if f.kind == "duplicate"]
    assert odd in copies.paths  # as the file system has it

    page = result.to_html()
    page.encode()
    parsed = _Tables(page)
    assert "script" not in parsed.tags
    assert parsed.tags.count("table") == 2
    assert "<script>" in parsed.text
    assert "\\x1b[2J&" in parsed.text
    shown = str(result)
    shown.encode()
    assert "\x1b" not in shown
    assert "FAILED" in shown
    assert "format" in shown

    loaded = json.loads(result.to_json())
    assert loaded["ok"] is False
    assert loaded["findings"][0].keys() == {"kind", "severity", "message", "paths", "sets"}
    assert loaded["splits"] == result.splits
    assert loaded["shortcuts"]["format"] == result.shortcuts["format"]

    result.save(tmp_path / "audit.csv")
    assert os.fsencode(odd) in (tmp_path / "audit.csv").read_bytes()
    with open(
        tmp_path / "audit.csv", newline="", encoding="utf-8", errors="surrogateescape"
    ) as file:
        rows = list(csv.DictReader(file))
    found = {row["path"]: row["set"] for row in rows if row["kind"] == "duplicate"}
    assert set(found) == set(copies.paths)
    assert [{path for path in found if found[path] == str(i)} for i in (0, 1)] == [
        set(paths) for paths in copies.sets
    ]


def test_the_same_seed_gives_the_same_audit(clean):
    assert audit(clean, seed=3).to_json() == audit(clean, seed=3).to_json()
    assert audit(clean, seed=3).to_json() != audit(clean, seed=4).to_json()


def test_wrong_arguments(clean, tmp_path):
    index = ImageIndex.from_directory(clean)
    for wrong in ([index, "test"], 3, None, "faces", {"train": 3}, [[index]]):
        with pytest.raises(ValueError, match="`index` must be an `ImageIndex`"):
            audit_dataset(wrong)
    for arguments in ({"seed": -1}, {"seed": "x"}, {"verbose": None}):
        with pytest.raises(ValueError, match=f"`{next(iter(arguments))}` must be"):
            audit_dataset(index, **arguments)
    for empty in ({}, []):
        with pytest.raises(ValueError, match="holds no images"):
            audit_dataset(empty)
    reverse = ImageIndex.from_directory(clean, class_names=("real", "fake"))
    with pytest.raises(ValueError, match="class_names"):
        audit_dataset({"train": index, "test": reverse})
