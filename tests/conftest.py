"""One Hypothesis profile: no deadline (slow machines), few but fresh examples; fewer for mutants.

What is measured for the engine's choices is kept out of the user's cache, and forgotten; compiled
loops are kept beside the tests, for each other process and the next time. Most of the time goes to
compiling them, which neither coverage nor the garbage collector should hold up.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import os
import tempfile
from pathlib import Path

import pytest
import typer.main
import typer.testing
from hypothesis import HealthCheck, Phase, settings

from .examples import drawn
from .grids import beyond
from .untraced import trace_once

settings.register_profile(
    "t1c",
    deadline=None,
    max_examples=drawn(25),
    phases=[phase for phase in Phase if phase is not Phase.explain],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
# One failure says enough about a mutant: a smaller one, or a second, would only cost time.
settings.register_profile(
    "mutants",
    settings.get_profile("t1c"),
    max_examples=8,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    report_multiple_bugs=False,
)
settings.load_profile(os.environ.get("T1C_TESTS", "t1c"))

trace_once()

# What tests write need not outlive the machine: waiting for the disk would be most of writing.
os.fsync = lambda fd: None

# Typer reads the options of all verbs anew at each call: as a process does it once, so here.
vars(typer.testing)["_get_command"] = functools.cache(typer.main.get_command)

_cache = tempfile.TemporaryDirectory(prefix="t1c-tests-")
os.environ["T1C_CACHE"] = _cache.name
_loops = Path(__file__).parent / "__pycache__" / "loops"
_loops.mkdir(parents=True, exist_ok=True)
Path(_cache.name, "loops").symlink_to(_loops, target_is_directory=True)


def pytest_collection(session):
    """Every other worker imports the tests from their end: what one has compiled another finds."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    if number % 2 and session.config.args_source is session.config.ArgsSource.TESTPATHS:
        for path in sorted(Path(__file__).parent.glob("test_*.py"), reverse=True):
            # Whatever a file has to say is heard when it is collected.
            with contextlib.suppress(Exception, pytest.skip.Exception):
                importlib.import_module(f"{__package__}.{path.stem}")


def pytest_collection_modifyitems(items):
    for cell in beyond(items):
        cell.add_marker(pytest.mark.slow)


# Most of what is made goes without the collector, and what is imported stays.
gc.set_threshold(100_000, 20, 20)


def pytest_collection_finish():
    """What is there by now the collector need not look through again and again."""
    gc.collect()
    gc.freeze()


# As the process ends it is looked through after all: some libraries report what is left behind.
atexit.register(gc.unfreeze)


@pytest.fixture(scope="module")
def one_thread():
    """Small tensors gain nothing from threads, and wait for them on a busy machine."""
    # Not before the profile above is loaded: settings of tests take the rest from it.
    from .engine_helpers import threads

    with threads(1):
        yield


@pytest.fixture
def uncompiled(monkeypatch):
    """Generated loops by what their operations mean to NumPy: no compiler."""
    from t1c.bridge.engine.kernels.generated import llvm_launch

    from .engine_helpers import plain

    monkeypatch.setattr(llvm_launch, "launch", plain)
    monkeypatch.setattr(llvm_launch, "work", plain)
