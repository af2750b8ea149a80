"""What an artifact says of images, without Keras."""

import numpy as np

from keras_deepfake.export._served_model import INPUT, OUTPUT


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
