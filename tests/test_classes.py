import pytest

from keras_deepfake._classes import check_class_names, find_fake


@pytest.mark.parametrize(
    ("class_names", "fake"),
    [
        (("fake", "real"), 0),
        (("real", "fake"), 1),
        (("REAL", "FAKE"), 1),
        (("Fake", "Real"), 0),
        (("fAkE", "rEaL"), 0),
        (("0_real", "1_fake"), 1),
        (("training_fake", "training_real"), 0),
        (("TrainingReal", "TrainingFake"), 1),
        (("original", "manipulated"), 1),
        (("real", "swap"), 1),
        (("deepfakes", "photos"), 0),
        (("FakeFaces", "RealFaces"), 0),
        (("ffhq-real", "stylegan.generated"), 1),
        (("real", "swap", "fake"), 2),
    ],
)
def test_unambiguous_names_are_recognised(class_names, fake):
    assert find_fake(class_names) == fake


@pytest.mark.parametrize(
    "class_names",
    [
        ("a", "b"),
        ("0", "1"),
        ("fake_1", "fake_2"),
        ("not_fake", "fake"),
        ("real", "not_real"),
        ("real_fake", "other"),
        ("real", "swap", "gan"),
        ("fakery", "realism"),
        ("fake", "synthetic"),
    ],
)
def test_other_names_ask_for_the_fake_class(class_names):
    with pytest.raises(ValueError, match="`fake_class='"):
        find_fake(class_names)
    assert find_fake(class_names, fake_class=class_names[1]) == 1
    with pytest.raises(ValueError, match="`fake_class` must be one of"):
        find_fake(class_names, fake_class="neither")


@pytest.mark.parametrize(
    "class_names", ["fake", b"fake", ("fake",), ("a", "a"), ("a", ""), ("a", 1), None, 3, ()]
)
def test_wrong_class_names(class_names):
    with pytest.raises(ValueError, match="`class_names` must be two or more different names"):
        check_class_names(class_names)


def test_two_classes():
    assert check_class_names(["a", "b"], 2) == ("a", "b")
    with pytest.raises(ValueError, match="must be two different names"):
        check_class_names(("a", "b", "c"), 2)
