"""A valid call of every public name, in which single arguments are then replaced by wrong ones."""

import importlib
import pathlib

import keras
import numpy as np

import keras_deepfake as kd
from keras_deepfake._results import Result
from tests.robustness.fuzz_arguments import Call

# The bases of other classes, what an extra needs, and a part of a result.
NOT_CALLED = {
    "audit.Finding",
    "hypermodels.SeededHyperModel",
    "layers.RandomImageLayer",
    "metrics.ScoreHistogram",
    "models.DetectionModel",
    "models.hub_encoder",
}


def called_names():
    """Everything public but results and their rows, which the library makes and its users read."""
    names = set()
    for file in pathlib.Path(kd.__file__).parent.glob("*/__init__.py"):
        folder = importlib.import_module(f"keras_deepfake.{file.parent.name}")
        for name in folder.__all__:
            public = getattr(folder, name)
            if not (isinstance(public, type) and issubclass(public, (Result, tuple))):
                names.add(f"{file.parent.name}.{name}")
    return names - NOT_CALLED


def valid_calls():
    """Valid calls by name; files go to the working directory."""
    fixtures = _Fixtures()
    calls = {
        **_layer_calls(fixtures),
        **_model_calls(fixtures),
        **_data_calls(fixtures),
        **_evaluation_calls(fixtures),
        **_training_calls(fixtures),
        **_picture_calls(fixtures),
    }
    missing = called_names() - set(calls)
    assert not missing, f"no valid call of {sorted(missing)}"
    return calls


class _Fixtures:
    """Tiny images, files, models and results."""

    def __init__(self):
        keras.utils.set_random_seed(0)
        faces = kd.datasets.synthetic_faces(16, (32, 32))
        self.images = (faces.images / 255).astype("float32")
        self.labels = faces.labels
        self.is_fake = faces.labels[:, 0].astype(bool)
        self.scores = np.linspace(0.9, 0.1, 16)
        for place, image in enumerate(faces.images):
            folder = pathlib.Path("faces", "fake" if self.is_fake[place] else "real")
            folder.mkdir(parents=True, exist_ok=True)
            keras.utils.save_img(folder / f"{place}.png", image, scale=False)
        self.file = next(pathlib.Path("faces", "real").iterdir())
        self.index = kd.datasets.ImageIndex.from_directory("faces")
        self.index_of_kinds = kd.datasets.ImageIndex.from_paths(
            self.index.paths, self.index.labels, kinds=["swap", "gan"] * 8
        )
        self.autoencoder = kd.models.ConvAutoencoder((32, 32, 3), filters=(2, 2))
        self.autoencoder.compile()
        self.classifier = kd.models.EncoderClassifier.from_autoencoder(self.autoencoder)
        self.classifier.compile()
        self.classifier.save("classifier.keras")
        self.detector = kd.models.Detector(self.classifier)
        self.report = kd.evaluation.detection_report(self.is_fake, self.scores, num_resamples=50)


def _layer_calls(fixtures):
    layers = kd.layers
    images = fixtures.images[:2]

    def use(layer):
        return layer(images)

    def train(layer):
        return layer(images, training=True)

    calls = {
        "AzimuthalSpectrum": Call(layers.AzimuthalSpectrum, {}, use),
        "BlockDCT": Call(layers.BlockDCT, {}, use),
        "ClassToken": Call(layers.ClassToken, {}, lambda layer: layer(images[:, 0])),
        "ConstrainedConv2D": Call(layers.ConstrainedConv2D, {"filters": 2}, use),
        "ConvBlock": Call(layers.ConvBlock, {"filters": 2}, use),
        "ConvTransposeBlock": Call(layers.ConvTransposeBlock, {"filters": 2}, use),
        "GeMPooling": Call(layers.GeMPooling, {}, use),
        "MaskingNoise": Call(layers.MaskingNoise, {"rate": 0.5}, train),
        "MomentPooling": Call(layers.MomentPooling, {}, use),
        "NativeCrop": Call(layers.NativeCrop, {"crop_size": (8, 8)}, use),
        "NeighboringPixelResidual": Call(layers.NeighboringPixelResidual, {}, use),
        "RGBToYCbCr": Call(layers.RGBToYCbCr, {}, use),
        "RandomDegradation": Call(layers.RandomDegradation, {}, train),
        "RandomJPEGCompression": Call(layers.RandomJPEGCompression, {}, train),
        "ResidualCooccurrence": Call(layers.ResidualCooccurrence, {}, use),
        "SRMResidual": Call(layers.SRMResidual, {}, use),
        "SaltAndPepperNoise": Call(layers.SaltAndPepperNoise, {"rate": 0.5}, train),
        "SelfBlendedImages": Call(layers.SelfBlendedImages, {}, train),
        "BlockDCT.adapt": Call(layers.BlockDCT().adapt, {"data": images}),
    }

    def measure(metric):
        metric.update_state(fixtures.labels, np.stack([fixtures.scores, 1 - fixtures.scores], 1))
        return metric.result()

    metric_calls = {
        f"metrics.{name}": Call(getattr(kd.metrics, name), {}, measure)
        for name in ("EqualErrorRate", "ExpectedCalibrationError")
    }
    return {f"layers.{name}": call for name, call in calls.items()} | metric_calls


