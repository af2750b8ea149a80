import subprocess
import sys

import keras
import keras_hub
import numpy as np
import pytest

import keras_deepfake as kd
from keras_deepfake.models import feature_extractor, hub_encoder
from keras_deepfake.recipes._network_encoders import cut_points

IMAGES = np.random.default_rng(0).random((2, 32, 32, 3), "float32")
SCALE, OFFSET = [1 / 58.0, 1 / 57.0, 1 / 57.5], [-2.1, -2.0, -1.8]
SIZES = {"patch_size": 8, "num_layers": 2, "hidden_dim": 16, "num_heads": 2}
TRANSFORMER = {**SIZES, "image_shape": (32, 32, 3)}


def converter():
    return keras_hub.layers.ImageConverter(scale=SCALE, offset=OFFSET)


def clip(image_shape=(32, 32, 3)):
    return keras_hub.models.CLIPVisionEncoder(
        **{**TRANSFORMER, "image_shape": image_shape}, intermediate_dim=32
    )


def siglip():
    return keras_hub.models.SigLIPVisionEncoder(**TRANSFORMER, intermediate_dim=32)


def dinov2():
    return keras_hub.models.DINOV2Backbone(
        **TRANSFORMER, intermediate_dim=32, position_embedding_shape=(48, 48, 3)
    )


def dinov3():
    return keras_hub.models.DINOV3Backbone(**TRANSFORMER, intermediate_dim=32)


def vit(**arguments):
    return keras_hub.models.ViTBackbone(**TRANSFORMER, mlp_dim=32, **arguments)


def vit_without_biases():
    """What KerasHub's own configuration of the first layer lacks."""
    return vit(use_patch_bias=False, use_class_token=False)


def resnet():
    return keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 64],
        stackwise_num_blocks=[1, 1],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
        image_shape=(None, None, 3),
    )


# Each with the name of its first block, and the shape that comes out of it.
FAMILIES = {
    clip: ("encoder_block_0", (17, 16)),
    siglip: ("encoder_block_0", (16, 16)),
    dinov2: ("layers_0", (17, 16)),
    dinov3: ("layers_0", (21, 16)),
    vit: ("transformer_block_1", (17, 16)),
    vit_without_biases: ("transformer_block_1", (16, 16)),
    resnet: ("stack0_block0_out", (8, 8, 64)),
}
# KerasHub does the same on every backend.
if keras.backend.backend() != "tensorflow":
    FAMILIES = {make: FAMILIES[make] for make in (vit, resnet)}


@pytest.fixture(scope="module")
def encoders():
    """A backbone of each family, and the whole of it and its first block as encoders."""
    made = {}
    for make, (until, _) in FAMILIES.items():
        backbone = make()
        # Positions and registers that start at zero would hide themselves.
        random = np.random.default_rng(1)
        for weight in backbone.trainable_weights:
            # KerasHub does not copy these, but interpolates those of another size anew.
            if weight.name == "interpolated_position_embeddings":
                continue
            weight.assign(weight + random.normal(0, 0.02, weight.shape))
        whole = hub_encoder(backbone, converter=converter())
        made[make] = backbone, whole, feature_extractor(whole, until)
    return made


def predict(model, images=IMAGES):
    return model.predict(images, verbose=0)


each_family = pytest.mark.parametrize("make", FAMILIES, ids=lambda make: make.__name__)


@each_family
def test_computes_what_the_backbone_does(make, encoders):
    backbone, whole, _ = encoders[make]
    scaled = (255 * IMAGES * np.array(SCALE) + np.array(OFFSET)).astype("float32")
    inputs = keras.tree.map_structure(lambda _: scaled, backbone.input)
    np.testing.assert_allclose(predict(whole), predict(backbone, inputs), atol=1e-4)


@each_family
def test_ends_at_a_block(make, encoders):
    """What follows the block, applied to what it gives, makes the whole."""
    _, whole, cut = encoders[make]
    until, shape = FAMILIES[make]
    tokens = predict(cut)
    assert tokens.shape == (2, *shape)
    assert cut.layers[-1].name == until
    assert cut.count_params() < whole.count_params()
    traced = keras.Model(whole.inputs[0], whole.get_layer(until).output)
    np.testing.assert_allclose(tokens, predict(traced), atol=1e-5)


