"""The layout of the package: who imports whom, what modules are called, and what loads what."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import keras_deepfake

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "keras_deepfake"
FILES = sorted(PACKAGE.rglob("*.py"))
FOLDERS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
MOST_LINES = 400

HEAVY = ("tensorflow", "keras_tuner", "matplotlib", "PIL")
# What a folder may load beyond `import keras`, on a backend that is not TensorFlow, in an order in
# which what one has loaded does not excuse the next.
LOADS = {
    "callbacks": set(),
    "evaluation": set(),
    "explanation": set(),
    "audit": {"PIL"},
    "visualization": {"matplotlib", "PIL"},
    "reports": {"matplotlib", "PIL"},
}


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in FILES}


def imported_modules(path):
    """Modules of the package that a file imports, within functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno} imports relatively"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else node.module for name in inner]
        else:
            continue
        yield from (name for name in names if name in MODULES)


def folder(module):
    """Folder of a module; "root" for the private modules that all folders may use."""
    name = module.partition(".")[2].partition(".")[0]
    return name if name in FOLDERS else "root"


def exports(name):
    """`__all__` of a folder, read without importing it."""
    for node in ast.parse((PACKAGE / name / "__init__.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == "__all__":
            return ast.literal_eval(node.value)
    return []


def drawn_arrows():
    """The arrows that CONTRIBUTING draws, a folder a line, in their order."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    block = re.search(r"```\n(root\b.*?)```", text, re.DOTALL)[1]
    lines = [line.partition("→") for line in block.splitlines()]
    return {name.strip(): set(re.findall(r"\w+", targets)) for name, _, targets in lines}


def found_arrows():
    arrows = {}
    for module, path in MODULES.items():
        # The package's own `__init__` stands above everything.
        if module == "keras_deepfake":
            continue
        for target in imported_modules(path):
            if folder(target) != folder(module):
                arrows.setdefault(folder(module), set()).add(folder(target))
    return arrows


def test_imports_follow_the_arrows_that_are_drawn():
    drawn = drawn_arrows()
    assert set(drawn) == {"root", *FOLDERS}
    for name, targets in found_arrows().items():
        extra = targets - drawn[name] - {"root"}
        assert not extra, f"{name} imports {extra}, which CONTRIBUTING.md does not draw"


def test_no_arrow_points_back():
    lower = set()
    for name, targets in drawn_arrows().items():
        assert targets <= lower, f"{name} → {targets - lower} points back"
        lower.add(name)


def test_every_arrow_that_is_drawn_is_used():
    found = found_arrows()
    for name, targets in drawn_arrows().items():
        unused = targets - found.get(name, set())
        assert not unused, f"nothing in {name} imports {unused}"


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_lists_what_it_exports(name):
    names = exports(name)
    assert names
    assert len(names) == len(set(names))


def test_no_module_has_the_name_of_a_function():
    # The function would hide its module from everyone who imports the folder.
    for name in FOLDERS:
        modules = {path.stem for path in (PACKAGE / name).glob("*.py")}
        hidden = modules & set(exports(name))
        assert not hidden, f"{name} has a module and a function of the name {hidden}"


def test_modules_that_only_their_folder_uses_are_private():
    used_outside = {
        target
        for module, path in MODULES.items()
        for target in imported_modules(path)
        if folder(target) != folder(module)
    }
    for module, path in MODULES.items():
        private = any(part.startswith("_") for part in module.split(".")[1:])
        if private or path.name == "__init__.py":
            if private and folder(module) != "root":
                assert module not in used_outside, f"{module} is private, and used outside"
            continue
        names = {
            node.name
            for node in ast.parse(path.read_text(encoding="utf-8")).body
            if isinstance(node, (ast.ClassDef, ast.FunctionDef))
        }
        assert names & set(exports(folder(module))) or module in used_outside, (
            f"{module} exports nothing and only its folder uses it: name it _{path.stem}"
        )


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_files_are_short_enough_to_read_whole(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MOST_LINES


@pytest.fixture(scope="module")
def loaded():
    """What the package and its folders load of `HEAVY` in turn, in a process on JAX."""
    code = f"""
import importlib, sys
import keras
before = set(sys.modules)
for name in {["keras_deepfake", *(f"keras_deepfake.{name}" for name in LOADS)]}:
    importlib.import_module(name)
    print(name, *({set(HEAVY)} & (sys.modules.keys() - before)))
"""
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    return {name: set(heavy) for name, *heavy in lines}


def test_the_package_loads_nothing_heavy(loaded):
    assert not loaded["keras_deepfake"]


@pytest.mark.parametrize("name", LOADS)
def test_a_folder_loads_no_tensorflow(name, loaded):
    assert loaded[f"keras_deepfake.{name}"] <= LOADS[name]


def test_folders_load_on_first_use():
    assert set(FOLDERS) <= set(dir(keras_deepfake))
    for name in FOLDERS:
        assert getattr(keras_deepfake, name).__name__ == f"keras_deepfake.{name}"
    with pytest.raises(AttributeError, match="has no attribute 'absent'"):
        keras_deepfake.absent  # noqa: B018
