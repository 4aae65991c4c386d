"""A file written for a reader gives the same spikes there: the readers themselves at work."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t1c import ir, nir

from .nir_readers import (
    OWN,
    PACKAGES,
    digits,
    executed,
    grid,
    images,
    inputs,
    network,
    neuron,
    quiet,
    run,
)
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
    report = nir.write(folder / "a.nir", graph, dialect=name)
    there, here = run(name, folder / "a.nir", xs, report.call), executed(graph, xs)
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
    counts = {"run": 0, "refused": 0, "spikes": 0}

    @settings(max_examples=25)
    @given(seed=st.integers(0, 2**32 - 1), kinds=KINDS)
    def check(seed, kinds):
        rng = np.random.default_rng(seed)
        kinds["skip"] &= not kinds["maps"]
        kinds["loop"] &= not kinds["maps"]
        graph = network(rng, name, **kinds)
        xs = inputs(rng, graph)
        # Of these networks only branches and loops can be refused.
        branches = kinds["skip"] and reader.wiring != "any"
        if branches or (kinds["loop"] and not reader.loops):
            with pytest.raises(ir.UnsupportedError):
                compared(name, graph, xs, tmp_path)
            counts["refused"] += 1
            return
        differing, here = compared(name, graph, xs, tmp_path)
        assert differing == 0
        counts["run"] += 1
        counts["spikes"] += int(here.sum())

    check()
    assert counts["run"] >= 8
    assert counts["spikes"] > 500


def layers(rng):
    """Every layer that some reader runs, and what may be odd about it: shape, node."""
    conv = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}

    def conv2d(outs, ins, *kernel, **options):
        weight, bias = grid(rng, outs, ins, *kernel), grid(rng, outs)
        return ir.Conv2d(weight, bias, **{**conv, **options})

    return {
        "affine": ((6,), ir.Affine(grid(rng, 5, 6), grid(rng, 5))),
        "linear": ((6,), ir.Linear(grid(rng, 5, 6))),
        "spiking affine": ((6,), ir.SpikingAffine(grid(rng, 5, 6), grid(rng, 5))),
        "conv1d": ((2, 8), ir.Conv1d(grid(rng, 3, 2, 3), grid(rng, 3), stride=2, padding=1)),
        "conv1d dilated": ((2, 8), ir.Conv1d(grid(rng, 3, 2, 3), grid(rng, 3), dilation=2)),
        "oblong": ((2, 6, 5), conv2d(3, 2, 3, 2, stride=(2, 1), padding=(1, 0))),
        "dilated": ((2, 6, 6), conv2d(3, 2, 3, 3, dilation=(2, 1))),
        "same": ((2, 6, 6), conv2d(3, 2, 3, 3, padding="same")),
        "valid": ((2, 6, 6), conv2d(3, 2, 3, 3, padding="valid")),
        "groups": ((4, 4, 4), conv2d(4, 2, 3, 3, groups=2)),
        "mean": ((2, 6, 6), ir.AvgPool2d((2, 2), stride=(1, 2), padding=(1, 1))),
        "sum": ((2, 6, 6), ir.SumPool2d((2, 3), stride=(2, 1))),
        "sum of nine": ((2, 6, 6), ir.SumPool2d((3, 3))),
        "flatten": ((2, 3, 4), ir.Flatten()),
        "flatten some": ((2, 3, 4), ir.Flatten(0, 1)),
        "flatten the last": ((2, 3, 4), ir.Flatten(1)),
    }


@pytest.mark.grid(1)
@pytest.mark.parametrize("layer", layers(np.random.default_rng(0)))
def test_a_layer_runs_there_as_here(name, layer, tmp_path):
    rng = np.random.default_rng(1)
    shape, node = layers(rng)[layer]
    out = node.output_shape(shape)
    nodes = {"i": ir.Input(shape), "l": node, "n": neuron(rng, name, "LIF"), "o": ir.Output(out)}
    graph = ir.Graph(nodes, [("i", "l"), ("l", "n"), ("n", "o")])
    kind = {"SpikingAffine": "Affine"}.get(node.primitive, node.primitive)
    known = nir.DIALECTS[name].reader
    asked = known.layers.get(known.replaced.get(kind, kind))
    if asked is None or any(check(node) for check in asked):
        with pytest.raises(ir.UnsupportedError, match="node 'l'"):
            nir.write(tmp_path / "a.nir", graph, dialect=name)
        return
    differing, here = compared(name, graph, inputs(rng, graph), tmp_path)
    assert differing == 0
    assert here.sum() > 20
    assert (here[1:] != here[:-1]).any()


@pytest.mark.parametrize("kind", ["LIF", "CubaLIF", "IF"])
def test_each_neuron_may_have_its_own_parameters_where_it_says_so(name, kind, tmp_path):
    """Time constants, and thresholds in the unit of the gain, or a refusal that names the field."""
    if kind not in nir.DIALECTS[name].reader.neurons:
        pytest.skip(f"{name} runs no {kind}")
    rng = np.random.default_rng(2)
    taus, ones = np.array([2.0, 4.0, 2.0, 8.0]), np.ones(4)
    given = {"r": taus if kind != "IF" else ones, "v_threshold": np.array([1.0, 2.0, 0.5, 1.5])}
    if kind == "LIF":
        given |= {"tau": taus, "v_leak": 0 * ones}
    if kind == "CubaLIF":
        given |= {"tau_mem": taus, "tau_syn": taus, "w_in": taus, "v_leak": 0 * ones}
    how = nir.DIALECTS[name].reader.neurons[kind]
    for field in how.alike:
        graph = single(getattr(ir, kind)(**given, **OWN[name]))
        with pytest.raises(ir.UnsupportedError, match=f"field '{field}'"):
            nir.write(tmp_path / "a.nir", graph, dialect=name)
        same = given[field].max()
        given |= {n: np.full(4, same) for n in (field, *RATES.get(field, ()))}
    graph = single(getattr(ir, kind)(**given, **OWN[name]))
    differing, here = compared(name, graph, inputs(rng, graph, steps=16), tmp_path)
    assert differing == 0
    assert here.sum() > 20


RATES = {"tau": ("r",), "tau_mem": ("r",), "tau_syn": ("w_in",)}


def single(node):
    """Four inputs, weighed, and as many neurons."""
    fc = ir.Affine(np.diag(np.arange(3.0, 7)) / 4, np.zeros(4))
    nodes = {"i": ir.Input((4,)), "fc": fc, "n": node, "o": ir.Output((4,))}
    return ir.Graph(nodes, [("i", "fc"), ("fc", "n"), ("n", "o")])


def test_a_membrane_that_is_the_output(tmp_path):
    """sinabs' ExpLeak: within rounding, as its exponential is."""
    with quiet():
        peer("nir", PACKAGES["sinabs"])
    graph = single(ir.LI(2 * np.ones(1), 2 * np.ones(1), np.zeros(1)))
    xs = inputs(np.random.default_rng(0), graph)
    report = nir.write(tmp_path / "a.nir", graph, dialect="sinabs")
    there, here = run("sinabs", tmp_path / "a.nir", xs, report.call), executed(graph, xs)
    np.testing.assert_array_equal(there, here)
    assert np.unique(here).size > 100


