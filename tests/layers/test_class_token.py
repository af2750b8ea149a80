import keras
import numpy as np
import pytest
from keras import ops

import keras_deepfake as kd


def test_is_the_first_token():
    tokens = np.random.default_rng(0).normal(size=(3, 5, 4)).astype("float32")
    np.testing.assert_array_equal(
        ops.convert_to_numpy(kd.layers.ClassToken()(tokens)), tokens[:, 0]
    )


def test_unknown_number_of_tokens():
    model = keras.Sequential([keras.Input((None, 4)), kd.layers.ClassToken()])
    assert model.output_shape == (None, 4)


@pytest.mark.parametrize("shape", [(2, 4), (2, 3, 3, 4)])
def test_other_inputs_are_refused(shape):
    with pytest.raises(ValueError, match="expected ndim=3"):
        kd.layers.ClassToken()(np.zeros(shape, "float32"))