def _model_calls(fixtures):
    models = kd.models
    autoencoder, detector = fixtures.autoencoder, fixtures.detector
    classifier, images = fixtures.classifier, fixtures.images[:2]

    def use(model):
        return model(images)

    calls = {
        "ConvAutoencoder": Call(
            models.ConvAutoencoder,
            {"image_shape": (32, 32, 3), "filters": (2, 2)},
            use,
        ),
        "ConvAutoencoder.encode": Call(autoencoder.encode, {"x": images}),
        "ConvAutoencoder.decode": Call(autoencoder.decode, {"z": autoencoder.encode(images)}),
        "ConvAutoencoder.reconstruction_error": Call(
            autoencoder.reconstruction_error, {"x": images}
        ),
        "EncoderClassifier": Call(models.EncoderClassifier, {"encoder": autoencoder.encoder}, use),
        "EncoderClassifier.fit_head": Call(
            classifier.fit_head, {"x": fixtures.index, "verbose": 0}
        ),
        "EncoderClassifier.from_autoencoder": Call(
            models.EncoderClassifier.from_autoencoder,
            {"autoencoder": autoencoder},
            use,
            hidden=("class_names", "pooling", "activation", "l1", "l2", "dropout"),
        ),
        "Detector": Call(
            models.Detector, {"members": classifier}, lambda detector: detector.scores(images)
        ),
        "Detector.scores": Call(detector.scores, {"images": images}),
        "Detector.verdicts": Call(detector.verdicts, {"images": images}),
        "Detector.verdicts_of": Call(detector.verdicts_of, {"scores": fixtures.scores}),
        "as_detector": Call(models.as_detector, {"model": classifier}),
        "feature_extractor": Call(models.feature_extractor, {"network": classifier}),
        "load_model": Call(models.load_model, {"path": "classifier.keras"}),
        "set_trainable": Call(
            models.set_trainable, {"model": autoencoder, "part": "all", "rank": None}
        ),
        "pretrained_encoder": Call(
            models.pretrained_encoder,
            {"name": "MobileNetV2", "image_shape": (32, 32, 3), "weights": None},
        ),
    }
    return {f"models.{name}": call for name, call in calls.items()}


def _data_calls(fixtures):
    datasets, index = kd.datasets, fixtures.index
    cropper = kd.faces.FaceCropper(32, face_detector=_in_the_middle)
    pipeline = {"index": index, "image_size": (32, 32)}
    numbers = index.labels.tolist()
    table = [
        {"path": path, "label": index.class_names[number]}
        for path, number in zip(index.paths, numbers, strict=True)
    ]
    return {
        "datasets.ImageIndex": Call(datasets.ImageIndex.from_directory, {"directory": "faces"}),
        "datasets.ImageIndex.from_paths": Call(
            datasets.ImageIndex.from_paths, {"paths": list(index.paths), "labels": numbers}
        ),
        "datasets.ImageIndex.from_table": Call(datasets.ImageIndex.from_table, {"table": table}),
        "datasets.ImageIndex.balanced": Call(index.balanced, {"seed": 0}),
        "datasets.ImageIndex.subset": Call(index.subset, {"fraction": 0.5, "seed": 0}),
        "datasets.ImageIndex.split": Call(index.split, {"fractions": (0.5, 0.5), "seed": 0}),
        "datasets.classification_dataset": Call(
            datasets.classification_dataset, pipeline, lambda data: next(iter(data))
        ),
        "datasets.reconstruction_dataset": Call(
            datasets.reconstruction_dataset, pipeline, lambda data: next(iter(data))
        ),
        "datasets.load_image": Call(datasets.load_image, {"path": str(fixtures.file)}),
        "datasets.set_epoch": Call(datasets.set_epoch, {"epoch": 0}),
        "datasets.synthetic_faces": Call(
            datasets.synthetic_faces, {"num_images": 2, "image_size": (32, 32)}
        ),
        "datasets.find_class_folders": Call(datasets.find_class_folders, {"directory": "faces"}),
        "faces.FaceCropper": Call(
            kd.faces.FaceCropper, {"face_detector": _in_the_middle}, left=("face_detector",)
        ),
        "faces.FaceCropper.find": Call(cropper.find, {"photograph": fixtures.images[0]}),
        "faces.FaceCropper.crop": Call(
            cropper.crop,
            {"photograph": fixtures.images[0], "face": cropper.find(fixtures.images[0])[0]},
        ),
        "faces.crop_faces": Call(
            kd.faces.crop_faces,
            {"photographs": "faces", "output": "crops", "faces": cropper, "verbose": 0},
        ),
        "audit.audit_dataset": Call(kd.audit.audit_dataset, {"index": index}),
    }


