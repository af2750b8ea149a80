"""A page on photographs: their faces, the verdicts, and where the evidence lies."""

import itertools

import keras
import numpy as np

from keras_deepfake import visualization as draw
from keras_deepfake._arguments import check_path
from keras_deepfake.evaluation import predict_images
from keras_deepfake.explanation import grad_cam
from keras_deepfake.explanation.activation_maps import feature_maps
from keras_deepfake.faces import FaceCropper
from keras_deepfake.models import as_detector
from keras_deepfake.models.image_batches import image_batches, single_images
from keras_deepfake.reports.html_page import save_html

# The pixels of the longer side of a photograph on the page.
LONGEST = 1400
# Faces beside each other, which a phone can still show.
IN_A_ROW = 3

LIMITS = (
    "A verdict is the estimate of a model. It is no proof of a forgery, nor of its absence.",
    "The probabilities hold for images like those that the detector was calibrated on. Other ways "
    "of forging, other cameras, strong compression and resizing can mislead it both ways.",
    "A photograph has the verdict of the face that is most probably fake: the more faces there "
    "are, the likelier it is that one of them is called fake by mistake.",
    "Only faces that were found are looked at. Small, hidden and averted ones may be missed, and "
    "a photograph on which no face was found has not been judged.",
    "A map shows which places of a face speak for fake to the model, scaled to the strongest place "
    "of that face. A real face has a map too; it does not show that these places were changed.",
    "Rates of error may differ between groups of people; look at them before you rely on verdicts.",
)


def inspect_photographs(model, photographs, path, faces=None, threshold=None, verbose=1):
    """Write a page on photographs: each with its faces framed in the colour of the verdict.

    Beside the probability of each face the page has a map of the places that speak for its being
    fake (`kd.explanation.grad_cam`), and it says in plain words what the verdicts are not. The
    page holds the photographs themselves, and is the only file that is written.

    Args:
        model: A `kd.models.Detector`, or any model that `kd.models.as_detector` takes.
        photographs: As the images of `kd.evaluation.predict_images`, but none that can be read
            only once: paths of files or folders, arrays, or a list of these.
        path: Path of the HTML page, which is replaced if it exists.
        faces: A `kd.faces.FaceCropper`, which says how faces are found and framed; `None` for
            its defaults.
        threshold: As for `predict_images`.
        verbose: 1 shows a progress bar, 0 shows none.

    Returns:
        The `kd.evaluation.Predictions`, a row for each photograph.

    Raises:
        ValueError: If an argument is not as described, or there are no photographs.
        ImportError: If faces are to be found by MTCNN, which is not installed.
        OSError: If the page cannot be written.

    Example:
    ```python
    encoder = keras.Sequential([keras.Input((32, 32, 3)), kd.layers.ConvBlock(4)])
    detector = kd.models.Detector(kd.models.EncoderClassifier(encoder))
    points = [[40, 45], [60, 45], [50, 66]]
    cropper = kd.faces.FaceCropper(face_detector=lambda photograph: [(1.0, points)])
    photograph = np.random.default_rng(0).uniform(size=(100, 120, 3))
    kd.reports.inspect_photographs(detector, photograph, "inspection.html", cropper)
    ```
    """
    path = check_path("path", path)
    detector = as_detector(model)
    if hasattr(photographs, "__next__"):
        raise ValueError("`photographs` are read twice; give a list instead of an iterator.")
    faces = FaceCropper() if faces is None else faces
    predictions = predict_images(
        detector, photographs, threshold=threshold, verbose=verbose, faces=faces
    )
    if not predictions:
        raise ValueError("`photographs` holds no images.")
    # Without one, as for heads on tokens or statistics, there are no places to point at.
    explained = bool(feature_maps(detector))
    sections = (
        _photograph_section(detector, row, image.pixels, faces, predictions, explained)
        for row, image in zip(predictions, single_images(photographs), strict=True)
    )
    rule = [] if explained else ["This detector has no feature map, so that there are no maps."]
    first = ("", predictions.summary(), *rule)
    last = ("What a verdict is not", *LIMITS)
    save_html(path, "Photographs", itertools.chain([first], sections, [last]))
    return predictions


def _photograph_section(detector, row, photograph, faces, predictions, explained):
    if row.error is not None and photograph is None:
        return (row.path, f"Cannot be read: {row.error}.")
    fake = detector.fake_index
    frames = [faces.corners(part.face) for part in row.parts]
    shown, scale = _shrink(photograph)
    verdicts = [part.verdict for part in row.parts]
    picture = draw.plot_photograph(
        shown,
        np.reshape(frames, (-1, 4, 2)) * scale,
        verdicts,
        detector.class_names,
        fake_class=detector.class_names[fake],
    )
    if row.error is not None:
        return (row.path, picture, f"No verdict: {row.error}.")
    score = row.probabilities[fake]
    # What decides: the threshold, or the bounds between which the detector abstains.
    rule = f"threshold {predictions.threshold:.6g}"
    if predictions.conformal_bounds is not None:
        low, high = sorted(predictions.conformal_bounds)
        rule = f"unsure from {low:.6g} to {high:.6g}"
    caption = (
        f"Verdict: {row.verdict}. {len(row.parts)} faces, of which the most probably fake has the "
        f"probability {score:.3f} ({rule})."
    )
    table = [("Face", "P(fake)", "Verdict", "Confidence")] + [
        (str(place), float(part.probabilities[fake]), part.verdict, part.face.confidence)
        for place, part in enumerate(row.parts)
    ]
    crops = [faces.crop(photograph, part.face) for part in row.parts]
    titles = [
        f"{place}: {part.verdict} {part.probabilities[fake]:.2f}"
        for place, part in enumerate(row.parts)
    ]
    pictures = []
    for start in range(0, len(crops), IN_A_ROW):
        some = slice(start, start + IN_A_ROW)
        if explained:
            images = _model_images(detector, crops[some])
            maps = grad_cam(detector, images)
            pictures.append(draw.plot_overlays(images, maps, titles[some], "Speaks for fake"))
        else:
            pictures.append(draw.plot_images(crops[some], titles=titles[some]))
    return (row.path, picture, caption, table, *pictures)


def _model_images(detector, crops):
    """The crops as the detector sees them."""
    images = np.stack(crops)
    return next(
        image_batches(images, detector.input_shape, detector.image_size, len(images))
    ).pixels


def _shrink(photograph):
    """The photograph as the page shows it, and by what it was scaled."""
    scale = min(1.0, LONGEST / max(photograph.shape[:2]))
    if scale == 1:
        return photograph, 1.0
    size = [max(1, round(side * scale)) for side in photograph.shape[:2]]
    resized = keras.ops.image.resize(photograph, size, antialias=True, data_format="channels_last")
    return np.clip(keras.ops.convert_to_numpy(resized), 0, 1), scale
