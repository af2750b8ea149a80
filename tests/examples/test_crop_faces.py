import functools

import pytest

import keras_deepfake as kd


def test_options_reach_the_cropping(main, monkeypatch, capsys):
    given = []

    def crop_faces(*arguments, **options):
        given.append((*arguments, options))
        return kd.faces.FaceCrops([])

    monkeypatch.setattr(kd.faces, "crop_faces", crop_faces)
    monkeypatch.setattr(kd.faces, "FaceCropper", lambda *arguments: arguments)
    main(["in", "out/", "--size", "64", "--margin", "1", "--overwrite"])
    assert given == [("in", "out/", (64, 1.0), {"overwrite": True})]
    assert "0 files" in capsys.readouterr().out


def test_mistakes_end_in_one_line(main, monkeypatch):
    # Without MTCNN, which need not be installed.
    cropper = functools.partial(kd.faces.FaceCropper, face_detector=list)
    monkeypatch.setattr(kd.faces, "FaceCropper", cropper)
    with pytest.raises(SystemExit, match=r"^crop_faces\.py: .*no such file or folder\.$"):
        main(["missing", "out"])
