"""Distance of feature vectors from those of a set, in units of the set's spread."""

import keras
import numpy as np
from keras import ops

# Features that are functions of one another would leave nothing to invert; with this the scores of
# float32 stay the same on every backend.
SMALLEST_SHRINKAGE = 1e-4


@keras.saving.register_keras_serializable(package="keras_deepfake")
class MahalanobisDistance(keras.layers.Layer):
    """Squared Mahalanobis distance of feature vectors from the mean of those it adapted to.

    `(x - mean) @ inverse(covariance) @ (x - mean)`. `adapt` divides each feature by its standard
    deviation and estimates the covariance with the shrinkage of Ledoit and Wolf, so that it can
    be inverted however few vectors there are. A feature that is the same in all vectors is left
    out. Before `adapt` the layer gives the squared length of a vector.

    Args:
        **kwargs: Base layer arguments such as `name` and `dtype`. The distance is computed in
            float32 under every dtype policy and then cast to its compute dtype.

    Input shape:
        `(batch, features)`.

    Output shape:
        `(batch, 1)`: squared distances.

    Example:
        ```python
        vectors = np.random.default_rng(0).normal(size=(200, 4)).astype("float32")
        layer = kd.layers.MahalanobisDistance()
        layer.adapt(vectors)
        layer(vectors[:3])  # shape (3, 1); the mean over all vectors is about 4
        ```

    Reference:
        Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance
        matrices", 2004, section 3.2.
    """

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.input_spec = keras.layers.InputSpec(ndim=2)

    def build(self, input_shape):
        statistics = {"dtype": "float32", "trainable": False, "autocast": False}
        size = input_shape[-1]
        self.mean = self.add_weight(name="mean", shape=(size,), initializer="zeros", **statistics)
        self.whitening = self.add_weight(
            name="whitening", shape=(size, size), initializer="identity", **statistics
        )

    def adapt(self, data):
        """Measures mean and covariance.

        Args:
            data: Feature vectors, an array of shape `(vectors, features)`, or an iterable of
                batches such as a `tf.data.Dataset`.

        Raises:
            ValueError: If there are fewer than two vectors, or one is not finite.
        """
        batches = [data] if hasattr(data, "shape") else list(data)
        batches = [ops.convert_to_numpy(batch).astype("float64") for batch in batches]
        vectors = np.concatenate(batches) if batches else np.zeros((0, 0))
        if vectors.ndim != 2 or len(vectors) < 2:
            raise ValueError(
                "`data` must hold two or more feature vectors, in shape (vectors, features); got "
                f"shape {vectors.shape}."
            )
        if not np.isfinite(vectors).all():
            places = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
            raise ValueError(
                f"`data` must be finite; {len(places)} of its {len(vectors)} vectors are not, "
                f"the first at place {places[0]}."
            )
        if not self.built:
            self.build(vectors.shape)

        mean, deviation = vectors.mean(axis=0), vectors.std(axis=0)
        # Equal values may differ from their mean by rounding.
        varies = deviation > 1e-7 * np.abs(mean)
        standard = (vectors - mean)[:, varies] / deviation[varies]
        whitening = np.zeros((len(mean), len(mean)))
        factor = np.linalg.cholesky(_shrunk_covariance(standard))
        whitening[np.ix_(varies, varies)] = np.linalg.solve(factor, np.diag(1 / deviation[varies]))
        self.mean.assign(mean)
        self.whitening.assign(whitening)

    def call(self, inputs):
        centred = ops.cast(inputs, "float32") - self.mean
        white = ops.matmul(centred, ops.transpose(self.whitening))
        distance = ops.sum(ops.square(white), axis=-1, keepdims=True)
        return ops.cast(distance, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], 1)


def _shrunk_covariance(standard):
    """Covariance of standardised vectors, drawn towards the identity."""
    count, size = standard.shape
    covariance = standard.T @ standard / count
    dispersion = np.sum((covariance - np.eye(size)) ** 2)
    error = (np.mean(np.sum(standard**2, axis=1) ** 2) - np.sum(covariance**2)) / count
    shrinkage = np.clip(error / dispersion, SMALLEST_SHRINKAGE, 1) if dispersion > 0 else 1.0
    return (1 - shrinkage) * covariance + shrinkage * np.eye(size)