def _in_the_middle(photograph):
    return [kd.faces.Face(1.0, np.array([[12.0, 12.0], [20.0, 12.0], [16.0, 20.0]]))]


def _evaluation_calls(fixtures):
    evaluation = kd.evaluation
    data = (fixtures.images, fixtures.labels)
    model = {"model": fixtures.classifier}
    predictions = evaluation.predict_images(fixtures.classifier, fixtures.images[:2])
    calls = {
        "calibrate": Call(
            evaluation.calibrate, {"models": fixtures.classifier, "validation": data}
        ),
        "detection_report": Call(
            evaluation.detection_report,
            {"is_fake": fixtures.is_fake, "scores": fixtures.scores, "num_resamples": 20},
        ),
        "evaluate_detector": Call(
            evaluation.evaluate_detector,
            {**model, "index_or_dataset": data, "num_resamples": 20},
        ),
        "evaluate_by_held_out_kind": Call(
            evaluation.evaluate_by_held_out_kind,
            {
                "train": lambda part: fixtures.classifier,
                "index": fixtures.index_of_kinds,
                "test_fraction": 0.5,
                "num_resamples": 20,
                "verbose": 0,
            },
        ),
        "evaluate_robustness": Call(
            evaluation.evaluate_robustness,
            {**model, "index_or_dataset": data, "corruptions": {"jpeg": (50,)}},
        ),
        "Predictions.group": Call(predictions.group, {"groups": lambda path: "one"}),
        "predict_images": Call(evaluation.predict_images, {**model, "images": fixtures.images[:2]}),
        "DetectionReport.compare": Call(fixtures.report.compare, {"other": fixtures.report}),
        "DetectionReport.save": Call(fixtures.report.save, {"path": "report.json"}),
    }
    calls = {f"evaluation.{name}": call for name, call in calls.items()}
    calls["explanation.grad_cam"] = Call(
        kd.explanation.grad_cam, {**model, "images": fixtures.images[:1]}
    )
    calls["explanation.reconstruction_error_map"] = Call(
        kd.explanation.reconstruction_error_map,
        {"autoencoder": fixtures.autoencoder, "images": fixtures.images[:2]},
    )
    calls["export.export_detector"] = Call(
        kd.export.export_detector,
        {"detector": fixtures.detector, "path": "faces", "format": "saved_model"},
        left=("path", "overwrite"),
        ends_in="is there already",
    )
    calls["reports.save_html"] = Call(
        kd.reports.save_html,
        {"path": "page.html", "title": "Page", "sections": kd.reports.sections(fixtures.report)},
    )
    calls["reports.inspect_photographs"] = Call(
        kd.reports.inspect_photographs,
        {
            "model": fixtures.classifier,
            "photographs": fixtures.images[:1],
            "path": "page.html",
            "faces": kd.faces.FaceCropper(32, face_detector=_in_the_middle),
            "verbose": 0,
        },
    )
    calls["reports.sections"] = Call(kd.reports.sections, {"result": fixtures.report})
    return calls


