import base64
import re
from html.parser import HTMLParser

import pytest
from matplotlib.figure import Figure

import keras_deepfake as kd

HOSTILE = '<script>alert("1")</script>&\'"><img src=x onerror=alert(2)>'


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text, self.attributes = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def picture():
    figure = Figure((2, 1))
    figure.add_subplot().plot([0, 1])
    return figure


def test_page_holds_all_contents(tmp_path):
    sections = [
        ("", "Introduction.", {"AUC": 0.5, "Images": 7}),
        ("Table", [("Name", "Value", "Interval"), ("first", 0.25, (0.1, 0.4))], "After."),
        ("Pictures", picture(), "A caption.", picture()),
    ]
    kd.reports.save_html(tmp_path / "page.html", "A title", sections)
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    page = Page(text)
    assert not page.open
    assert page.tags.count("section") == 3
    assert page.tags.count("h2") == 2
    assert page.tags.count("img") == 2
    assert page.tags.count("figcaption") == 1
    for part in ("Introduction.", "0.500", "7", "first", "0.250", "0.100 to 0.400", "A caption."):
        assert part in page.text
    images = [value for name, value in page.attributes if name == "src"]
    assert all(image.startswith("data:image/png;base64,") for image in images)
    assert base64.b64decode(images[0].split(",")[1]).startswith(b"\x89PNG")
    # Self-contained: nothing is fetched.
    assert not re.search(r"(src|href)=\"(?!data:)", text)
    assert "http" not in text


def test_no_text_becomes_markup(tmp_path):
    path = tmp_path / "page.html"
    sections = [
        (HOSTILE, HOSTILE, {HOSTILE: HOSTILE}, [(HOSTILE,), (HOSTILE,)], picture(), HOSTILE),
        ("Bytes of a file name", "a\udcff.png"),
    ]
    kd.reports.save_html(path, HOSTILE, sections)
    page = Page(path.read_text(encoding="utf-8"))
    assert not page.open
    assert "script" not in page.tags
    assert page.tags.count("img") == 1
    assert not any(name.startswith("on") for name, _ in page.attributes)
    assert sum(HOSTILE in text for text in page.text) == 9


def test_earlier_page_stays_when_a_section_is_wrong(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("earlier")
    with pytest.raises(ValueError, match="a list of rows; got int"):
        kd.reports.save_html(path, "title", [("heading", 3)])
    assert path.read_text() == "earlier"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("path", "title", "sections", "message"),
    [
        (3, "title", [], "`path` must be a path"),
        ("page.html", None, [], "`title` must be a text; got None"),
        ("page.html", "title", None, "`sections` must be an iterable"),
        ("page.html", "title", "text", "`sections` must be an iterable"),
        ("page.html", "title", ["text"], "Each of `sections` must be"),
        ("page.html", "title", [()], "Each of `sections` must be"),
        ("page.html", "title", [(3, "text")], "Each of `sections` must be"),
        ("page.html", "title", [("heading", [])], "a list of rows; got list"),
        ("page.html", "title", [("heading", ["a", "b"])], "a list of rows; got list"),
        (
            "page.html",
            "title",
            [("heading", [("a", "b"), ("c",)])],
            r"rows of one length.*\[1, 2\]",
        ),
    ],
)
def test_wrong_arguments_are_refused(path, title, sections, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        kd.reports.save_html(path, title, sections)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "shown"),
    [("a\udcff\n.png", "a\\udcff\\n.png"), ("$x$ = \x1b[2J", "$x$ = \\x1b[2J"), ("顔", "顔")],
)
def test_names_are_printable_everywhere(name, shown, tmp_path):
    sections = [(name, {name: name}, [(name,), (name,)])]
    kd.reports.save_html(tmp_path / "page.html", name, sections)
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    # Title twice, heading, tile and its name, two cells.
    assert page.text.count(shown) == 7


def test_a_column_of_numbers_may_begin_without_one(tmp_path):
    rows = [("name", "share"), ("a", None), ("b", 0.5)]
    kd.reports.save_html(tmp_path / "page.html", "title", [("", rows)])
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert '<td class="number">0.500' in page
