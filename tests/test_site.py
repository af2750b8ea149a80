"""The pages of the documentation are complete, and their code runs."""

import pathlib
import re

import keras
import pytest

import keras_deepfake as kd

ROOT = pathlib.Path(__file__).parents[1]
NAV = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").split("\nnav:\n")[1]


def test_every_page_is_in_the_navigation():
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in ROOT.glob("docs/**/*.md")}
    # `make benchmark` writes that page.
    assert set(re.findall(r"[\w/-]+\.md", NAV)) == pages | {"benchmarks.md"}


def test_every_folder_of_the_package_has_a_page_of_the_reference():
    folders = {name for name in kd.__all__ if name.islower()}
    assert {path.stem for path in ROOT.glob("docs/reference/*.md")} == folders
    for folder in folders:
        text = (ROOT / "docs" / "reference" / f"{folder}.md").read_text(encoding="utf-8")
        assert f"::: keras_deepfake.{folder}\n" in text


@pytest.mark.parametrize("path", sorted(ROOT.glob("docs/*.md")), ids=lambda path: path.stem)
def test_lists_are_seen_as_lists(path):
    """Without an empty line above, the site runs the items of a list together."""
    text = re.sub(r"```.*?```", "```", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert not re.findall(r"^(?![#\s]|[-*] |\d+\. ).+\n[-*] .*", text, re.MULTILINE)


@pytest.mark.parametrize("page", ["index", "limits", "own-component"])
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if page == "index":
        faces = kd.datasets.synthetic_faces(80, (32, 32))
        for i, (image, fake) in enumerate(zip(faces.images, faces.labels[:, 0], strict=True)):
            folder = pathlib.Path("faces", "fake" if fake else "real")
            folder.mkdir(parents=True, exist_ok=True)
            keras.utils.save_img(folder / f"{i}.png", image, scale=False)
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    names = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(block, names)
    assert names.get("detector") is not None or page == "limits"
