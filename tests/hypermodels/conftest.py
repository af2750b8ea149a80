import keras
import pytest
import tensorflow as tf


@pytest.fixture(autouse=True)
def eager_tensorflow():
    """Steps without tracing: every trial is a new model, whose graph costs far more than it."""
    tf.config.run_functions_eagerly(keras.backend.backend() == "tensorflow")
    yield
    tf.config.run_functions_eagerly(False)
