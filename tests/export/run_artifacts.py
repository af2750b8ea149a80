"""Runs every artifact of a folder by its card alone, in a process without Keras."""

import json
import pathlib
import sys

import numpy as np


def runtime(path, card):
    name, output = card["input"]["name"], card["output"]["name"]
    if card["format"] == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(path)
        return lambda images: session.run([output], {name: images})[0]
    if card["format"].startswith("litert"):
        from ai_edge_litert.interpreter import Interpreter

        signature = Interpreter(str(path)).get_signature_runner()
        return lambda images: signature(**{name: images})[output]
    import tensorflow as tf

    model = tf.saved_model.load(path)
    return lambda images: model.signatures["serving_default"](**{name: images})[output].numpy()


def verdicts(fake, card):
    names = card["class_names"]
    real = names[1 - card["fake_index"]]
    if card["abstention"] is None:
        return [card["fake_class"] if p >= card["threshold"] else real for p in fake]
    lowest, highest = (card["abstention"][key] for key in ("may_be_fake_from", "may_be_real_to"))
    sets = [(p >= lowest, p <= highest) for p in fake]
    return [
        "unsure" if is_fake == is_real else card["fake_class"] if is_fake else real
        for is_fake, is_real in sets
    ]


def main(folder):
    results = {}
    cards = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")]
    # TensorFlow brings Keras, and so goes last.
    for card in sorted(cards, key=lambda card: card["format"] == "saved_model"):
        if card["format"] != "saved_model":
            assert not {"keras", "tensorflow"} & set(sys.modules)
        run = runtime(folder / card["artifact"], card)
        batches = np.load(folder / f"{pathlib.Path(card['artifact']).stem}.npz")
        for name, images in batches.items():
            probabilities = run(images)
            assert probabilities.dtype == "float32"
            results[f"{card['artifact']}/{name}"] = {
                "probabilities": probabilities.tolist(),
                "verdicts": verdicts(probabilities[:, card["fake_index"]], card),
            }
    assert "keras_deepfake" not in sys.modules
    (folder / "results").write_text(json.dumps(results))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
