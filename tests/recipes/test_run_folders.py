import contextlib
import pathlib
import shutil

import pytest

from keras_deepfake.recipes._run_folders import run_folder

SETTINGS = {"seed": 0, "split": (0.5, 0.5)}


class Kill(BaseException):
    """Ends a run as `kill -9` does, as far as nothing catches it."""


def write(output, content, settings=SETTINGS, overwrite=False):
    with run_folder(output, settings, overwrite) as run:
        (run.state / "weights").write_text(content)
        if content == "killed":
            (run.results / ".model.0a1b.tmp").write_text("half a mod")
            raise Kill
        (run.results / "model").write_text(content)


@pytest.fixture
def output(tmp_path):
    return tmp_path / "runs" / "one"


def names(output):
    return sorted(path.name for path in output.parent.iterdir() if path.suffix != ".lock")


def test_results_appear_whole_and_alone(output):
    with run_folder(output, SETTINGS) as run:
        (run.results / "model").write_text("x")
        assert not output.exists()
    assert names(output) == ["one"]
    assert sorted(path.name for path in output.iterdir()) == ["model", "settings.json"]
    with pytest.raises(ValueError, match="is there already"):
        write(output, "y")
    write(output, "y", overwrite=True)
    assert (output / "model").read_text() == "y"
    assert names(output) == ["one"]


def test_unfinished_run_goes_on_only_with_its_settings(output):
    with pytest.raises(Kill):
        write(output, "killed")
    with pytest.raises(ValueError, match="unfinished run that differs in `seed`"):
        write(output, "y", {**SETTINGS, "seed": 1})
    with run_folder(output, SETTINGS) as run:
        assert (run.state / "weights").read_text() == "killed"
    assert [path.name for path in output.iterdir()] == ["settings.json"]
    shutil.rmtree(output)

    with pytest.raises(Kill):
        write(output, "killed")
    # As if the next process was killed while it dropped this one.
    shutil.rmtree(output.with_name("one.unfinished") / "state")
    with run_folder(output, {**SETTINGS, "seed": 1}, overwrite=True) as run:
        assert not (run.state / "weights").exists()


@pytest.mark.parametrize("moment", range(5))
@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_moment_of_the_end(output, moment, after, monkeypatch):
    """Every call that moves or deletes something is a moment, before and after it."""
    write(output, "old")
    calls = []

    def deadly(function):
        def call(*args, **kwargs):
            calls.append(function)
            if len(calls) == moment + 1 and not after:
                raise Kill
            result = function(*args, **kwargs)
            if len(calls) == moment + 1:
                raise Kill
            return result

        return call

    with monkeypatch.context() as patch:
        for owner, name in (
            (pathlib.Path, "rename"),
            (pathlib.Path, "rmdir"),
            (shutil, "rmtree"),
        ):
            patch.setattr(owner, name, deadly(getattr(owner, name)))
        with contextlib.suppress(Kill):
            write(output, "new", overwrite=True)
    assert len(calls) <= 5, "there are more moments than this test walks"

    found = output if output.exists() else output.with_name("one.unfinished") / "replaced"
    content = (found / "model").read_text()
    assert content in ("old", "new")
    assert sorted(path.name for path in found.iterdir()) == ["model", "settings.json"]
    # The next start puts all in order, even one that is refused.
    with pytest.raises(ValueError, match="is there already"):
        write(output, "newer")
    assert (output / "model").read_text() == content
    write(output, "newest", overwrite=True)
    assert (output / "model").read_text() == "newest"
    assert names(output) == ["one"]


def test_second_run_at_a_time_is_refused(output):
    """The lock is one that another process meets as well: tests/test_locks.py."""
    with (
        run_folder(output, SETTINGS),
        pytest.raises(ValueError, match="Another process"),
        run_folder(output, SETTINGS),
    ):
        pass
    assert names(output) == ["one"]


def test_what_is_no_run_is_left_alone(output):
    output.mkdir(parents=True)
    (output / "photographs").write_text("precious")
    with pytest.raises(ValueError, match="not the folder of a run"):
        write(output, "x", overwrite=True)
    # Another program's file of that name.
    for text in ('{"editor.tabSize": 4}', "[]", "{", '{"written_by": "hand"}'):
        (output / "settings.json").write_text(text)
        with pytest.raises(ValueError, match="not the folder of a run"):
            write(output, "x", overwrite=True)
    assert (output / "photographs").exists()
    shutil.rmtree(output)
    work = output.with_name("one.unfinished")
    work.mkdir()
    (work / "photographs").write_text("precious")
    with pytest.raises(OSError, match="not empty"):
        write(output, "x", overwrite=True)
    assert (work / "photographs").exists()


@pytest.mark.parametrize("name", [".DS_Store", "photographs"])
def test_what_something_else_writes_beside_a_run_costs_no_results(output, name):
    work = output.with_name("one.unfinished")
    with run_folder(output, SETTINGS) as run:
        (run.results / "model").write_text("x")
        (work / name).write_text("y")
    assert (output / "model").read_text() == "x"
    assert work.exists() == (name == "photographs")
    if work.exists():
        assert (work / name).read_text() == "y"
        with pytest.raises(OSError, match="not empty"):
            write(output, "z", overwrite=True)
        shutil.rmtree(work)
    write(output, "z", overwrite=True)
    assert (output / "model").read_text() == "z"


@pytest.mark.parametrize(
    ("output", "message"), [("", "must be a path"), ("/", "name a folder"), (3, "must be a path")]
)
def test_output_must_name_a_folder(output, message):
    with pytest.raises(ValueError, match=f"`output` .*{message}"):
        write(output, "x")


def test_output_in_a_file_is_told_with_its_path(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        write(tmp_path / "file" / "one", "x")
