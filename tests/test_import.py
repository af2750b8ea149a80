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
