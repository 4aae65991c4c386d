"""The notebooks of the documentation run from top to bottom, and hold no stale output."""

import os
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent.parent / "examples" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def test_they_are_there():
    assert {path.stem for path in NOTEBOOKS} >= {"fine_tuned", "handed_over"}


def test_they_run(monkeypatch):
    """One after the other in one process, which forgets the names of the one before.

    Starting a process and importing takes longer than running most of them.
    """
    everything, of_all = nbformat.v4.new_notebook(), 0
    for path in NOTEBOOKS:
        cells = nbformat.read(path, as_version=4).cells
        code = [cell for cell in cells if cell.cell_type == "code"]
        assert code
        assert not any(cell.outputs or cell.execution_count for cell in code)
        everything.cells += [nbformat.v4.new_code_cell("%reset -f"), *cells]
        of_all += len(code) + 1
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    client = NotebookClient(
        everything,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(FOLDER)}},
    )
    client.execute()
    ran = [c for c in everything.cells if c.cell_type == "code" and c.execution_count]
    assert len(ran) == of_all > 20
