"""Images a second that the study's networks train on, next to the same networks of others.

The others are the layers of Keras put together by hand, on the same backend, and PyTorch with
channels last, eager and compiled. All have as many parameters, and train with Adam, on the same
batch, in turns. PyTorch computes no metrics.
"""

import argparse
import itertools

import keras
import numpy as np
import torch
from keras import layers
from measuring import seconds_in_turns

import keras_deepfake as kd

FILTERS = (168, 64, 32)
L1, L2 = 0.01, 0.1


def keras_blocks(kind, filters):
    return [kind(count, 3, strides=2, padding="same", activation="relu") for count in filters]


def by_hand_autoencoder(size):
    model = keras.Sequential(
        [
            keras.Input((size, size, 3)),
            *keras_blocks(layers.Conv2D, FILTERS),
            *keras_blocks(layers.Conv2DTranspose, FILTERS[::-1]),
            layers.Conv2D(3, 3, padding="same", activation="relu"),
        ]
    )
    model.compile(keras.optimizers.Adam(1e-3), "mse", metrics=["accuracy"])
    return model


def by_hand_classifier(size):
    penalty = keras.regularizers.L1L2(L1, L2)
    model = keras.Sequential(
        [
            keras.Input((size, size, 3)),
            *keras_blocks(layers.Conv2D, FILTERS),
            layers.Flatten(),
            layers.Dense(2, activation="softmax", kernel_regularizer=penalty),
        ]
    )
    metrics = [keras.metrics.Precision(class_id=0), keras.metrics.Recall(class_id=0)]
    model.compile(
        keras.optimizers.Adam(1e-3), "categorical_crossentropy", metrics=["accuracy", *metrics]
    )
    return model


def our_models(size):
    autoencoder = kd.ConvAutoencoder((size, size, 3), FILTERS)
    classifier = kd.EncoderClassifier.from_autoencoder(autoencoder, l1=L1, l2=L2)
    autoencoder.compile()
    classifier.compile()
    return autoencoder, classifier


def torch_networks(size):
    encoder, decoder = [], []
    for inputs, outputs in itertools.pairwise((3, *FILTERS)):
        encoder += [torch.nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), torch.nn.ReLU()]
    for inputs, outputs in itertools.pairwise((FILTERS[-1], *FILTERS[::-1])):
        block = torch.nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1)
        decoder += [block, torch.nn.ReLU()]
    decoder += [torch.nn.Conv2d(FILTERS[0], 3, 3, padding=1), torch.nn.ReLU()]
    head = torch.nn.Linear((size // 8) ** 2 * FILTERS[-1], 2)
    return (
        torch.nn.Sequential(*encoder, *decoder),
        torch.nn.Sequential(*encoder, torch.nn.Flatten(), head),
    )


def keras_step(model, x, y):
    return lambda: model.train_on_batch(x, y)


def torch_step(network, x, y, is_classifier, compiled):
    network = network.to(memory_format=torch.channels_last)
    x = torch.from_numpy(x).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    y = torch.from_numpy(y)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    run = torch.compile(network) if compiled else network

    def step():
        optimizer.zero_grad()
        outputs = run(x)
        if is_classifier:
            kernel = network[-1].weight
            loss = torch.nn.functional.cross_entropy(outputs, y)
            loss = loss + L1 * kernel.abs().sum() + L2 * kernel.square().sum()
        else:
            loss = torch.nn.functional.mse_loss(outputs, x)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def contestants(name, size, images, labels):
    """A dictionary from names to functions that do one training step."""
    position = ("autoencoder", "classifier").index(name)
    y = (images, labels)[position]
    models = {
        "ours": our_models(size)[position],
        "Keras layers by hand": (by_hand_autoencoder, by_hand_classifier)[position](size),
    }
    networks = {
        "PyTorch, eager": torch_networks(size)[position],
        "PyTorch, compiled": torch_networks(size)[position],
    }
    counts = [model.count_params() for model in models.values()]
    counts += [sum(p.numel() for p in network.parameters()) for network in networks.values()]
    assert len({*counts}) == 1, counts
    steps = {key: keras_step(model, images, y) for key, model in models.items()}
    for key, network in networks.items():
        steps[key] = torch_step(network, images, y, position == 1, key == "PyTorch, compiled")
    return steps


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=256, help="image side in pixels")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args(arguments)

    random = np.random.default_rng(0)
    images = random.random((options.batch_size, options.size, options.size, 3), "float32")
    labels = keras.utils.to_categorical(np.arange(options.batch_size) % 2, 2)
    print(
        f"| images a second in training, batch {options.batch_size}, {options.size} px, "
        f"{keras.backend.backend()} | ours | the alternative named | ratio |"
        "\n|---|---|---|---|"
    )
    for name in ("autoencoder", "classifier"):
        steps = contestants(name, options.size, images, labels)
        seconds = seconds_in_turns(steps, options.rounds)
        speeds = {key: options.batch_size / median for key, median in seconds.items()}
        ours = speeds.pop("ours")
        for key, speed in speeds.items():
            print(f"| {name}, {key} | {ours:.2f} | {speed:.2f} | {ours / speed:.2f} |")


if __name__ == "__main__":
    main()
