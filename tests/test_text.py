import pytest

from keras_deepfake._text import format_cell, printable, text_table


@pytest.mark.parametrize(
    "name",
    [
        "face 1.png",
        "Лицо.png",
        "顔.png",
        "وجه.png",
        "می\N{ZERO WIDTH NON-JOINER}خواهم.png",
        "👩\N{ZERO WIDTH JOINER}🔬.png",
        "=1+1.png",
        "$x_1$.png",
        "<b>&.png",
        "C:\\faces",
    ],
)
def test_names_in_any_script_stay(name):
    assert printable(name) == name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\nb", "a\\nb"),
        ("a\r\tb", "a\\r\\tb"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\x7f\x9b", "\\x7f\\x9b"),
        ("\udcff.png", "\\udcff.png"),
        ("\N{RIGHT-TO-LEFT OVERRIDE}gnp.exe", "\\u202egnp.exe"),
        ("a\N{LINE SEPARATOR}b", "a\\u2028b"),
    ],
)
def test_what_breaks_a_line_or_its_encoding_is_escaped(name, shown):
    assert printable(name) == shown
    shown.encode()


def test_cells():
    nan = float("nan")
    cells = [
        0.12345,
        7,
        True,
        "text",
        None,
        nan,
        (0.1, 0.25),
        (nan, nan),
        ("a", "b"),
        -0.0002,
        -1e-17,
    ]
    assert [format_cell(cell) for cell in cells] == [
        "0.123",
        "7",
        "True",
        "text",
        "",
        "n/a",
        "0.100 to 0.250",
        "n/a",
        "('a', 'b')",
        "-0.0002",
        "0.000",
    ]


def test_table_is_aligned_with_numbers_to_the_right():
    rows = [
        ("name", "value", "verdict"),
        ("a\nb", 1.5, "fake"),
        ("顔", None, ""),
        ("e\u0301", 2, "x"),
    ]
    assert text_table(rows).splitlines() == [
        "name  value  verdict",
        "a\\nb  1.500  fake",
        "顔",
        "e\u0301         2  x",
    ]
