"""sdk.record and viz.draw_run: what hidden nodes did on one sample, in numbers and as a figure."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from typer.testing import CliRunner

from t1c import ir, sdk, viz
from t1c.cli import app
from t1c.events.fields import EVENT

from .engine_helpers import grid, lif
from .strategies_executor import chain

mpl.use("Agg")

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def network():
    rng = np.random.default_rng(0)
    return chain(
        ("input", ir.Input((3,))),
        ("fc1", ir.Affine(grid(rng, 6, 3), grid(rng, 6))),
        ("lif1", lif(0.25)),
        ("fc2", ir.Affine(grid(rng, 4, 6), grid(rng, 4))),
        ("lif2", lif(0.25)),
        ("output", ir.Output((4,))),
    )


@pytest.fixture
def samples():
    return np.random.default_rng(1).integers(0, 257, (7, 3, 3)) / 256


def by_the_reference(network, x):
    """Spikes of both neurons, and the membrane of the second, for one sample (T, 1, 3)."""
    upto = ir.Graph(
        {**{n: network.nodes[n] for n in ("input", "fc1", "lif1")}, "output": ir.Output((6,))},
        [("input", "fc1"), ("fc1", "lif1"), ("lif1", "output")],
    )
    first, _ = ir.Reference(upto, np.float32).run(x)
    reference, state, second, membranes = ir.Reference(network, np.float32), {}, [], []
    for step in x:
        y, state = reference.step(step, state)
        second.append(y)
        membranes.append(state["lif2"][0])
    return first, np.stack(second), np.stack(membranes)


def test_what_is_recorded_is_what_the_reference_does(network, samples):
    found = sdk.record(network, samples, ["lif1", "lif2", "lif2.v"], sample=2)
    expected = by_the_reference(network, samples[:, 2:3].astype(np.float32))
    assert expected[0].any()
    assert expected[1].any()
    for name, y in zip(("lif1", "lif2", "lif2.v"), expected, strict=True):
        np.testing.assert_array_equal(found[name], y)
    assert list(sdk.record(network, samples)) == ["lif1", "lif2"]


def test_a_name_or_sample_that_is_not_there_is_refused(network, samples):
    with pytest.raises(ir.InputError, match="one from 0 to 2"):
        sdk.record(network, samples, sample=3)
    with pytest.raises(ir.InputError, match="lif3"):
        sdk.record(network, samples, ["lif3"])


@pytest.mark.parametrize("kind", ["raster", "membranes", "rates"])
@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_a_run_is_drawn(network, samples, tmp_path, kind, suffix):
    target = tmp_path / f"figure{suffix}"
    assert viz.draw_run(network, samples, target, kind=kind) == target
    start = target.read_bytes()[:200]
    assert start.startswith(b"\x89PNG") if suffix == ".png" else b"<?xml" in start
    if suffix == ".png":
        assert np.ptp(plt.imread(target)) > 0.5
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kind": "histogram"}, "raster, membranes or rates"),
        ({"path": "figure.txt"}, ".png, .svg or .pdf"),
        ({"nodes": ["nothing"]}, "nothing"),
        ({"nodes": ["fc1"], "kind": "membranes"}, "fc1.v"),
    ],
)
def test_what_cannot_be_drawn_is_refused(network, samples, tmp_path, options, said):
    path = tmp_path / options.pop("path", "figure.png")
    with pytest.raises(ir.InputError, match=said):
        viz.draw_run(network, samples, path, **options)
    assert not list(tmp_path.iterdir())


def test_a_network_without_neurons_says_so(samples, tmp_path):
    graph = chain(("input", ir.Input((3,))), ("output", ir.Output((3,))))
    with pytest.raises(ir.InputError, match="without spiking nodes"):
        viz.draw_run(graph, samples, tmp_path / "figure.png")


def test_the_command_draws_and_plays(network, samples, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ir.write("net.t1c", network)
    np.savez("data.npz", x=samples)
    for arguments, made in (
        (["plot", "net.t1c", "data.npz"], "net_raster.png"),
        (
            ["plot", "net.t1c", "data.npz", "a.svg", "--kind", "membranes", "--node", "lif2"],
            "a.svg",
        ),
        (["export-html", "net.t1c", "page.html", "-i", "data.npz", "--sample", "1"], "page.html"),
    ):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
        assert result.output.strip() == made
        assert (tmp_path / made).stat().st_size > 1000
    assert '"activity"' in (tmp_path / "page.html").read_text()
    assert (
        CliRunner().invoke(app, ["export-html", "net.t1c", "a.dot", "-i", "data.npz"]).exit_code
        == 2
    )


def test_the_command_runs_a_recording(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    events = np.array([(1, 0, 0, True), (0, 1, 1500, False), (1, 0, 1600, True)], EVENT)
    for name in ("a.npy", "b.npy"):
        np.save(name, events)
    graph = chain(("input", ir.Input((2, 2, 2))), ("output", ir.Output((2, 2, 2))))
    ir.write("net.t1c", graph)
    run = ["run", "net.t1c", "a.npy", "--dt", "1ms"]
    assert CliRunner().invoke(app, [*run, "-o", "out.npz"]).exit_code == 0
    with np.load("out.npz") as results:
        total = results["out_sum"]
    expected = np.zeros((1, 2, 2, 2))
    expected[0, 1, 0, 1], expected[0, 0, 1, 0] = 2, 1
    np.testing.assert_array_equal(total, expected)
    both = [*run, "b.npy", "-o", "results/"]
    assert CliRunner().invoke(app, both).exit_code == 0
    assert sorted(p.name for p in (tmp_path / "results").iterdir()) == ["a.npz", "b.npz"]
    for wrong in (["--steps", "3"], ["--polarity", "on"]):
        assert CliRunner().invoke(app, [*run, *wrong, "-o", "x.npz"]).exit_code == 1
    assert CliRunner().invoke(app, [*both, "--sample", "1"]).exit_code == 2


def test_a_profile_takes_a_recording(tmp_path):
    events = np.array([(1, 0, 0, True), (0, 1, 1500, False)], EVENT)
    np.save(tmp_path / "a.npy", events)
    graph = chain(
        ("input", ir.Input((2, 2, 2))),
        ("threshold", ir.Threshold(np.array(0.5))),
        ("output", ir.Output((2, 2, 2))),
    )
    did = sdk.profile_graph(graph, tmp_path / "a.npy", dt=1e-3).measured
    assert (did.steps, did.spikes) == (2, 2)


@pytest.fixture
def saved(monkeypatch):
    """What stands in each figure that is saved: of each axes its label, ticks and lines."""
    found = []
    write = mpl.figure.Figure.savefig

    def note(figure, *arguments, **options):
        found.append(
            [
                (
                    ax.get_ylabel(),
                    [text.get_text() for text in ax.get_yticklabels()],
                    [line.get_ydata() for line in ax.get_lines()],
                )
                for ax in figure.axes
            ]
        )
        write(figure, *arguments, **options)

    monkeypatch.setattr(mpl.figure.Figure, "savefig", note)
    return found


def test_what_sends_no_spikes_is_drawn_as_values(network, samples, tmp_path, saved):
    expected = sdk.record(network, samples, ["fc2"])["fc2"][:, 0]
    viz.draw_run(network, samples, tmp_path / "a.png", ["lif1", "fc2"])
    (_, ticks, _), (label, _, lines) = saved[-1]
    assert (ticks, label) == (["lif1"], "value")
    np.testing.assert_array_equal(np.stack(lines, 1), expected)
    viz.draw_run(network, samples, tmp_path / "b.png", ["lif1", "fc2"], kind="rates")
    (rates, _, _), (means, _, (curve,)) = saved[-1]
    assert (rates, means) == ("spikes per neuron and step", "mean value")
    np.testing.assert_allclose(curve, expected.mean(1), rtol=1e-6)
    viz.draw_run(network, samples, tmp_path / "c.png", ["fc1"])
    assert [label for label, _, _ in saved[-1]] == ["value"]