@pytest.mark.once
@pytest.mark.parametrize("make", [dinov2, vit], ids=["dinov2", "vit"])
def test_a_block_of_a_chain_is_that_of_the_backbone(make, encoders):
    backbone, _, cut = encoders[make]
    chain = next(x for x in backbone.layers if hasattr(x, "num_layers"))
    blocks = chain.layers if make is dinov2 else chain.encoder_layers
    # The same chain of one block less, with the same weights, leads to the same tokens.
    config = {**backbone.get_config(), "num_layers": 1}
    shorter = type(backbone).from_config(config)
    for layer, twin in zip(backbone.layers, shorter.layers, strict=True):
        if layer is not chain:
            twin.set_weights(layer.get_weights())
    short = next(x for x in shorter.layers if hasattr(x, "num_layers"))
    for block, twin in zip(
        blocks, short.layers if make is dinov2 else short.encoder_layers, strict=False
    ):
        twin.set_weights(block.get_weights())
    expected = hub_encoder(shorter, FAMILIES[make][0], converter())
    np.testing.assert_allclose(predict(cut), predict(expected), atol=1e-6)


def test_several_blocks(encoders):
    backbone, _, cut = encoders[vit]
    names = ["transformer_block_1", "transformer_block_2"]
    several = hub_encoder(backbone, names, converter())
    # Class token, mean and deviation of 16 channels each.
    assert several.output_shape == (None, 2 * 3 * 16)
    tokens = predict(cut)
    np.testing.assert_allclose(predict(several)[:, 16:32], tokens[:, 1:].mean(1), atol=1e-5)


@pytest.mark.once
def test_registers_are_not_pooled(encoders):
    """They stand between class token and patches, and belong to no place in the image."""
    _, whole, cut = encoders[dinov3]
    several = feature_extractor(whole, ["layers_0", "layers_1"])
    tokens = predict(cut)
    assert tokens.shape[1] == 1 + 4 + 16
    expected = [tokens[:, 0], tokens[:, 5:].mean(axis=1), tokens[:, 5:].std(axis=1)]
    np.testing.assert_allclose(
        predict(several)[:, : 3 * 16], np.concatenate(expected, axis=1), atol=1e-5
    )


@pytest.mark.once
def test_places_that_are_the_same_for_all_images_lead_past_no_block(encoders):
    """Every block of DINOv3 is given them beside the tokens."""
    _, whole, _ = encoders[dinov3]
    assert {"layers_0", "layers_1"} <= set(cut_points(whole))


LOADS = """
import sys
import keras
import keras_deepfake
import numpy as np
assert "keras_hub" not in sys.modules
folder = sys.argv[1]
images = np.load(f"{folder}/images.npy")
for name in sys.argv[2:]:
    model = keras.saving.load_model(f"{folder}/{name}.keras")
    expected = np.load(f"{folder}/{name}.npy")
    np.testing.assert_array_equal(model.predict(images, verbose=0), expected)
    model.save(f"{folder}/again.keras")
"""


@pytest.mark.usefixtures("in_graphs")
@pytest.mark.once
def test_saved_models_load_in_a_fresh_process(encoders, tmp_path):
    np.save(tmp_path / "images.npy", IMAGES)
    names = []
    for make in (clip, dinov2, dinov3, vit, vit_without_biases):
        cut = encoders[make][2]
        models = {"cut": cut}
        if make is vit:
            models["classifier"] = kd.EncoderClassifier(cut, pooling="cls", dtype="mixed_bfloat16")
        for kind, model in models.items():
            names.append(f"{make.__name__}_{kind}")
            model.save(tmp_path / f"{names[-1]}.keras")
            np.save(tmp_path / f"{names[-1]}.npy", predict(model))
    command = [sys.executable, "-c", LOADS, str(tmp_path), *names]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr


