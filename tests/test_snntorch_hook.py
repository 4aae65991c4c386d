"""The modules that t1c adds beside snnTorch: found, last in line, cheap and silent."""

import importlib
import importlib.util
import os
import subprocess
import sys
from importlib.metadata import files, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from t1c import _snntorch_hook as hook


def run_python(code, *options, **kwargs):
    """What a fresh interpreter of this environment prints, stderr included."""
    done = subprocess.run(
        [sys.executable, *options, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
        timeout=120,
        **kwargs,
    )
    return done.stdout.strip()


@pytest.mark.parametrize("name", hook.WRAPPERS)
def test_finder_names_a_file_that_exists(name):
    spec = hook.SnnTorchFinder.find_spec(name)
    assert spec is not None
    assert spec.name == name
    assert spec.origin is not None
    assert Path(spec.origin).is_file()


@pytest.mark.parametrize("name", ["snntorch", "snntorch.leaky", "import_t1cir", "t1c.bridge"])
def test_finder_knows_no_other_name(name):
    assert hook.SnnTorchFinder.find_spec(name) is None


def test_importing_the_hook_appends_the_finder(monkeypatch):
    finders = [finder for finder in sys.meta_path if finder is not hook.SnnTorchFinder]
    monkeypatch.setattr(sys, "meta_path", finders.copy())
    # A second copy under another name: the one in use stays as it is.
    spec = importlib.util.spec_from_file_location("hook_copy", hook.__file__)
    assert spec is not None
    assert spec.loader is not None
    copy = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copy)
    assert sys.meta_path == [*finders, copy.SnnTorchFinder]


def test_import_from_ir_is_ir_to_torch(monkeypatch):
    wrapper = importlib.import_module("snntorch.import_t1cir")
    monkeypatch.setattr(wrapper, "ir_to_torch", lambda *args, **kwargs: (args, kwargs))
    assert wrapper.import_from_ir("model.t1c") == (
        ("model.t1c",),
        {"node_map": None, "return_state": False, "validate": True},
    )
    node_map = {int: str}
    assert wrapper.import_from_ir("model.t1c", node_map, True, False) == (
        ("model.t1c",),
        {"node_map": node_map, "return_state": True, "validate": False},
    )


FOUND = """
print(find_spec("snntorch.import_t1cir").name)
sys.meta_path = [f for f in sys.meta_path if "t1c" not in f.__module__]
del sys.modules["t1c._snntorch_hook"], sys.modules["t1c"]
print(find_spec("snntorch.import_t1cir"))
import t1c.bridge
from snntorch import import_t1cir as wrapper
print(wrapper.import_from_ir.__module__)
print(Path(wrapper.__file__).is_relative_to(Path(snn.__file__).parent))
"""
USED = """
warnings.simplefilter("ignore")
from snntorch.export_t1cir import export_to_ir
from snntorch.import_t1cir import import_from_ir
from t1c import ir
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(6, 4), snn.Leaky(0.5, init_hidden=True))
ir.write("model.t1c", export_to_ir(model, torch.zeros(1, 6)))
xs = 4 * torch.rand(20, 3, 6)
wanted = torch.stack([model(x) for x in xs])
found, _ = import_from_ir("model.t1c").run(xs)
print(export_to_ir.__module__, torch.equal(found, wanted), bool(wanted.any()))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_fresh_interpreter_finds_the_wrappers_uses_them_and_leaves_snntorch_alone(tmp_path):
    """First by the start line; and without it, once the bridge has been imported."""
    printed = run_python(
        "import os, sys, warnings, torch, snntorch as snn\n"
        "from importlib.util import find_spec\n"
        "from pathlib import Path\n"
        # Torch is imported once; what follows starts in the same state.
        f"for code in {[FOUND, USED]}:\n"
        "    if not os.fork():\n"
        "        exec(code)\n"
        "        break\n"
        "    os.wait()",
        cwd=tmp_path,
    )
    name = "snntorch.import_t1cir"
    found = [name, "None", name, "False"]
    assert printed.splitlines() == [*found, "snntorch.export_t1cir True True"]


def test_a_module_of_snntorchs_own_wins(tmp_path):
    fork = tmp_path / "snntorch"
    fork.mkdir()
    (fork / "__init__.py").touch()
    (fork / "import_t1cir.py").write_text("import_from_ir = 'the fork'\n")
    code = "from snntorch.import_t1cir import import_from_ir; print(import_from_ir)"
    assert run_python(code, cwd=tmp_path) == "the fork"


def test_starting_python_is_silent_and_loads_nothing_more():
    code = (
        "import sys\n"
        "packages = {'t1c', 'snntorch', 'torch', 'numpy'}\n"
        "print(sorted(name for name in sys.modules if name.split('.')[0] in packages))"
    )
    printed = run_python(code, "-W", "error")
    assert printed == "['t1c', 't1c._snntorch_hook']"


def start_lines(distribution):
    """The lines of a distribution's .pth files that Python runs at its start, by file."""
    return {
        file.name: lines
        for file in files(distribution) or []
        if file.suffix == ".pth"
        # What Python runs starts like this; any other line is a folder to search.
        if (lines := [line for line in file.read_text().splitlines() if line.startswith("import")])
    }


def test_t1c_alone_runs_nothing_when_python_starts():
    assert files("t1c")
    assert start_lines("t1c") == {}


def test_the_start_line_comes_with_the_extra_and_survives_a_broken_package():
    (wanted,) = {
        found.name
        for requirement in requires("t1c") or []
        if (found := Requirement(requirement)).name.startswith("t1c")
        if found.marker is not None and found.marker.evaluate({"extra": "snntorch"})
    }
    ((name, lines),) = start_lines(wanted).items()
    assert name == "t1c_snntorch_hook.pth"
    assert len(lines) == 1
    broken = "import sys; sys.modules['t1c'] = None\n"
    assert run_python(broken + lines[0], "-S") == ""
