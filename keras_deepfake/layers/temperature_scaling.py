"""Temperature scaling of a trained classifier's probabilities."""

import keras
from keras import ops

# Keeps logarithms finite. The second is half a step of float32 below 1: no probability that
# float32 can tell from 1 is above it.
SMALLEST, SMALLEST_REST = 1e-30, 3e-8


@keras.saving.register_keras_serializable(package="keras_deepfake")
class TemperatureScaling(keras.layers.Layer):
    """Makes probabilities less confident (temperature above 1) or more (below 1).

    `softmax(log(p) / temperature)` for a softmax, and `sigmoid(logit(p) / temperature)` for
    each probability of a sigmoid: what dividing the logits does, for models that end in
    probabilities. It changes no ranking and no verdict at 0.5. It is computed in float32 under
    every dtype policy. `kd.evaluation.calibrate` fits the temperature.

    Args:
        temperature: Positive float; 1 changes nothing.
        activation: `"softmax"` for columns that sum to 1, `"sigmoid"` for independent
            probabilities.
        **kwargs: Base layer arguments such as `name` and `dtype`.

    Input shape:
        `(batch, classes)`, probabilities in [0, 1].

    Output shape:
        That of the input: float32 probabilities.

    Raises:
        ValueError: If `temperature` is not positive or `activation` is another.

    Example:
        ```python
        layer = kd.layers.TemperatureScaling(2.0)
        layer(np.array([[0.9, 0.1], [0.5, 0.5]], "float32"))  # [[0.75, 0.25], [0.5, 0.5]]
        ```

    Reference:
        Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2.
    """

    def __init__(self, temperature=1.0, activation="softmax", **kwargs):
        # Inputs would be rounded to the compute dtype of a mixed policy before `call`.
        super().__init__(autocast=False, **kwargs)
        if not 0 < temperature < float("inf"):
            raise ValueError(
                f"`temperature` must be positive and finite; got temperature={temperature}."
            )
        if activation not in ("softmax", "sigmoid"):
            raise ValueError(
                f"`activation` must be 'softmax' or 'sigmoid'; got activation={activation!r}."
            )
        self.temperature = temperature
        self.activation = activation
        self.built = True

    def call(self, inputs):
        probabilities = ops.cast(inputs, "float32")
        logits = ops.log(ops.maximum(probabilities, SMALLEST))
        if self.activation == "softmax":
            return ops.softmax(logits / self.temperature)
        logits -= ops.log(ops.maximum(1 - probabilities, SMALLEST_REST))
        return ops.sigmoid(logits / self.temperature)

    def compute_output_shape(self, input_shape):
        return input_shape

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs.shape, dtype="float32")

    def get_config(self):
        config = super().get_config()
        config.update(temperature=self.temperature, activation=self.activation)
        return config
