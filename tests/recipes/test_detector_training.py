import json

import keras
import numpy as np
import pytest

import keras_deepfake as kd
from keras_deepfake.evaluation.calibration import digests
from keras_deepfake.recipes import _encoded_views, detector_training
from keras_deepfake.recipes._encoded_views import View, encode_views
from keras_deepfake.recipes._network_encoders import NetworkEncoder, encoder_model, read_encoder
from keras_deepfake.recipes._solved_members import _choose, solve_member
from tests.recipes.small_networks import make_network


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """60 faces, three of every person, larger than the network's input."""
    folder = tmp_path_factory.mktemp("faces")
    faces = kd.datasets.synthetic_faces(60, (32, 32), artifacts=("blurred_face",), seed=1)
    for i, (image, artifact) in enumerate(zip(faces.images, faces.artifacts, strict=True)):
        part = folder / ("real" if artifact == "none" else "fake")
        part.mkdir(exist_ok=True)
        keras.utils.save_img(part / f"p{i // 3:02d}_{i}.png", image, scale=False)
    return folder


@pytest.fixture(autouse=True, scope="module")
def light_cooccurrence():
    """Statistics of colours in place of co-occurrences, which take longer to trace."""

    def make():
        images = keras.Input((None, None, 3))
        layer = kd.layers.MomentPooling(2, data_format="channels_last", name="cooccurrence")
        network = keras.Model(images, layer(images), name="cooccurrence")
        return NetworkEncoder("cooccurrence", network, ("cooccurrence",), True, False)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detector_training, "cooccurrence_encoder", make)
        yield


def index_of(faces, **arguments):
    return kd.datasets.ImageIndex.from_directory(
        faces, groups=lambda path: path.replace("\\", "/").split("/")[-1][:3], **arguments
    )


def uneven_index(faces):
    """One image less of the second class."""
    return index_of(faces).take(np.arange(59))


@pytest.fixture(scope="module")
def trained(faces, tmp_path_factory):
    output = tmp_path_factory.mktemp("trained") / "detector"
    return output, kd.recipes.train_detector(uneven_index(faces), make_network(), output, verbose=0)


def test_everything_is_left_in_the_folder(faces, trained):
    output, result = trained
    names = {"detector.keras", "report.html", "metrics.json", "predictions.csv", "settings.json"}
    assert {file.name for file in output.iterdir()} == names
    assert not output.with_name("detector.unfinished").exists()
    page = (output / "report.html").read_text()
    assert "took no part in training" in page
    assert "1 of 59 images were not used" in page
    assert "cooccurrence" in page
    detector = kd.models.load_model(output / "detector.keras")
    assert detector.image_size is None
    index = index_of(faces)
    np.testing.assert_allclose(detector.scores(index), result.detector.scores(index), atol=1e-6)
    metrics = json.loads((output / "metrics.json").read_text())
    network, cooccurrence = metrics["members"]
    assert network["name"] == "network"
    assert cooccurrence["depths"] == ["cooccurrence"]
    assert len(network["losses"]) > 3
    assert metrics["images"]["train"] + metrics["images"]["test"] == 58


def test_test_images_took_no_part(faces, trained):
    _, result = trained
    index = index_of(faces)
    tested = {row.path for row in result.predictions.rows}
    persons = {path.replace("\\", "/").split("/")[-1][:3] for path in tested}
    rest = [i for i, path in enumerate(index.paths) if path not in tested]
    assert not persons & {index.groups[i] for i in rest}
    with pytest.raises(ValueError, match="calibrat"):
        kd.evaluation.evaluate_detector(result.detector, index.take(np.array(rest)))


def test_predictions_are_those_of_the_detector(trained):
    _, result = trained
    again = kd.evaluation.predict_images(
        result.detector, [row.path for row in result.predictions], verbose=0
    )
    assert [row.path for row in again] == [row.path for row in result.predictions]
    assert [row.verdict for row in again] == [row.verdict for row in result.predictions]
    assert again.fake_class == result.predictions.fake_class == "fake"
    np.testing.assert_allclose(
        [row.probabilities for row in result.predictions],
        [row.probabilities for row in again],
        atol=1e-6,
    )


