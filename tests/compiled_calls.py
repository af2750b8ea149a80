"""Layers called as a training calls them: one operation at a time takes JAX ten times as long."""

import keras


def compiled(layer, **arguments):
    """The call of a layer with these arguments; on JAX a compiled one, for shapes used once."""
    if keras.backend.backend() != "jax":
        return lambda inputs: layer(inputs, **arguments)
    import jax

    function = jax.jit(lambda *values: layer.stateless_call(*values, **arguments))

    def call(inputs):
        if not layer.built:
            layer.build(inputs.shape)
        state = [
            [variable.value for variable in variables]
            for variables in (layer.trainable_variables, layer.non_trainable_variables)
        ]
        outputs, changed = function(*state, inputs)
        for variable, value in zip(layer.non_trainable_variables, changed, strict=True):
            variable.assign(value)
        return outputs

    return call
