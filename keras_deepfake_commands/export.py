"""Write a saved detector as an ONNX, LiteRT or TensorFlow artifact that runs without Keras.

The artifact takes raw images, uint8 of shape (batch, height, width, 3); a card beside it,
OUT.json, says what its probabilities mean. Without DETECTOR an untrained one is exported,
to try it out.
"""

import os

from keras_deepfake_commands._options import OF_MODEL, OF_SIZE, add_classes


def add_options(parser):
    add = parser.add_argument
    add("model", metavar="DETECTOR", nargs="?", help="detector saved as .keras")
    add("output", metavar="OUT", help="file to write, .onnx or .tflite, or folder of a SavedModel")
    formats = ("onnx", "litert", "litert_int8", "saved_model")
    add("--format", choices=formats, default="onnx", help="what to write (default: onnx)")
    add(
        "--comparison-images",
        metavar="FOLDER",
        help="images like those it will see, which litert_int8 is compared on",
    )
    add("--image-size", type=int, metavar="N", help=OF_SIZE)
    add_classes(add, OF_MODEL)
    add("--overwrite", action="store_true", help="replace what an earlier export left")


def run(options):
    # The one that writes every format; a saved detector is the same on all.
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras_deepfake as kd  # not above: --help need not wait for TensorFlow

    if options.model:
        model = kd.models.load_model(options.model)
    else:
        model = kd.EncoderClassifier.from_autoencoder(kd.ConvAutoencoder((64, 64, 3), (16, 8)))
    card = kd.export.export_detector(
        model,
        options.output,
        options.format,
        class_names=options.class_names,
        fake_class=options.fake_class,
        image_size=options.image_size and (options.image_size, options.image_size),
        comparison_images=options.comparison_images,
        overwrite=options.overwrite,
    )
    print(
        f"{options.output}: column {card['fake_index']} is P({card['fake_class']}), "
        f"{card['fake_class']} from {card['threshold']:g}; it differs from the detector by up to "
        f"{card['agreement']['largest_difference']:.1g}. The card is {options.output}.json."
    )