@pytest.mark.usefixtures("pages_without_pictures")
def test_a_run_that_was_cut_off_ends_the_same(faces, trained, tmp_path, monkeypatch):
    predict, calls = _encoded_views.predict_batch, []

    def cut_off(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return predict(*arguments)

    arguments = (uneven_index(faces), make_network(), tmp_path / "detector")
    monkeypatch.setattr(_encoded_views, "predict_batch", cut_off)
    with pytest.raises(KeyboardInterrupt):
        kd.recipes.train_detector(*arguments, verbose=0)
    assert not (tmp_path / "detector").exists()
    monkeypatch.setattr(_encoded_views, "predict_batch", predict)
    with pytest.raises(ValueError, match="differs in `copies`"):
        kd.recipes.train_detector(*arguments, copies=2, verbose=0)
    again = kd.recipes.train_detector(*arguments, verbose=0)
    _, result = trained
    assert again.members == result.members
    assert again.detector.threshold == result.detector.threshold
    np.testing.assert_array_equal(
        again.detector.scores(faces / "real"), result.detector.scores(faces / "real")
    )


def test_photographs_alone(faces, tmp_path):
    index = kd.datasets.ImageIndex.from_directory(faces / "real", class_names=None)
    result = kd.recipes.train_detector(
        index, make_network(), tmp_path / "detector", fakes="blended", abstain=0.2, verbose=0
    )
    # Co-occurrences tell blends from photographs, and no real fakes.
    assert [member["name"] for member in result.members] == [make_network().name]
    assert result.report.num_images == 2 * len(result.predictions)
    assert "fakes are blends" in (tmp_path / "detector" / "report.html").read_text()
    assert result.detector.class_names == ("fake", "real")


def test_photographs_alone_may_have_labels(faces, tmp_path):
    index = index_of(faces)
    reals = index.take(index.labels == 1)
    trained = kd.recipes.train_detector(
        reals, make_network(), tmp_path / "detector", fakes="blended", copies=0, verbose=0
    )
    assert "There were no fakes to test on" in (tmp_path / "detector/report.html").read_text()
    assert trained.report.num_images == 2 * len(trained.predictions)


def test_fakes_that_only_test_cost_no_photographs(faces, tmp_path):
    index = index_of(faces)
    index = index.take(
        np.append(np.flatnonzero(index.labels == 0)[:6], np.flatnonzero(index.labels))
    )
    result = kd.recipes.train_detector(
        index, make_network(), tmp_path / "detector", fakes="blended", verbose=0
    )
    metrics = json.loads((tmp_path / "detector" / "metrics.json").read_text())
    assert sum(metrics["images"].values()) == 36
    # The fakes among the training images calibrated nothing.
    tested = {row.path for row in result.predictions}
    others = index.take(np.array([i for i, path in enumerate(index.paths) if path not in tested]))
    images = [kd.datasets.load_image(path) for path in others.paths]
    seen = {*digests(images)} & {*result.detector.validation_digests}
    assert len(seen) == np.count_nonzero(others.labels)


def test_persons_of_unlabelled_photographs_make_the_intervals(faces, tmp_path):
    paths = kd.datasets.ImageIndex.from_directory(
        faces / "real", class_names=None, groups=lambda path: path.split("_")[-2][-3:]
    )
    result = kd.recipes.train_detector(
        paths, make_network(), tmp_path / "detector", fakes="blended", verbose=0
    )
    assert not any("No groups" in note for note in result.report.notes)


def test_the_head_of_a_member_is_that_of_its_encoded_views(faces, tmp_path):
    index = index_of(faces)
    is_fake = index.labels == 0
    everything = np.arange(len(index))
    encoder = read_encoder(make_network())
    model, widths = encoder_model(encoder)
    views = [View("clean", everything), View("degraded", everything)]
    encoded = encode_views(model, index, is_fake, views, tmp_path / "state", 0, 0)
    clean, degraded = np.split(encoded.features, 2)
    images = np.stack([kd.datasets.load_image(path) for path in index.paths])
    np.testing.assert_allclose(clean, model.predict(images, verbose=0), atol=1e-5)
    assert not np.allclose(clean, degraded, atol=1e-3)
    np.testing.assert_array_equal(encoded.is_fake, np.tile(is_fake, 2))
    groups = encoded.positions
    kinds = encoded.is_fake.astype(int), ["fake"]
    member = solve_member(encoder, encoded, widths, groups, kinds, ("fake", "real"), 0, 1, 0)
    log_odds = np.log(member.classifier.predict(images, verbose=0))
    log_odds = log_odds[:, 0] - log_odds[:, 1]
    # Heads that had not seen the images say much the same of them.
    assert np.corrcoef(log_odds, member.log_odds[:60])[0, 1] > 0.5


def test_blends_come_beside_their_originals(faces, tmp_path):
    index = index_of(faces)
    model, _ = encoder_model(read_encoder(make_network()))
    reals = np.flatnonzero(index.labels == 1)
    encoded = encode_views(
        model, index, index.labels == 0, [View("blended", reals)], tmp_path / "s", 0, 0
    )
    assert encoded.is_fake.sum() == len(reals) == len(encoded.is_fake) / 2
    for fake in (True, False):
        assert sorted(encoded.positions[encoded.is_fake == fake]) == sorted(reals)
    assert encoded.is_blended.all()


def test_neighbours_are_added_as_long_as_they_help():
    best, tried = {2, 3, 4}, []

    def loss(depths):
        tried.append(tuple(depths))
        return len(best ^ set(depths)) + 0.01 * abs(depths[0] - 3)

    chosen, losses = _choose(8, loss)
    assert chosen == [2, 3, 4]
    assert len(tried) == len(set(tried)) == len(losses)


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (3, "`encoder` must be a Keras model, a path or a name"),
        ("no such/thing", "perhaps with `:layer,layer` behind it"),
        ("NoNetwork", "`name` must be one of"),
        ("missing.keras", "there is no file"),
        (keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()]), "RGB images"),
        ([make_network(), make_network()], "networks of different names"),
    ],
)
def test_what_is_none_is_refused_before_anything_is_read(faces, encoder, message):
    with pytest.raises(ValueError, match=message):
        kd.recipes.train_detector(index_of(faces), encoder, verbose=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"index": "faces"}, "`index` must be an `ImageIndex`"),
        ({"fakes": "none"}, "`fakes` must be one of"),
        ({"copies": -1}, "`copies` must be an integer"),
        ({"seed": 0.5}, "`seed` must be an integer"),
        ({"verbose": 2}, "`verbose` must be an integer"),
        ({"fake_class": "swap"}, "`fake_class`"),
    ],
)
def test_wrong_arguments_raise(faces, arguments, message):
    with pytest.raises(ValueError, match=message):
        kd.recipes.train_detector(**{"index": index_of(faces), "verbose": 0, **arguments})