def _training_calls(fixtures):
    import keras_tuner

    hypermodels = kd.hypermodels

    def build(hypermodel):
        hypermodel.build(keras_tuner.HyperParameters())

    tuner = _tuner("search")
    return {
        "callbacks.EpochPictures": Call(
            kd.callbacks.EpochPictures,
            {"directory": "pictures", "images": fixtures.images, "draw": lambda *_: None},
        ),
        "callbacks.ResumeTraining": Call(kd.callbacks.ResumeTraining, {"path": "training.resume"}),
        "hypermodels.HyperConvAutoencoder": Call(
            hypermodels.HyperConvAutoencoder, {"image_shape": (32, 32, 3)}, build
        ),
        "hypermodels.HyperEncoderClassifier": Call(
            hypermodels.HyperEncoderClassifier, {"image_shape": (32, 32, 3)}, build
        ),
        "hypermodels.run_local_workers": Call(
            hypermodels.run_local_workers,
            {"tuner": tuner, "num_workers": 1, "command": ["false"]},
            ends_in="died",
        ),
        "hypermodels.search": Call(hypermodels.search, {"tuner": tuner}),
        "recipes.StudySettings": Call(kd.recipes.StudySettings, {}),
        "recipes.train_detector": Call(
            kd.recipes.train_detector,
            {"index": fixtures.index, "output": "faces", "verbose": 0},
            left=("encoder", "fine_tune", "output", "overwrite"),
            ends_in="is there already",
        ),
        "recipes.train_study": Call(
            kd.recipes.train_study,
            {"index": fixtures.index, "output": "faces", "verbose": 0},
            left=("output", "overwrite"),
            ends_in="is there already",
        ),
        "recipes.pretrain_stacked": Call(
            kd.recipes.pretrain_stacked,
            {
                "autoencoder": fixtures.autoencoder,
                "dataset": fixtures.images[:4],
                "epochs": 1,
            },
            # A billion epochs take their time.
            left=("epochs",),
        ),
    }


def _tuner(directory):
    import keras_tuner

    return keras_tuner.RandomSearch(
        kd.hypermodels.HyperConvAutoencoder((32, 32, 3)),
        keras_tuner.Objective("val_loss", "min"),
        max_trials=3,
        directory=directory,
    )


def _search_results():
    """Those of a search whose trials trained nothing."""
    tuner = _tuner("searched")
    for loss in (0.3, 0.2, 0.1):
        trial = tuner.oracle.create_trial("tuner0")
        tuner.oracle.update_trial(trial.trial_id, {"val_loss": loss})
        trial.status = "COMPLETED"
        tuner.oracle.end_trial(trial)
    return kd.hypermodels.SearchResults(tuner)


def _picture_calls(fixtures):
    draw = kd.visualization
    import matplotlib.figure

    images, scores = fixtures.images[:2], fixtures.scores
    curves = {"is_fake": fixtures.is_fake, "scores": scores}
    probabilities = np.stack([scores, 1 - scores], 1)[:2]
    settings = (("clean", None), ("jpeg", 90), ("jpeg", 50))
    rows = tuple(kd.evaluation.RobustnessRow(*setting, 0.9, 0.8, 0.7) for setting in settings)
    robustness = kd.evaluation.RobustnessReport(rows, threshold=0.5, num_fake=8, num_real=8, seed=0)
    history = {"loss": [2.0, 1.0], "val_loss": [2.0, 1.5]}
    calls = {
        "plot_roc": curves,
        "plot_precision_recall": curves,
        "plot_reliability": curves,
        "plot_score_histogram": curves,
        "plot_confusion_matrix": {"matrix": np.array([[3, 1], [0, 4]])},
        "plot_images": {"images": images},
        "plot_input_target": {"inputs": images, "targets": images},
        "plot_reconstructions": {"images": images, "reconstructions": images},
        "plot_predictions": {"images": images, "probabilities": probabilities},
        "plot_overlays": {"images": images, "maps": images[..., 0]},
        "plot_photograph": {
            "photograph": images[0],
            "frames": np.full((1, 4, 2), 8.0),
            "verdicts": ["fake"],
        },
        "plot_robustness": {"report": robustness},
        "plot_search": {"results": _search_results()},
        "plot_training_curves": {"history": history},
        "save_figure": {"figure": matplotlib.figure.Figure(), "path": "figure.png"},
    }
    return {
        f"visualization.{name}": Call(getattr(draw, name), arguments)
        for name, arguments in calls.items()
    }
