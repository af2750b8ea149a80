import keras
import numpy as np
import pytest

import keras_deepfake as kd
from keras_deepfake.recipes import _fine_tuned_members, detector_training
from keras_deepfake.recipes._encoded_views import View, encode_views
from keras_deepfake.recipes._fine_tuned_members import MadeBatches, fine_tune_member
from keras_deepfake.recipes._network_encoders import NetworkEncoder, encoder_model, read_encoder

SIZE = 16


def make_network(name="network", size=SIZE):
    """A network that takes windows of one size and normalizes by fixed statistics."""
    keras.utils.set_random_seed(0)
    images = keras.Input((size, size, 3), name="images")
    x = keras.layers.Conv2D(8, 3, strides=2, name="conv")(images)
    x = keras.layers.BatchNormalization(name="norm")(x)
    return keras.Model(images, keras.layers.ReLU(name="relu")(x), name=name)


def color_statistics():
    images = keras.Input((None, None, 3))
    layer = kd.layers.MomentPooling(2, data_format="channels_last", name="cooccurrence")
    network = keras.Model(images, layer(images), name="cooccurrence")
    return NetworkEncoder("cooccurrence", network, ("cooccurrence",), True, False)


@pytest.fixture(autouse=True, scope="module")
def quick():
    """Few, large steps, and statistics of colours in place of co-occurrences."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detector_training, "cooccurrence_encoder", color_statistics)
        patch.setattr(_fine_tuned_members, "NUM_EPOCHS", 2)
        patch.setattr(_fine_tuned_members, "LEARNING_RATE", 0.05)
        yield


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """Reals that are smooth and fakes that are not, larger than the window, two of a person."""
    folder, random = tmp_path_factory.mktemp("faces"), np.random.default_rng(0)
    for i in range(48):
        name = "fake" if i % 2 else "real"
        image = np.full((24, 28, 3), random.uniform(0.3, 0.7))
        image += random.normal(0, 0.2, image.shape) * (name == "fake")
        (folder / name).mkdir(exist_ok=True)
        path = folder / name / f"p{i // 2 % 12:02d}_{i}.png"
        keras.utils.save_img(path, image.clip(0, 1) * 255, scale=False)
    return kd.datasets.ImageIndex.from_directory(
        folder, groups=lambda path: path.replace("\\", "/").split("/")[-1][:3]
    )


def train(index, output, verbose=0):
    return kd.recipes.train_detector(
        index, fine_tune=make_network(), output=output, copies=0, verbose=verbose
    )


@pytest.fixture(scope="module")
def trained(index, tmp_path_factory):
    return train(index, tmp_path_factory.mktemp("trained") / "detector")


def test_a_tuned_network_is_a_member_and_is_saved(index, trained, tmp_path):
    member = trained.members[1]
    assert (member["name"], member["depths"]) == ("network_tuned", ["relu"])
    assert member["l2"] is None
    # The noise is plain to see, but not in the means of colours.
    assert member["weight"] > 0
    assert trained.report.metrics["auc"] > 0.9
    trained.detector.save(tmp_path / "detector.keras")
    loaded = kd.models.load_model(tmp_path / "detector.keras")
    np.testing.assert_allclose(loaded.scores(index), trained.detector.scores(index), atol=1e-6)


def test_kernels_are_trained_and_batch_statistics_are_not(trained):
    tuned = {
        weight.path.split("/", 1)[-1]: weight for weight in trained.detector.members[1].weights
    }
    for weight in make_network().weights:
        found = [value for path, value in tuned.items() if path.endswith(weight.path)]
        assert len(found) == 1
        is_same = np.array_equal(*map(keras.ops.convert_to_numpy, (weight, found[0])))
        assert is_same == ("norm" in weight.path)


@pytest.mark.usefixtures("pages_without_pictures")
def test_a_run_that_was_cut_off_ends_the_same(index, trained, tmp_path, monkeypatch, capsys):
    calls = []

    class CutOff(kd.callbacks.ResumeTraining):
        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch, logs)
            calls.append(epoch)
            if len(calls) == 3:
                raise KeyboardInterrupt

    monkeypatch.setattr(_fine_tuned_members, "ResumeTraining", CutOff)
    with pytest.raises(KeyboardInterrupt):
        train(index, tmp_path / "detector")
    with pytest.warns(UserWarning, match="`fit` trains nothing"):
        again = train(index, tmp_path / "detector", verbose=1)
    # Of the second training one epoch was left, of the third two.
    assert calls == [0, 1, 0, 1, 0, 1]
    said = [line for line in capsys.readouterr().out.splitlines() if "more minutes" in line]
    assert said[-1] == "Fine-tuning takes about 0 more minutes."
    assert again.members == trained.members
    np.testing.assert_array_equal(again.detector.scores(index), trained.detector.scores(index))


def test_no_image_is_judged_by_a_network_that_has_seen_it(index, tmp_path, monkeypatch):
    is_fake, everything = index.labels == 0, np.arange(len(index))
    views = [View("clean", everything), View("blended", np.flatnonzero(~is_fake))]
    encoder = read_encoder(make_network())
    rows = encode_views(encoder_model(encoder)[0], index, is_fake, views, tmp_path / "rows", 0, 0)
    seen = []

    def note(encoder, crops_per_side, data, class_names, name, *_):
        seen.append(np.unique(np.concatenate([view.positions for view in data.views])))
        images = keras.Input((None, None, 3))
        classifier = kd.models.EncoderClassifier(
            keras.Model(images, keras.layers.GlobalAveragePooling2D()(images)),
            class_names,
            pooling=None,
            name=name,
        )
        classifier.get_layer("head").set_weights([np.zeros((3, 2)), np.array([len(seen), 0.0])])
        return classifier

    monkeypatch.setattr(_fine_tuned_members, "_train", note)
    groups = np.array(index.groups)[rows.positions]
    member = fine_tune_member(
        encoder, index, is_fake, views, rows, groups, ("fake", "real"), 0, tmp_path, 0, 0
    )
    judges = member.log_odds.round().astype(int)
    assert set(judges) == {1, 2}
    assert list(seen[2]) == list(everything)
    for number in (1, 2):
        of_judge = set(np.array(index.groups)[seen[number - 1]])
        assert not of_judge & set(groups[judges == number])


def test_windows_of_the_detector_have_the_weights_of_the_training(index, tmp_path):
    encoder = read_encoder(make_network())
    views = [View("clean", np.arange(8))]
    images = np.random.default_rng(0).random((3, SIZE, SIZE, 3), "float32")
    said = []
    for crops_per_side in (1, 2):
        data = MadeBatches(encoder, index, index.labels == 0, views, 0, (0, 0))
        folder = tmp_path / str(crops_per_side)
        arguments = (index.class_names, "tuned", folder, 0, [], 0)
        classifier = _fine_tuned_members._train(encoder, crops_per_side, data, *arguments)
        said.append(classifier.predict(images, verbose=0))
    np.testing.assert_allclose(*said, atol=1e-5)
    assert np.ptp(said[0]) > 0.01


class TestBatches:
    def test_every_view_of_every_image_comes_once_an_epoch(self, index):
        is_fake = index.labels == 0
        views = [View("clean", np.arange(40)), View("blended", np.flatnonzero(~is_fake))]
        data = MadeBatches(read_encoder(make_network()), index, is_fake, views, 1, (0,))
        batches = [data[i] for i in range(len(data))]
        assert len(batches) == 4
        windows, labels = map(np.concatenate, zip(*batches, strict=True))
        assert windows.shape == (40 + 48, SIZE, SIZE, 3)
        assert labels[:, 1].sum() == is_fake[:40].sum() + 24
        # The fakes of the index are the noisy ones.
        batches = {len(batch[0]): batch for batch in batches}
        windows, labels = batches[8]
        is_noisy = windows.std(axis=(1, 2, 3)) > 0.05
        np.testing.assert_array_equal(labels[:, 1] == 1, is_noisy)

    def test_what_is_drawn_follows_from_seed_and_epoch(self, index):
        encoder = read_encoder(make_network())

        def batch(seed, epoch):
            views = [View("degraded", np.arange(40))]
            data = MadeBatches(encoder, index, index.labels == 0, views, 0, seed)
            data.epoch = epoch
            return data[1][0]

        np.testing.assert_array_equal(batch((0,), 3), batch((0,), 3))
        assert not np.array_equal(batch((0,), 3), batch((0,), 2))
        assert not np.array_equal(batch((0,), 3), batch((1,), 3))

    def test_a_network_of_any_size_gets_whole_images_as_far_as_these_go(self, index):
        encoder = read_encoder(make_network(size=None))
        data = MadeBatches(
            encoder, index, index.labels == 0, [View("clean", np.arange(5))], 0, (0,)
        )
        assert data[0][0].shape == (5, 24, 28, 3)


def test_scales_and_biases_do_not_decay():
    model = make_network()
    optimizer = _fine_tuned_members._optimizer(model, 100)
    optimizer.build(model.trainable_variables)
    before = model.get_weights()
    for _ in range(3):
        optimizer.apply(
            [keras.ops.zeros(x.shape) for x in model.trainable_variables], model.trainable_variables
        )
    for weight, value in zip(model.weights, before, strict=True):
        is_same = np.array_equal(keras.ops.convert_to_numpy(weight), value)
        assert is_same == (weight.path != "conv/kernel"), weight.path


def test_the_rate_rises_and_falls_to_nothing():
    optimizer = _fine_tuned_members._optimizer(make_network(), 100)
    rates = []
    for step in (0, 5, 10, 55, 100):
        optimizer.iterations.assign(step)
        rates.append(float(optimizer.learning_rate))
    np.testing.assert_allclose(rates, [0, 0.025, 0.05, 0.025, 0], atol=1e-6)


def test_the_time_of_all_trainings_is_told_after_ten_batches(monkeypatch, capsys):
    clock = iter(range(0, 1000, 6))
    monkeypatch.setattr(_fine_tuned_members.time, "perf_counter", lambda: next(clock))
    time_left = _fine_tuned_members._TimeLeft().before(20)
    time_left.set_params({"steps": 300})
    time_left.on_epoch_begin(1)
    for batch in range(20):
        time_left.on_train_batch_end(batch)
    # The clock is read twice: 6 s for 10 batches; of 300 in the last epoch and 20 in each of two
    # others 329 are left.
    assert capsys.readouterr().out == "\nFine-tuning takes about 3 more minutes.\n"


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (3, "`fine_tune` must be a Keras model, a path or a name; got 3"),
        ("missing.keras", "there is no file"),
        ([make_network()], "`fine_tune` must be a Keras model"),
    ],
)
def test_what_is_no_network_is_refused(index, tmp_path, network, message):
    with pytest.raises(ValueError, match=message):
        kd.recipes.train_detector(index, fine_tune=network, output=tmp_path / "x", verbose=0)
    assert not list(tmp_path.iterdir())
