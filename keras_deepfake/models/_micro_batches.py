"""A training step that computes its batch in parts, for the memory of one part.

The loss of a batch is the mean over its images plus penalties that are the same for every part.
Its gradient is thus the mean of the parts' gradients, each weighted by its number of images.
"""

import keras


def check_loss(loss):
    """Raise for a loss whose gradient over a batch is not the mean of those over its parts."""
    for part in keras.tree.flatten(loss):
        reduction = getattr(part, "reduction", "sum_over_batch_size")
        if reduction not in ("sum_over_batch_size", "mean"):
            raise ValueError(
                "`micro_batch_size` needs a loss that is the mean over the images of a batch; "
                f"{part.name!r} has `reduction={reduction!r}`. Use "
                '`reduction="sum_over_batch_size"`, or leave out `micro_batch_size`.'
            )


def check_layers(model):
    """Raise for layers that compute with statistics of the batch that they see."""
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable:
            raise ValueError(
                f"`micro_batch_size` does not go with the batch normalization {layer.path!r}, "
                "which would normalize by the statistics of a part of the batch. Freeze it, use "
                '`normalization="layer"`, or compile without `micro_batch_size`.'
            )


def micro_batched_step(model, size, *arguments):
    """Do what `model.train_step(*arguments)` does, on at most `size` images at a time.

    Args:
        model: A compiled Keras model whose `check_loss` and `check_layers` pass.
        size: Integer.
        *arguments: Of `train_step` on the backend.

    Returns:
        What `train_step` returns on the backend.
    """
    step = {"tensorflow": _tensorflow_step, "jax": _jax_step, "torch": _torch_step}
    return step[keras.backend.backend()](model, size, *arguments)


def _tensorflow_step(model, size, data):
    import tensorflow as tf

    weights = model.trainable_weights
    replicas = model.distribute_strategy.num_replicas_in_sync
    leaves = [leaf for leaf in tf.nest.flatten(data) if leaf is not None]
    count = tf.shape(leaves[0])[0]

    def add(part, sums):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(part)
        num_images = tf.shape(keras.tree.flatten(x)[0])[0]
        with tf.GradientTape() as tape:
            y_pred = model(x, training=True)
            loss = model.compute_loss(x, y, y_pred, sample_weight, training=True)
            share = tf.cast(num_images / count, loss.dtype)
            scaled = model.optimizer.scale_loss(loss) * share
        # Under a strategy the loss is a share of that of all replicas.
        _track_loss(model, loss * tf.cast(replicas, loss.dtype), num_images)
        gradients = tape.gradient(scaled, weights, unconnected_gradients="zero")
        model.compute_metrics(x, y, y_pred, sample_weight)
        return [total + gradient for total, gradient in zip(sums, gradients, strict=True)]

    def take(start, sizes):
        # XLA needs to know how many images a part has: no slice up to a computed end.
        def slice_of(leaf):
            rest = tf.shape(leaf)[1:]
            return tf.slice(leaf, tf.concat([[start], 0 * rest], 0), tf.concat([[sizes], rest], 0))

        parts = [tf.ensure_shape(slice_of(leaf), (None, *leaf.shape[1:])) for leaf in leaves]
        found = iter(parts)
        return tf.nest.map_structure(lambda leaf: None if leaf is None else next(found), data)

    sums = [tf.zeros(weight.shape, weight.dtype) for weight in weights]
    whole = count // size
    _, sums = tf.while_loop(
        lambda i, sums: i < whole,
        lambda i, sums: (i + 1, add(take(i * size, size), sums)),
        (0, sums),
        parallel_iterations=1,  # or several parts would be in memory at once
    )
    rest = count - whole * size
    sums = tf.cond(rest > 0, lambda: add(take(whole * size, rest), sums), lambda: sums)
    model.optimizer.apply_gradients(zip(sums, weights, strict=True))
    return model.get_metrics_result()


def _jax_step(model, size, state, data):
    import jax

    trainable, non_trainable, optimizer, metrics = state
    gradient_of = jax.value_and_grad(model.compute_loss_and_updates, has_aux=True)
    count = jax.tree.leaves(data)[0].shape[0]

    def add(carry, part):
        sums, non_trainable, metrics = carry
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(part)
        num_images = jax.tree.leaves(x)[0].shape[0]
        (_, (loss, y_pred, non_trainable, metrics)), gradients = gradient_of(
            trainable,
            non_trainable,
            metrics,
            x,
            y,
            sample_weight,
            training=True,
            optimizer_variables=optimizer,
        )
        with keras.StatelessScope(
            list(zip(model.metrics_variables, metrics, strict=True))
        ) as scope:
            _track_loss(model, loss, num_images)
            model.compute_metrics(x, y, y_pred, sample_weight)
        metrics = [scope.get_current_value(variable) for variable in model.metrics_variables]
        sums = [
            total + gradient * (num_images / count)
            for total, gradient in zip(sums, gradients, strict=True)
        ]
        return (sums, non_trainable, metrics), None

    whole = count // size
    carry = ([0 * weight for weight in trainable], non_trainable, metrics)
    if whole:
        # Every `whole`-th image, so that each part is spread over the devices as the batch is.
        parts = jax.tree.map(
            lambda leaf: leaf[: whole * size].reshape(size, whole, *leaf.shape[1:]).swapaxes(0, 1),
            data,
        )
        carry, _ = jax.lax.scan(add, carry, parts)
    if whole * size < count:
        carry, _ = add(carry, jax.tree.map(lambda leaf: leaf[whole * size :], data))
    sums, non_trainable, metrics = carry
    trainable, optimizer = model.optimizer.stateless_apply(optimizer, sums, trainable)
    with keras.StatelessScope(list(zip(model.metrics_variables, metrics, strict=True))):
        logs = model.get_metrics_result()
    return logs, (trainable, non_trainable, optimizer, metrics)


def _torch_step(model, size, data):
    import torch

    count = len(keras.tree.flatten(data)[0])
    model.zero_grad()
    for start in range(0, count, size):
        part = keras.tree.map_structure(
            lambda leaf, i=start: None if leaf is None else leaf[i : i + size], data
        )
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(part)
        num_images = len(keras.tree.flatten(x)[0])
        y_pred = model(x, training=True)
        loss = model.compute_loss(x, y, y_pred, sample_weight, training=True)
        (model.optimizer.scale_loss(loss) * (num_images / count)).backward()
        with torch.no_grad():
            _track_loss(model, loss, num_images)
            model.compute_metrics(x, y, y_pred, sample_weight)
    weights = model.trainable_weights
    with torch.no_grad():
        model.optimizer.apply([weight.value.grad for weight in weights], weights)
    return model.get_metrics_result()


def _track_loss(model, loss, num_images):
    tracker = next(metric for metric in model.metrics if metric.name == "loss")
    tracker.update_state(loss, sample_weight=num_images)
