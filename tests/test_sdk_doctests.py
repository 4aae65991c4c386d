"""Every example in the docstrings of the tools runs and gives what it says."""

import doctest
import importlib
import pkgutil

import pytest

from t1c import sdk

PARTS = [
    module.name
    for package in ("compare", "query", "change", "integers")
    for module in pkgutil.walk_packages([f"{sdk.__path__[0]}/{package}"], f"t1c.sdk.{package}.")
]
PARTS += ["t1c.ir.integers", "t1c.ir.interval", "t1c.ir.ranges", "t1c.bridge.fake_quantize"]


@pytest.mark.parametrize("name", PARTS)
def test_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = doctest.testmod(importlib.import_module(name))
    assert found.failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    count = sum(
        len(test.examples) for name in PARTS for test in finder.find(importlib.import_module(name))
    )
    assert count > 5
