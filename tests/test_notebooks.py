"""The notebooks of the documentation run from top to bottom, and hold no stale output."""

import gc
import multiprocessing
import sys
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

FOLDER = Path(__file__).parent.parent / "examples" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def shell(monkeypatch):
    """What a Jupyter kernel runs cells by, here: a process would import everything anew."""
    monkeypatch.chdir(FOLDER)
    # It puts its own module there.
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    plt.switch_backend("agg")
    before = set(multiprocessing.active_children())
    shell = InteractiveShell.instance(config=Config(HistoryManager={"enabled": False}))
    yield shell
    plt.close("all")
    # What is compiled belongs to the names of the shell, and with these go a DataLoader's workers.
    torch.compiler.reset()
    gc.collect()
    shell.reset()
    gc.collect()
    InteractiveShell.clear_instance()
    assert set(multiprocessing.active_children()) <= before


def test_they_are_there():
    assert {path.stem for path in NOTEBOOKS} >= {"fine_tuned", "handed_over"}


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs(path, shell):
    cells = nbformat.read(path, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert len(code) > 5
    assert not any(cell.outputs or cell.execution_count for cell in code)
    # Readers are shown a warning; it does not end a cell.
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        for cell in code:
            shell.run_cell(cell.source, store_history=True).raise_error()
    assert shell.execution_count == len(code) + 1
