"""What PyTorch sees of every model, and its exporters, ONNX among them, make of every layer."""

import keras
import pytest

from .cases import CASES
from .test_contract import as_model, inputs_of

# Ten seconds and a minute to trace.
SLOW = {"ResidualCooccurrence-default", "ResidualCooccurrence-small"}
LAYERS = [
    case for case in CASES if not issubclass(case.component, keras.Model) and str(case) not in SLOW
]

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


# The other backends have exporters of their own.
if keras.backend.backend() == "torch":
    import torch

    @pytest.mark.parametrize("case", LAYERS, ids=str)
    def test_exports_without_what_onnx_lacks(case):
        inputs = torch.from_numpy(inputs_of(case))
        exported = torch.export.export(as_model(case), (inputs,), {"training": False})
        operators = {str(node.target) for node in exported.graph.nodes}
        # There is no ONNX operator for a squeeze of several axes.
        assert "aten.squeeze.dims" not in operators