def test_a_part_is_trained_and_saved(tmp_path):
    classifier = kd.EncoderClassifier(
        hub_encoder(vit(), "transformer_block_2", converter()), pooling="cls"
    )
    # Two normalizations in each of two blocks, and the head 16 x 2 + 2.
    assert kd.models.set_trainable(classifier, "norms") == 2 * 2 * 2 * 16 + 34
    # Patches 8 x 8 x 3 to 16, 17 positions; in each block query, key and value 16 to (2, 8), what
    # joins them (2, 8) to 16, and 16 to 32 and back.
    block = 3 * (16 * 2 + 8) + (2 * 8 + 16) + 2 * (16 + 32)
    count = 34 + (192 + 16) + (17 + 16) + 2 * block
    assert kd.models.set_trainable(classifier, "lora", rank=1) == count
    classifier.compile()
    classifier.fit(IMAGES, np.eye(2), epochs=2, verbose=0)
    classifier.save(tmp_path / "classifier.keras")
    loaded = keras.saving.load_model(tmp_path / "classifier.keras")
    assert sum(int(np.prod(x.shape)) for x in loaded.trainable_weights) == count
    np.testing.assert_allclose(predict(loaded), predict(classifier), atol=1e-5)


@pytest.mark.once
class TestPresets:
    @pytest.fixture(scope="class")
    def folder(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("preset")
        vit().save_to_preset(str(folder))
        keras_hub.layers.ViTImageConverter(
            image_size=(32, 32), scale=SCALE, offset=OFFSET
        ).save_to_preset(str(folder))
        return folder

    def test_folder(self, folder):
        encoder = hub_encoder(str(folder), "transformer_block_1")
        backbone = keras_hub.models.Backbone.from_preset(str(folder))
        expected = hub_encoder(backbone, "transformer_block_1", converter())
        np.testing.assert_array_equal(predict(encoder), predict(expected))
        other = hub_encoder(str(folder), "transformer_block_1", load_weights=False)
        assert np.abs(predict(other) - predict(encoder)).max() > 1e-3
        assert not {x.path for x in other.weights} & {x.path for x in encoder.weights}

    def test_the_part_that_sees(self, tmp_path):
        text = keras_hub.models.CLIPTextEncoder(
            vocabulary_size=8, embedding_dim=8, hidden_dim=8, num_layers=1, num_heads=2,
            intermediate_dim=8, max_sequence_length=4,
        )  # fmt: skip
        keras_hub.models.CLIPBackbone(clip(), text, 8).save_to_preset(str(tmp_path))
        until = "clip_vision_encoder_encoder_block_1"
        encoder = hub_encoder(str(tmp_path), until, converter())
        assert encoder.output_shape == (None, 17, 16)

    def test_a_folder_without_converter(self, tmp_path):
        vit().save_to_preset(str(tmp_path))
        with pytest.raises(OSError, match="and `converter` if the folder has none"):
            hub_encoder(str(tmp_path))
        hub_encoder(str(tmp_path), converter=converter())

    def test_a_download_that_fails(self, monkeypatch):
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")  # where nothing listens
        with pytest.raises(OSError, match=r"'vit_base_patch16_224_imagenet' cannot be downloaded"):
            hub_encoder("vit_base_patch16_224_imagenet")

    def test_no_such_preset(self):
        with pytest.raises(ValueError, match="Unknown preset identifier"):
            hub_encoder("clip")


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (lambda: {"backbone": vit()}, "`converter` must be a `keras_hub.layers.ImageConverter`"),
        (lambda: {"backbone": 3}, "`backbone` must be a text"),
        (
            lambda: {"backbone": vit(), "image_shape": (32, 32, 3)},
            "`image_shape` is for presets",
        ),
        (
            lambda: {"backbone": vit(), "until": "block", "converter": converter()},
            "`until` must name layers of",
        ),
        (
            lambda: {"backbone": clip((32, 32, 1)), "converter": converter()},
            "`backbone` must take RGB images alone",
        ),
        (
            lambda: {
                "backbone": keras_hub.models.SwinTransformerBackbone(
                    (32, 32, 3), patch_size=4, embed_dim=8, depths=(1,), num_heads=(1,),
                    window_size=4,
                ),
                "converter": converter(),
            },
            "PatchEmbedding cannot be saved by itself: its argument `norm_layer`",
        ),
    ],
    ids=["converter", "number", "shape", "until", "gray", "swin"],
)  # fmt: skip
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        hub_encoder(**arguments())


@pytest.mark.once
def test_without_keras_hub(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(ImportError, match=r'pip install "keras-deepfake\[hub\]"'):
        hub_encoder("vit_base_patch16_224_imagenet")
