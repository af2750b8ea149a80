import keras
import numpy as np
import pytest

import keras_deepfake as kd
from keras_deepfake.export import _agreement, detector_export, export_detector
from tests.export.test_detector_export import any_size_detector, noise


def test_images_to_compare_on(tmp_path, monkeypatch):
    """They come to the artifact as they are, and what is wrong with them is told at once."""
    detector = any_size_detector(fake_class="render")
    monkeypatch.setattr(detector_export, "_write", lambda *arguments: pytest.fail("has begun"))
    for wrong in ([], str(tmp_path / "nowhere"), np.full((2, 9, 9, 3), 255.0)):
        with pytest.raises(ValueError, match=r"images|cannot be read|\[0, 1\]"):
            export_detector(detector, tmp_path / "a.tflite", "litert_int8", comparison_images=wrong)
    images = noise(3, (41, 57))
    sizes = []

    def run(batch):
        sizes.append(batch.shape[1:3])
        fake = detector.scores(batch)
        return np.stack([1 - fake, fake], axis=1)

    batches = _agreement.raw_batches(detector, [*images, noise(1, (9, 8))])
    agreement = _agreement.check_rounded(detector, run, batches)
    assert sizes == [(41, 57), (9, 8)]
    assert (agreement["images"], agreement["largest_difference"]) == (4, 0.0)


def test_8_bits(tmp_path, monkeypatch):
    images = noise(12, (16, 16))
    keras.utils.set_random_seed(3)
    layers = [keras.layers.Flatten(), keras.layers.Dense(64, "tanh"), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((16, 16, 3)), *layers, keras.layers.Softmax()])
    detector = kd.models.Detector(model, class_names=("fake", "real"))
    rounded = {"format": "litert_int8", "comparison_images": images}
    card = export_detector(detector, tmp_path / "b.tflite", **rounded)
    # Of the 4 bytes of every weight.
    assert (tmp_path / "b.tflite").stat().st_size < 0.4 * 4 * model.count_params()
    assert card["agreement"]["images"] == 12
    assert 0 < card["agreement"]["mean_difference"] < card["agreement"]["largest_difference"] < 0.1
    assert card["agreement"]["changed_verdicts"] <= 0.1

    monkeypatch.setattr(_agreement, "MOST_CHANGED", -0.1)
    with pytest.raises(ValueError, match=r"gives another verdict on .* Export it as .*'litert'"):
        export_detector(detector, tmp_path / "c.tflite", **rounded)
    assert not list(tmp_path.glob("*c.tflite*"))


@pytest.mark.parametrize("format", ["litert", "litert_int8"])
def test_what_is_quantized_already(tmp_path, format):
    layers = [keras.layers.Flatten(), keras.layers.Dense(2, "softmax", name="head")]
    model = keras.Sequential([keras.Input((16, 16, 3)), *layers])
    model.quantize("int8")
    detector = kd.models.Detector(model, class_names=("fake", "real"))
    images = noise(2, (16, 16)) if format == "litert_int8" else None
    with pytest.raises(ValueError, match="'head' is quantized to int8"):
        export_detector(detector, tmp_path / "a.tflite", format, comparison_images=images)
