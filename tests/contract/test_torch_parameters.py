"""Every variable of a model is a variable of its own, to PyTorch too."""

import keras
import pytest

from .cases import CASES

MODELS = [case for case in CASES if issubclass(case.component, keras.Model)]


@pytest.mark.parametrize("case", MODELS, ids=str)
def test_no_two_variables_collide(case):
    model = case.make()
    paths = [variable.path for variable in model.variables]
    assert len(set(paths)) == len(paths)
    # Keras gives PyTorch its parameters by path, and PyTorch clears the gradients of these only.
    if keras.backend.backend() == "torch":
        parameters = {id(parameter) for parameter in model.parameters()}
        assert parameters == {id(variable.value) for variable in model.variables}
