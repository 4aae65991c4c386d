"""Every Python snippet of the README and of the docs runs, and prints what the page says.

The snippets of a page run one after the other, in one namespace and an empty folder that holds the
files a reader would have. A ``text`` block right behind a snippet is what it prints; numbers may
differ in their last digits, which another machine may round otherwise.
"""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from .peers import peer

ROOT = Path(__file__).parent.parent
DATA = Path(__file__).parent / "data"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FILES = {
    "c.md": {"examples/digits.t1c": ROOT / "examples" / "digits.t1c"},
    "README.md": {"examples/digits.t1c": ROOT / "examples" / "digits.t1c"},
    "performance.md": {"examples/digits.t1c": ROOT / "examples" / "digits.t1c"},
    "exported.md": {"examples/digits.t1c": ROOT / "examples" / "digits.t1c"},
    "measure.md": {
        name: ROOT / name for name in ("examples/digits.t1c", "examples/digits_test.npz")
    },
    "quantize.md": {
        name: ROOT / name for name in ("examples/digits.t1c", "examples/digits_test.npz")
    },
    "sdk.md": {"examples/digits.t1c": ROOT / "examples" / "digits.t1c"},
    "serve.md": {name: ROOT / name for name in ("examples/digits.t1c", "examples/digits_test.npz")},
    "tour.md": {name: ROOT / name for name in ("examples/digits.t1c", "examples/digits_test.npz")},
    "viz.md": {"model.t1c": ROOT / "examples" / "digits.t1c"},
    "onnx-import.md": {
        f"examples/digits_{name}.onnx": ROOT / "examples" / f"digits_{name}.onnx"
        for name in ("relu", "qcfs")
    },
    "nir.md": {
        "model.nir": DATA / "nir" / "lif.nir",
        "snntorch.nir": DATA / "nir" / "producers" / "snntorch_leaky_subtract.nir",
    },
}
JELLY = [f"spikingjelly.activation_based.{name}" for name in ("functional", "layer", "neuron")]
NEEDS = {
    "README.md": ["snntorch", *JELLY],
    "export.md": ["snntorch", *JELLY],
    "verify.md": ["snntorch"],
    "onnx-import.md": ["onnx"],
}
SNIPPET = re.compile(
    r"^```python\n(.*?)^```$(?:\n\n^```text\n(.*?)^```$)?", re.DOTALL | re.MULTILINE
)
NUMBER = re.compile(r"-?\d+\.\d+(?:e[+-]?\d+)?")


def snippets(page):
    return SNIPPET.findall(page.read_text())


def tidy(text):
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def pages():
    """Those with snippets; torch's export takes seconds."""
    for page in PAGES:
        if snippets(page):
            slow = [pytest.mark.slow] if page.name == "exported.md" else []
            yield pytest.param(page, id=page.name, marks=slow)


@pytest.mark.parametrize("page", list(pages()))
def test_a_page_runs_and_prints_what_it_says(page, tmp_path, monkeypatch, capsys):
    peer(*NEEDS.get(page.name, ["t1c"]))
    monkeypatch.chdir(tmp_path)
    for name, source in FILES.get(page.name, {}).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, tmp_path / name)
    names = {"__name__": "example"}
    for code, promised in snippets(page):
        exec(compile(code, "example.py", "exec"), names)
        printed = capsys.readouterr().out
        if promised:
            assert NUMBER.sub("#", tidy(printed)) == NUMBER.sub("#", tidy(promised))
            found, expected = (list(map(float, NUMBER.findall(t))) for t in (printed, promised))
            assert found == pytest.approx(expected, rel=1e-3)
    for value in names.values():
        # Where a script ends, here other tests go on.
        if isinstance(value, np.lib.npyio.NpzFile):
            value.close()


def test_no_snippet_is_missed():
    for page in PAGES:
        assert len(snippets(page)) == page.read_text().count("```python"), page.name
        # What a page says that is printed stands right behind what prints it.
        assert page.read_text().count("```text") == sum(bool(t) for _, t in snippets(page)), (
            page.name
        )


def test_every_page_is_in_the_readme():
    readme = (ROOT / "README.md").read_text()
    assert [p.name for p in PAGES[1:] if f"(docs/{p.name})" not in readme] == []
