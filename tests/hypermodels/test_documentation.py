import pathlib
import re

import keras

import keras_deepfake as kd

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "hyperparameter-search.md"
# The same code on less.
SMALLER = {
    "max_trials=30": "max_trials=1",
    "epochs=10": "epochs=1",
    "pretraining_epochs=5": "pretraining_epochs=1",
    "64, 64": "16, 16",
    "8, 32, step=8": "2, 4",
}


def test_every_block_of_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    faces = kd.datasets.synthetic_faces(48, (32, 32), seed=0)
    for i, (image, label) in enumerate(zip(faces.images, faces.labels, strict=True)):
        folder = tmp_path / "faces" / ("fake" if label[0] else "real")
        folder.mkdir(parents=True, exist_ok=True)
        keras.utils.save_img(folder / f"{i}.png", image, scale=False)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 4
    namespace = {}
    for block in blocks:
        for text, smaller in SMALLER.items():
            block = block.replace(text, smaller)
        exec(block, namespace)
    assert namespace["results"].rows[0]["state"] == "COMPLETED"
