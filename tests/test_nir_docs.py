"""Every snippet of docs/nir.md runs."""

import re
import shutil
from pathlib import Path

import pytest

from t1c import nir

PAGE = (Path(__file__).parent.parent / "docs" / "nir.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
DATA = Path(__file__).parent / "data" / "nir"


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_a_snippet_runs(snippet, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copy(DATA / "lif.nir", "model.nir")
    shutil.copy(DATA / "producers" / "snntorch_leaky_subtract.nir", "snntorch.nir")
    exec(compile(snippet, "docs/nir.md", "exec"), {})
    said = capsys.readouterr().out
    if "lossy" in snippet:
        assert "2 problems" in said
        assert "2 things NIR cannot say" in said
    if "repair" in snippet:
        assert "t1c convert --repair batch-axis" in said
        assert "['batch-axis'] LIF '1', 'r': (1, 6) became (6,)." in said
    if "for_norse" in snippet:
        assert "Read it there with norse.torch.from_nir" in said
        assert "sinabs would not run this graph as it is meant: 2 problems" in said
    elif "dialect" in snippet:
        assert said == "subtract True\n"


def test_all_snippets_are_found():
    assert len(SNIPPETS) == PAGE.count("```python") == 5


def test_the_dialect_table_says_what_the_code_does():
    rows = {m[1]: m[0] for m in re.finditer(r"^\| `(\w+)` \| [^|]+\| (?:s|steps).*$", PAGE, re.M)}
    assert rows.keys() == nir.DIALECTS.keys()
    for name, row in rows.items():
        dialect = nir.DIALECTS[name]
        cells = [cell.strip() for cell in row.strip("| ").split("|")]
        if dialect.dt is not None:
            assert float(cells[1]) == dialect.dt
        assert cells[3] == dialect.integrator
        assert cells[4].startswith(dialect.reset or "`v_reset`")
        assert cells[5] == {"gt": "`>`", "ge": "`>=`"}[dialect.fires_at]
        assert ("next step" in cells[4]) == bool(dialect.delayed)


def test_the_table_of_readers_says_what_the_code_does():
    part = PAGE[PAGE.index("## For a named reader") : PAGE.index("What is made over, each with")]
    rows = {m[1]: m[0] for m in re.finditer(r"^\| `(\w+)` \|.{60,}$", part, re.M)}
    assert rows.keys() == nir.DIALECTS.keys()
    for name, row in rows.items():
        reader = nir.DIALECTS[name].reader
        _, step, neurons, reset, fires_at, layers, wiring, proof = (
            cell.strip() for cell in row.strip("| ").split("|")
        )
        assert f"{reader.dt:g}" in step.replace("1e-4", "0.0001").replace("1e-3", "0.001")
        assert step.startswith("any") == reader.any_dt
        assert all(kind in neurons for kind in reader.neurons)
        assert all(kind in layers for kind in reader.layers)
        assert reset.startswith(reader.reset)
        assert ("multiple" in reset) == (reader.spikes == "multiple")
        assert ("reset_delay=True" in reset) == reader.late
        assert fires_at == {"gt": "`>`", "ge": "`>=`"}[reader.fires_at]
        assert wiring.startswith("a chain") == (reader.wiring == "chain") or name == "lava"
        assert proof in ("run", "recorded", "read")