@pytest.mark.parametrize("argument", ["encoder", "fine_tune"])
def test_weights_that_are_not_finite_are_told_before_a_folder_is_made(faces, tmp_path, argument):
    network = make_network()
    kernel = network.get_layer("stem").kernel
    kernel.assign(np.full(kernel.shape, np.nan))
    with pytest.raises(ValueError, match="weights that are not finite, in 'stem/kernel'"):
        kd.recipes.train_detector(
            index_of(faces), output=tmp_path / "detector", verbose=0, **{argument: network}
        )
    assert not list(tmp_path.iterdir())


def test_photographs_need_blends(faces):
    index = kd.datasets.ImageIndex.from_directory(faces / "real", class_names=None)
    with pytest.raises(ValueError, match="must have labels for fakes='given'"):
        kd.recipes.train_detector(index, verbose=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"false_positive_rate": 2}, "`false_positive_rate` must be a finite number above 0"),
        ({"abstain": "x"}, "`abstain` must be a finite number above 0"),
        ({"false_positive_rate": 0.001}, "`false_positive_rate`=0.001 needs at least 999 real"),
        ({"abstain": 0.001}, "`abstain`=0.001 needs at least 999 fake images"),
        # Copies of an image tell nothing new of how images scatter.
        ({"abstain": 0.01, "copies": 9}, "`abstain`=0.01 needs at least 99 fake images"),
        ({"false_positive_rate": 0.03, "copies": 4}, "needs at least 33 real .* there are 25"),
    ],
)
def test_what_calibration_refuses_is_told_before_anything_is_encoded(
    faces, tmp_path, monkeypatch, arguments, message
):
    monkeypatch.setattr(detector_training, "encode_views", None)
    with pytest.raises(ValueError, match=message):
        kd.recipes.train_detector(
            index_of(faces), output=tmp_path / "detector", verbose=0, **arguments
        )
    assert not list(tmp_path.iterdir())


def test_persons_that_are_too_few_are_told_before_anything_is_encoded(faces, tmp_path, monkeypatch):
    monkeypatch.setattr(detector_training, "encode_views", None)
    index = kd.datasets.ImageIndex.from_directory(
        faces, groups=lambda path: f"{'real' in path}{path[-5] in '13579'}"
    )
    with pytest.raises(ValueError, match="at least 2 groups of each class"):
        kd.recipes.train_detector(index, output=tmp_path / "detector", verbose=0)
    assert not list(tmp_path.iterdir())
