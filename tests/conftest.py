import gc
import importlib.util
import os
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
# Without it TensorFlow convolves no images of channels first on CPUs that lack AVX-512.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# Tests compile far longer than they compute.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# The older emitters compile a small program in a third of the time.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false")
# Without these torch compiles ten trials to find vector instructions, and starts processes for it.
os.environ.setdefault("TORCHINDUCTOR_VEC_ISA_OK", "0")
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
# Torch's threads wait for each other by turning; with one it takes half the time.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# What one test has compiled, the others load: also in other workers and in started processes.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    compiled = tempfile.TemporaryDirectory()
    os.environ["JAX_COMPILATION_CACHE_DIR"] = compiled.name
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

import keras
import pytest

# NumPy, Pillow, KerasTuner's engine and tf.data compute the same whatever backend trains the
# model, so that what uses nothing else is tested once; so are the examples, scripts and those of
# the documentation, whose components all have tests of their own.
collect_ignore = []
if keras.backend.backend() != "tensorflow":
    collect_ignore += [
        "audit",
        "callbacks/test_epoch_pictures.py",
        "callbacks/test_resume_file.py",
        "commands",
        "benchmarks",
        "contract/test_documentation.py",
        "datasets/test_class_folders.py",
        "datasets/test_image_cache.py",
        "datasets/test_image_files.py",
        "datasets/test_image_index.py",
        "datasets/test_image_streams.py",
        "datasets/test_scanning.py",
        "datasets/test_splitting.py",
        "datasets/test_synthesis.py",
        "datasets/test_tables.py",
        "evaluation",
        "examples",
        "export/test_detector_export.py",
        "export/test_eight_bits.py",
        "export/test_onnx.py",
        "faces",
        "hypermodels/test_documentation.py",
        "hypermodels/test_local_workers.py",
        "hypermodels/test_searches.py",
        "layers/test_arguments.py",
        "recipes/test_detector_training.py",
        "recipes/test_fine_tuned_members.py",
        "recipes/test_guide.py",
        "recipes/test_network_encoders.py",
        "recipes/test_run_folders.py",
        "recipes/test_splits.py",
        "recipes/test_study.py",
        "recipes/test_study_settings.py",
        "recipes/test_tables.py",
        "reports",
        "robustness",
        "test_architecture.py",
        "test_conformal.py",
        "test_locks.py",
        "test_readme.py",
        "test_results.py",
        "test_site.py",
        "test_text.py",
        "visualization",
    ]
else:
    import tensorflow as tf

    # Tracing a function takes longer than running it a few times: tests/contract and what tests
    # tracing use `in_graphs`.
    tf.config.run_functions_eagerly(True)
    # What TensorFlow exports has a module of its own.
    collect_ignore += ["export/test_backends.py"]
# `make test` installs KerasHub; it is too large for the extra `test`.
if importlib.util.find_spec("keras_hub") is None:
    collect_ignore += ["models/test_hub_encoders.py"]
# Ray brings 500 MB, and only an example uses it.
if importlib.util.find_spec("ray") is None:
    collect_ignore += ["examples/test_score_at_scale.py"]


def pytest_collection_modifyitems(config, items):
    """Single tests of which the same is true: those marked `once` are for TensorFlow."""
    if keras.backend.backend() != "tensorflow":
        config.hook.pytest_deselected(
            items=[item for item in items if item.get_closest_marker("once")]
        )
        items[:] = [item for item in items if not item.get_closest_marker("once")]


def pytest_collection_finish():
    """What the imports made stays, so that the collections below need not walk through it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def fresh_state():
    """Every test starts from the same seed and leaves no global Keras setting behind."""
    policy = keras.config.dtype_policy()
    data_format = keras.config.image_data_format()
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy(policy)
    keras.config.set_image_data_format(data_format)
    # Collecting the garbage of each of two thousand tests would take as long as they do.
    keras.backend.clear_session(free_memory=False)


@pytest.fixture(autouse=True, scope="module")
def free_memory():
    yield
    gc.collect()


@pytest.fixture
def in_graphs():
    """Functions are traced, for what might work one operation after the other alone."""
    if keras.backend.backend() != "tensorflow":
        yield
        return
    tf.config.run_functions_eagerly(False)
    yield
    tf.config.run_functions_eagerly(True)


@pytest.fixture
def pages_without_pictures(monkeypatch):
    """For what is said of other things than pages: drawing their figures takes longest."""
    monkeypatch.setattr("keras_deepfake.reports.html_page._image", lambda figure, heading: ("", 0))
