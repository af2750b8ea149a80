"""`write_table.py` writes the page of all scripts, or leaves what is there."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent.parent / "benchmarks" / "write_table.py"
PAGE = "# Benchmarks\nOld tables.\n\n## What they say\n- Read **this** again.\n"


@pytest.fixture
def write_table(tmp_path, monkeypatch):
    """The module, whose folder holds one script that measures and one that does not."""
    spec = importlib.util.spec_from_file_location("write_table", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "benchmarks.md").write_text(PAGE)
    (folder / "speed.py").write_text(
        '"""Speed of one thing.\n\nMore of it."""\n'
        'print("round 1")\nprint("| seconds | ratio |\\n|---|---|\\n| 2 | 0.50 |")\n'
    )
    (folder / "drawing.py").write_text('"""Draws."""\nraise SystemExit("not to be run")\n')
    monkeypatch.setattr(module, "FOLDER", folder)
    monkeypatch.setattr(module, "PEERS", ("keras", "numpy"))  # PyTorch is an extra
    monkeypatch.setattr(sys, "argv", ["write_table.py"])
    return module


def test_tables_are_new_and_remarks_stay(write_table, tmp_path):
    write_table.main()
    page = (tmp_path / "docs" / "benchmarks.md").read_text()
    assert "Old tables" not in page
    assert "## Speed of one thing\n`benchmarks/speed.py`, 0 minutes.\n" in page
    assert "| seconds | ratio |\n|---|---|\n| 2 | 0.50 |" in page
    assert "round 1" not in page
    assert page.endswith("\n\n## What they say\n- Read **this** again.\n")
    write_table.main()
    assert (tmp_path / "docs" / "benchmarks.md").read_text() == page


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ('"""Fails.\n"""\n"| ratio |"\nraise SystemExit(3)\n', subprocess.CalledProcessError),
        ('"""Prints nothing.\n"""\n"| ratio |"\n', ValueError),
    ],
)
def test_nothing_is_written_if_a_script_fails(write_table, tmp_path, content, error):
    (tmp_path / "benchmarks" / "zebra.py").write_text(content)
    with pytest.raises(error):
        write_table.main()
    assert (tmp_path / "docs" / "benchmarks.md").read_text() == PAGE


def test_named_scripts_are_printed(write_table, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["write_table.py", "speed.py"])
    write_table.main()
    assert "| 2 | 0.50 |" in capsys.readouterr().out
    assert (tmp_path / "docs" / "benchmarks.md").read_text() == PAGE
