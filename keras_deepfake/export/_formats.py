"""The formats: how the served model is written to each, and what then runs it."""

import contextlib
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np

from keras_deepfake.export._served_model import INPUT, OUTPUT

# The first whose ScatterElements adds up is 16.
OPSET = 18
# Of a side, where JAX must know that slices of it are not empty.
LEAST_SIDE = 16


def write_saved_model(model, path, any_size=True):
    """Writes the folder of a TensorFlow SavedModel, by TensorFlow or by JAX."""
    options = {}
    if keras.backend.backend() == "jax":
        sides = [f"{side} >= {LEAST_SIDE}" for side in "ab"] if any_size else []
        options = {"with_gradient": False, "polymorphic_constraints": sides}
        options = {"jax2tf_kwargs": options}
    model.export(path, format="tf_saved_model", verbose=False, **options)


def write_litert(model, path, int8=False):
    """Writes a LiteRT file of builtin operators: others need a runtime with TensorFlow inside.

    With `int8` kernels have 8 bits, and what they are multiplied with is rounded to 8 bits while
    the model runs. Resizing and log-odds keep their precision, which a graph of whole numbers
    alone would lose.
    """
    import tensorflow as tf

    model.export(
        path,
        format="litert",
        verbose=False,
        target_spec={"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]},
        optimizations=[tf.lite.Optimize.DEFAULT] if int8 else [],
    )


def write_onnx(model, path):
    """Writes an ONNX file."""
    import onnx
    import tensorflow as tf
    import tf2onnx

    (images,) = model.inputs
    signature = [tf.TensorSpec(images.shape, images.dtype, INPUT)]
    function = tf.function(lambda images: model(images), input_signature=signature)
    with _inlined():
        concrete = function.get_concrete_function()
    proto, _ = tf2onnx.convert.from_function(
        function,
        signature,
        opset=OPSET,
        custom_op_handlers={
            "UnsortedSegmentSum": (_segment_sum, []),
            "Erfc": (_complementary_error, []),
            "Sigmoid": (_sigmoid, []),
        },
    )
    # Tensors that layers hold beside their weights come out as inputs.
    values = concrete.captured_inputs
    held = {held.name: value for held, value in zip(concrete.inputs[1:], values, strict=True)}
    for given in list(proto.graph.input):
        if given.name != INPUT:
            value = onnx.numpy_helper.from_array(held[given.name].numpy(), given.name)
            proto.graph.initializer.append(value)
            proto.graph.input.remove(given)
    onnx.save(proto, path)


@contextlib.contextmanager
def _inlined():
    """What is traced meanwhile holds no functions, as Keras compiles grouped convolutions by."""
    import tensorflow as tf

    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


def _put_instead(graph, node, operator, inputs, **attributes):
    """Puts a node of ONNX in the place of one of TensorFlow."""
    kept = {"outputs": node.output, "shapes": node.output_shapes, "dtypes": node.output_dtypes}
    graph.remove_node(node.name)
    graph.make_node(operator, inputs, attr=attributes, **kept)


def _complementary_error(graph, node, name, arguments):
    """1 - erf(x), which ONNX has no operator for."""
    one = graph.make_const(f"{name}_one", np.ones((), "float32")).output[0]
    error = graph.make_node("Erf", [node.input[0]]).output[0]
    _put_instead(graph, node, "Sub", [one, error])


def _sigmoid(graph, node, name, arguments):
    """1 / (1 + exp(-x)), where probabilities may be meant.

    The Sigmoid of onnxruntime is off by 1e-7, and 0 from -18 downwards: of a small probability
    that is much, and the log-odds of a detector tell.
    """
    if graph.get_rank(node.input[0]) != 2:
        return  # an activation of maps or tokens, which the operator of this name computes faster
    one = graph.make_const(f"{name}_one", np.ones((), "float32")).output[0]
    negative = graph.make_node("Neg", [node.input[0]]).output[0]
    power = graph.make_node("Exp", [negative]).output[0]
    total = graph.make_node("Add", [one, power]).output[0]
    _put_instead(graph, node, "Div", [one, total])


def _segment_sum(graph, node, name, arguments):
    """Adds to zeros at the places of the segments.

    What tf2onnx has for it holds segments times the size of the largest: gigabytes for a
    histogram of the pixels of a few images. And threads of onnxruntime's ScatterND lose what they
    add to one place at once, which its ScatterElements, of one thread, does not.
    """
    from onnx import TensorProto

    def make(operator, inputs, **attributes):
        return graph.make_node(operator, inputs, attr=attributes).output[0]

    def constant(values):
        return graph.make_const(
            f"{name}_{len(graph.get_nodes())}", np.array(list(values), "int64")
        ).output[0]

    data, segments, count = node.input
    count = make("Cast", [count], to=TensorProto.INT64)
    rest = make("Slice", [make("Shape", [data]), constant([1]), constant([1000])])
    shape = make("Concat", [make("Unsqueeze", [count, constant([0])]), rest], axis=0)
    kind = make("Cast", [constant([0])], to=graph.get_dtype(data))
    # A place for each number: those of a row are the same.
    places = make("Cast", [segments], to=TensorProto.INT64)
    if (rank := graph.get_rank(data)) > 1:
        places = make("Unsqueeze", [places, constant(range(1, rank))])
        places = make("Expand", [places, make("Shape", [data])])
    zeros = make("Expand", [kind, shape])
    inputs = [zeros, places, data]
    _put_instead(graph, node, "ScatterElements", inputs, axis=0, reduction="add")


def onnx_runtime(path):
    """The function of images that an ONNX file holds."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda images: session.run([OUTPUT], {INPUT: images})[0]


def litert_runtime(path):
    """The function of images that a LiteRT file holds."""
    from ai_edge_litert.interpreter import Interpreter

    run = Interpreter(model_path=str(path)).get_signature_runner()
    return lambda images: run(**{INPUT: images})[OUTPUT]


def saved_model_runtime(path):
    """The function of images that a SavedModel holds."""
    import tensorflow as tf

    model = tf.saved_model.load(str(path))
    return lambda images: np.asarray(model.serve(images)[OUTPUT])


class Format(NamedTuple):
    """What a format needs.

    Attributes:
        suffix: That its paths must have; "" for a folder.
        backends: Those of Keras that can write it.
        packages: What must be installed beyond the package itself.
        runtime: Function from the path of an artifact to the function of images that it holds.
    """

    suffix: str
    backends: tuple
    packages: tuple
    runtime: Callable


FORMATS = {
    "onnx": Format(".onnx", ("tensorflow",), ("tf2onnx", "onnxruntime"), onnx_runtime),
    "litert": Format(".tflite", ("tensorflow",), ("ai_edge_litert",), litert_runtime),
    "litert_int8": Format(".tflite", ("tensorflow",), ("ai_edge_litert",), litert_runtime),
    "saved_model": Format("", ("tensorflow", "jax"), (), saved_model_runtime),
}
