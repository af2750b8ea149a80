import pathlib
import re

import numpy as np
from keras.utils import save_img

import keras_deepfake as kd

README = pathlib.Path(__file__).parents[1] / "README.md"


def test_workflow_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    faces = kd.datasets.synthetic_faces(40, (32, 32))
    for i, (image, fake) in enumerate(zip(faces.images, faces.labels[:, 0], strict=True)):
        for folder in ("faces/fake" if fake else "faces/real", "more_faces"):
            pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
            save_img(f"{folder}/{i}.png", image, scale=False)
    (workflow,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    names = {}
    exec(workflow, names)
    assert np.isfinite(names["detector"].get_weights()[0]).all()
    assert pathlib.Path("detector.keras").exists()
