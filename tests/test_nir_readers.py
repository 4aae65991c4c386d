"""A file written for a reader gives the same spikes there: the readers themselves at work."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t1c import ir, nir

from .nir_readers import PACKAGES, digits, executed, images, inputs, network, quiet, run
from .peers import peer

PAGE = Path(__file__).parent.parent / "docs" / "nir.md"


@pytest.fixture(params=PACKAGES)
def name(request):
    """A reader that is installed."""
    with quiet():
        peer("nir", PACKAGES[request.param])
    return request.param


def compared(name, graph, xs, folder):
    """Spikes that differ, and those that were fired."""
    nir.write(folder / "a.nir", graph, dialect=name)
    there, here = run(name, folder / "a.nir", xs), executed(graph, xs)
    assert there.shape == here.shape
    return int((there != here).sum()), here


def test_digits_run_there_as_here(name, tmp_path):
    """Every spike of 450 images over 16 steps, and the page says how many that are."""
    xs, labels = images()
    differing, here = compared(name, digits(name), xs, tmp_path)
    assert differing == 0
    assert here.sum() > 4000
    right = (here.sum(0).argmax(1) == labels).mean()
    row = f"| `{name}` | 0 | {here.size:,} | {int(here.sum()):,} | {right:.1%} |"
    assert row in PAGE.read_text()


KINDS = st.fixed_dictionaries(
    {
        "maps": st.booleans(),
        "norm": st.booleans(),
        "skip": st.booleans(),
        "loop": st.booleans(),
        "fires_at": st.sampled_from(["ge", "gt"]),
    }
)


def test_random_networks_run_there_as_here_or_are_refused(name, tmp_path):
    """On a grid, where thresholds are met exactly: not one spike may differ."""
    reader = nir.DIALECTS[name].reader
    counts = {"run": 0, "refused": 0, "spikes": 0, "met": 0}

    @settings(max_examples=25)
    @given(seed=st.integers(0, 2**32 - 1), kinds=KINDS)
    def check(seed, kinds):
        rng = np.random.default_rng(seed)
        kinds["skip"] &= not kinds["maps"]
        kinds["loop"] &= not kinds["maps"]
        graph = network(rng, name, **kinds)
        xs = inputs(rng, graph)
        try:
            differing, here = compared(name, graph, xs, tmp_path)
        except ir.UnsupportedError as error:
            # Of these networks only branches and loops can be refused.
            assert (kinds["skip"] and reader.wiring != "any") or (
                kinds["loop"] and not reader.loops
            )
            assert all(p.expected and p.remedy for p in error.problems)
            counts["refused"] += 1
            return
        assert differing == 0
        counts["run"] += 1
        counts["spikes"] += int(here.sum())

    check()
    assert counts["run"] >= 8
    assert counts["spikes"] > 500


@pytest.mark.parametrize("loop", [False, True])
@pytest.mark.parametrize("name", ["norse", "spikingjelly"], indirect=True)
def test_another_dt_is_another_number_in_the_file_alone(name, loop, tmp_path):
    rng = np.random.default_rng(0)
    graph = network(rng, name, loop=loop)
    xs = inputs(rng, graph)
    report = nir.write(tmp_path / "a.nir", graph, 2e-3, dialect=name)
    assert "dt=0.002" in report.call
    there, here = run(name, tmp_path / "a.nir", xs, 2e-3), executed(graph, xs)
    np.testing.assert_array_equal(there, here)
    assert here.sum() > 50


def test_without_the_dialect_it_is_another_network_there(tmp_path):
    """What the issue was: a file that keeps to NIR is not what the reader runs."""
    peer("nir", PACKAGES["snntorch"])
    rng = np.random.default_rng(0)
    graph = network(rng, "snntorch", kind="LIF", fires_at="ge")
    xs = inputs(rng, graph)
    nir.write(tmp_path / "a.nir", graph, 1e-4, lossy=True)
    assert (run("snntorch", tmp_path / "a.nir", xs) != executed(graph, xs)).sum() > 10


def test_the_page_names_the_command():
    assert "python -m tests.nir_readers" in PAGE.read_text()
    assert re.search(r"^\| `spyx` \|.*recorded", PAGE.read_text(), re.M)