@pytest.mark.parametrize("loop", [False, True])
@pytest.mark.parametrize("name", ["norse", "spikingjelly"], indirect=True)
def test_another_dt_is_another_number_in_the_file_alone(name, loop, tmp_path):
    rng = np.random.default_rng(0)
    graph = network(rng, name, loop=loop)
    xs = inputs(rng, graph)
    report = nir.write(tmp_path / "a.nir", graph, 2e-3, dialect=name)
    assert "dt=0.002" in report.call
    there, here = run(name, tmp_path / "a.nir", xs, report.call, 2e-3), executed(graph, xs)
    np.testing.assert_array_equal(there, here)
    assert here.sum() > 50


def test_without_the_dialect_it_is_another_network_there(tmp_path):
    """What the issue was: a file that keeps to NIR is not what the reader runs."""
    peer("nir", PACKAGES["snntorch"])
    rng = np.random.default_rng(0)
    graph = network(rng, "snntorch", kind="LIF", fires_at="ge")
    xs = inputs(rng, graph)
    nir.write(tmp_path / "a.nir", graph, 1e-4, lossy=True)
    assert (run("snntorch", tmp_path / "a.nir", xs, "") != executed(graph, xs)).sum() > 10


def test_the_page_names_the_command():
    assert "python -m tests.nir_readers" in PAGE.read_text()
    assert re.search(r"^\| `spyx` \|.*recorded", PAGE.read_text(), re.M)
