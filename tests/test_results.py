import csv
import json
import math

import numpy as np
import pytest

from keras_deepfake._results import Result, strict_json


class Tally(Result):
    def figures(self):
        return {"fakes": 3, "share": math.nan, "names": ("a", "\udcff")}

    def table(self):
        return [("name", "share"), ("\udcff\n$x$", 0.5), ("<b>", math.nan)]

    def summary(self):
        return "Three fakes."


def test_text_is_the_summary_and_the_table():
    assert str(Tally()).splitlines() == [
        "Three fakes.",
        "",
        "name         share",
        "\\udcff\\n$x$  0.500",
        "<b>            n/a",
    ]


def test_json_is_strict(tmp_path):
    Tally().save(tmp_path / "tally.json")
    text = (tmp_path / "tally.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"fakes": 3, "share": None, "names": ["a", "\udcff"]}
    assert "NaN" not in text
    numbers = {"a": np.float32("inf"), "b": [np.int64(3), np.bool_(True)]}
    assert json.dumps(strict_json(numbers)) == '{"a": null, "b": [3, true]}'


def test_csv_keeps_the_bytes_of_names(tmp_path):
    Tally().save(str(tmp_path / "tally.CSV"))
    with open(
        tmp_path / "tally.CSV", newline="", encoding="utf-8", errors="surrogateescape"
    ) as file:
        assert list(csv.reader(file)) == [
            ["name", "share"],
            ["\udcff\n$x$", "0.5"],
            ["<b>", "nan"],
        ]


def test_page_holds_summary_table_and_more_sections(tmp_path):
    Tally().save(tmp_path / "tally.html", sections=[("More", "of it")])
    page = (tmp_path / "tally.html").read_text(encoding="utf-8")
    for part in ("Three fakes.", "\\udcff\\n$x$", "&lt;b&gt;", "<h2>More</h2>"):
        assert part in page
    assert [path.name for path in tmp_path.iterdir()] == ["tally.html"]


@pytest.mark.parametrize(
    ("path", "sections", "message"),
    [
        ("tally.txt", (), "`path` must end in .html, .json or .csv; got 'tally.txt'"),
        ("tally", (), "`path` must end in"),
        (None, (), "`path` must be a path"),
        ("tally.csv", [("More",)], "`sections` are for a page"),
        ("tally.html", 3, "`sections` must be a list"),
        ("tally.html", "text", "`sections` must be a list"),
        ("tally.html", [3], "Each of `sections` must be"),
    ],
)
def test_wrong_arguments_are_refused(path, sections, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        Tally().save(path, sections=sections)
    assert not list(tmp_path.iterdir())
