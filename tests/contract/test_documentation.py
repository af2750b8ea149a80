"""Every public name is documented, and every example in a docstring runs."""

import importlib
import inspect
import pkgutil
import re
import textwrap

import keras
import numpy as np
import pytest

import keras_deepfake as kd


def public_objects():
    for module in pkgutil.iter_modules(kd.__path__):
        if module.name.startswith("_"):
            continue
        package = importlib.import_module(f"keras_deepfake.{module.name}")
        for name in package.__all__:
            yield pytest.param(getattr(package, name), id=f"{module.name}.{name}")


def examples(documented):
    texts = [documented.__doc__ or ""]
    if inspect.isclass(documented):
        texts += [
            member.__doc__ or ""
            for name, member in vars(documented).items()
            if inspect.isfunction(member) and not name.startswith("_")
        ]
    for text in texts:
        yield from re.findall(r"```python\n(.*?)```", inspect.cleandoc(text), re.DOTALL)


@pytest.mark.parametrize("documented", list(public_objects()))
def test_documented_example_runs(documented, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = list(examples(documented))
    assert blocks, "no example in the docstring"
    for block in blocks:
        exec(textwrap.dedent(block), {"kd": kd, "keras": keras, "np": np})


@pytest.mark.parametrize("documented", list(public_objects()))
def test_arguments_are_documented(documented):
    function = documented.__init__ if inspect.isclass(documented) else documented
    if not inspect.isfunction(function):
        return
    names = [
        parameter.name
        for parameter in inspect.signature(function).parameters.values()
        if parameter.name != "self" and not parameter.name.startswith("_")
    ]
    text = documented.__doc__
    missing = [name for name in names if not re.search(rf"^\s+\**{name}\b.*:", text, re.MULTILINE)]
    assert not missing
