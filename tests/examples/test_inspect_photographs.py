import keras
import pytest

import keras_deepfake as kd


def test_photograph_that_is_drawn(main, tmp_path, capsys):
    encoder = keras.Sequential([keras.Input((16, 16, 3)), kd.layers.ConvBlock(2)])
    kd.models.EncoderClassifier(encoder).save("detector.keras")
    main(["detector.keras"])
    assert "1 photographs: " in capsys.readouterr().out
    assert "3 faces" in (tmp_path / "photographs.html").read_text(encoding="utf-8")


def test_mistakes_end_in_one_line(main):
    with pytest.raises(SystemExit, match=r"^inspect_photographs\.py: "):
        main(["missing.keras"])
