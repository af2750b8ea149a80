import os
import subprocess
import sys

CHECK = """
import sys
import keras
before = set(sys.modules)
import keras_deepfake as kd
heavy = {"tensorflow", "keras_tuner", "matplotlib", "PIL"} & (set(sys.modules) - before)
assert not heavy, heavy
assert kd.datasets.__name__ == "keras_deepfake.datasets"
assert "datasets" in dir(kd)
"""


def test_import_loads_no_heavy_package():
    subprocess.run([sys.executable, "-c", CHECK], check=True)


LIGHT = """
import sys
import keras
before = set(sys.modules)
import keras_deepfake.callbacks
heavy = {"tensorflow", "matplotlib", "PIL"} & (set(sys.modules) - before)
assert not heavy, heavy
"""


def test_callbacks_load_neither_tensorflow_nor_matplotlib():
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    subprocess.run([sys.executable, "-c", LIGHT], check=True, env=environment)
