"""Messages about names that are not known: what was meant, in the words of where it was asked."""

import doctest
import importlib

import numpy as np
import pytest
from typer.testing import CliRunner

from t1c import ir, sdk
from t1c.cli import app, wording

from .engine_helpers import lif
from .strategies_executor import chain


@pytest.fixture
def t1c(tmp_path, monkeypatch):
    """Runs a command that fails, in a folder that holds net.t1c and data.npz; gives its message."""
    monkeypatch.chdir(tmp_path)
    ir.write(
        "net.t1c", chain(("in", ir.Input((3,))), ("lif1", lif(0.25)), ("out", ir.Output((3,))))
    )
    np.savez("data.npz", x=np.ones((5, 2, 3)), y=np.array([0, 7]))

    def run(*arguments):
        result = CliRunner().invoke(app, [str(a) for a in arguments])
        assert isinstance(result.exception, SystemExit)
        assert result.exit_code in (1, 2)
        return result.stderr

    return run


@pytest.mark.parametrize("module", ["t1c.ir.guess", "t1c.cli.wording"])
def test_examples(module):
    found = doctest.testmod(importlib.import_module(module))
    assert found.attempted
    assert found.failed == 0


@pytest.mark.parametrize(
    ("arguments", "guess"),
    [
        (["node", "net.t1c", "lif"], "Did you mean 'lif1'?"),
        (["node", "net.t1c", "LIF1"], "Did you mean 'lif1'?"),
        (["stats", "net.t1c", "lif2"], "Did you mean 'lif1'?"),
        (["analyze", "net.t1c", "--node", "lf1"], "Did you mean 'lif1'?"),
        (["trace", "net.t1c", "in", "outt"], "Did you mean 'out'?"),
        (["plot", "net.t1c", "data.npz", "--node", "lif"], "Did you mean 'lif1"),
        (["plot", "net.t1c", "data.npz", "--kind", "rate"], "Did you mean 'rates'"),
        (["find", "net.t1c", "Conv2->LIF"], "Did you mean Conv2d"),
        (["primitives", "lif"], "Did you mean LIF?"),
        (["primitives", "Afine"], "Did you mean Affine"),
        (["infos", "net.t1c"], "Did you mean 'info'"),
        (["run", "net.t1c", "data.npz", "--step", "3"], "Did you mean --steps"),
    ],
)
def test_what_was_meant_is_guessed(t1c, arguments, guess):
    told = t1c(*arguments)
    assert guess in told
    assert "ir.list_primitives" not in told


@pytest.mark.parametrize(
    "arguments",
    [
        ["plot", "net.t1c", "data.npz", "--kind", "x"],
        ["run", "net.t1c", "data.npz", "--steps", "x"],
        ["run", "net.t1c", "data.npz", "--steps", "0"],
        ["run", "net.t1c", "data.npz", "--dtype", "int8"],
        ["verify", "net.t1c", "net.t1c", "data.npz", "--tolerance", "x"],
    ],
)
def test_the_parser_speaks_plainly(t1c, arguments):
    told = t1c(*arguments)
    assert told.startswith(f"error: Invalid value for '{arguments[-2]}': ")
    assert "Value error" not in told
    assert "Input should" not in told
    assert told.count("\n") == 1


def test_a_step_of_no_time_is_refused(t1c):
    assert "--dt" in t1c("info", "net.t1c", "--dt", "0")


def test_one_wrong_label_is_not_joined_by_none(t1c):
    told = t1c("run", "net.t1c", "data.npz")
    assert "the label 7; expected classes from 0 to 2" in told
    np.savez("data.npz", x=np.ones((5, 2, 3)), y=np.array([9, 7]))
    assert "the label 9 (and 1 more like it)" in t1c("run", "net.t1c", "data.npz")


def test_advice_names_verbs_where_a_verb_was_asked(t1c):
    assert "one that t1c primitives lists" in t1c("primitives", "Nothing at all")
    with pytest.raises(ir.UnknownPrimitiveError, match=r"ir\.list_primitives"):
        sdk.describe_primitive("Nothing at all")
    for python in wording.SAME:
        assert "t1c" in wording.advised(python) or "--" in wording.advised(python)
