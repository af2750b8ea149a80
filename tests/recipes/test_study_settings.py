import math

import pytest

from keras_deepfake.recipes import StudySettings


def test_defaults_are_the_study():
    settings = StudySettings()
    assert settings == StudySettings.preset("seed")
    assert settings.image_size == 256
    assert settings.filters == (168, 64, 32)
    assert (settings.l1, settings.l2) == (0.01, 0.1)
    assert (settings.subset, settings.split) == (0.3, (0.8, 0.1, 0.1))
    assert settings.split_autoencoder == (0.7, 0.15, 0.15)
    assert (settings.epochs_autoencoder, settings.epochs_classifier) == (10, 20)
    assert (settings.batch_size_autoencoder, settings.batch_size_classifier) == (64, 128)


def test_preset_and_changes():
    settings = StudySettings.preset("small", l1=0, filters=[4, 4])
    assert (settings.l1, settings.l2, settings.filters) == (0.0, 1e-4, (4, 4))
    with pytest.raises(ValueError, match="`name` must be one of 'seed', 'small'"):
        StudySettings.preset("large")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("image_size", 0),
        ("image_size", 64.5),
        ("filters", ()),
        ("filters", 8),
        ("filters", (8, 0)),
        ("l1", -1),
        ("l1", math.nan),
        ("l2", math.inf),
        ("activation", "relu"),
        ("corruption", "rain"),
        ("pretraining", None),
        ("subset", 0),
        ("subset", 1.5),
        ("split", (0.5, 0.5)),
        ("split", (0.5, 0.1, 0.1)),
        ("split", (1.2, -0.1, -0.1)),
        ("split_autoencoder", 0.5),
        ("epochs_autoencoder", 0),
        ("epochs_classifier", True),
        ("batch_size_autoencoder", 10**9),
        ("batch_size_classifier", -1),
    ],
)
def test_nonsense_is_refused(name, value):
    with pytest.raises(ValueError, match=rf"`{name}(\[\d\])?` must .*; got"):
        StudySettings(**{name: value})
