"""What is written for a named reader, without the readers: meaning, refusals, words, traces."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from t1c import bridge, ir, nir
from t1c.nir.adapting import RESERVED
from t1c.nir.dialects import rates

from .examples import drawn, examples
from .nir_difference import difference
from .nir_readers import OWN, digits, executed, inputs, network
from .strategies_nir import raw_at

DATA = Path(__file__).parent / "data" / "nir" / "readers"
RECORDED = sorted(DATA.glob("*.nir"))
ONE = np.ones(1)


def lif(name="snntorch", **options):
    return ir.LIF(**{"tau": 2 * ONE, "r": 2 * ONE, "v_leak": 0 * ONE, "v_threshold": ONE,
                     **OWN[name], **options})  # fmt: skip


def chain(*nodes, features=(4,), out=None):
    named = {f"n{k}": node for k, node in enumerate(nodes)}
    nodes = {"input": ir.Input(features), **named, "output": ir.Output(out or features)}
    names = list(nodes)
    return ir.Graph(nodes, list(itertools.pairwise(names)))


def refusal(graph, name="snntorch", **options):
    with pytest.raises(ir.UnsupportedError) as error:
        nir.loss_report(graph, dialect=name, **options)
    assert all(p.found and p.where for p in error.value.problems)
    return str(error.value)


# Meaning -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", RECORDED, ids=lambda p: p.stem)
def test_what_other_readers_gave_is_what_the_graph_gives(path, tmp_path):
    """Recorded in Spyx and Rockpool, for files that are still written so."""
    name = path.stem.partition("_")[0]
    graph = ir.read(path.with_suffix(".t1c"))
    nir.write(tmp_path / "a.nir", graph, dialect=name)
    assert difference(raw_at(path), raw_at(tmp_path / "a.nir")) == []
    with np.load(path.with_suffix(".npz")) as file:
        x, y = file["x"], file["y"]
    late = 2 * nir.DIALECTS[name].reader.lag
    here = executed(graph, x)
    np.testing.assert_array_equal(y[late:], here[: len(here) - late])
    assert not y[:late].any()
    assert here.sum() > 100
    assert (here[1:] != here[:-1]).any()


def test_both_are_recorded():
    assert {p.stem for p in RECORDED} == {"spyx_if", "spyx_lif", "rockpool_cubalif"}


@pytest.mark.parametrize("name", sorted(set(OWN) - {"lava"}))
def test_a_file_says_to_t1c_what_its_reader_runs(name, tmp_path):
    """Read with nothing said, and by the dialect, the reference gives the spikes of the graph."""
    spikes = []

    @examples(10)
    @given(seed=st.integers(0, 2**32 - 1), fires_at=st.sampled_from(["ge", "gt"]))
    def check(seed, fires_at):
        rng = np.random.default_rng(seed)
        graph = network(rng, name, fires_at=fires_at)
        xs = inputs(rng, graph)
        expected, _ = ir.Reference(graph, np.float32).run(xs)
        nir.write(tmp_path / "a.nir", graph, dialect=name)
        for options in ({}, {"dialect": name}, {"dialect": "auto"}):
            found = nir.read(tmp_path / "a.nir", **options)
            assert found.metadata["nir"]["dialect"] == name
            out, _ = ir.Reference(found, np.float32).run(xs)
            np.testing.assert_array_equal(out, expected)
        nir.write(tmp_path / "b.nir", found)
        assert difference(raw_at(tmp_path / "a.nir"), raw_at(tmp_path / "b.nir")) == []
        spikes.append(expected.sum())

    check()
    assert sum(spikes) > drawn(300)


@pytest.mark.parametrize("dt", [None, 1e-3])
def test_one_neuron_for_lava(dt, tmp_path):
    graph = chain(lif("lava", r=ONE), features=(1,))
    report = nir.write(tmp_path / "a.nir", graph, dt, dialect="lava")
    assert "spikes, 0 or 1" in str(report)
    assert "1 step later" in str(report)
    assert nir.read(tmp_path / "a.nir").nodes["n0"].r.item() == 1
    assert "4 neurons" in refusal(chain(lif("lava", r=ONE)), "lava")
    fc = ir.Affine(np.ones((1, 1)), np.zeros(1))
    assert "Lava has no Affine: it loses its values" in refusal(chain(fc, features=(1,)), "lava")


@pytest.mark.parametrize("steps", [1.25, 1.5, 2.0, 3.0, 7.5, 20.0, 1000.0])
def test_the_time_constant_gives_the_decay_to_the_last_bit(steps):
    """Each as its reader works it out in single precision."""
    tau = rates.of_inverse(np.array([steps]), 1e-3)
    assert tau.dtype == np.float32
    rate = np.float32(1e-3) * (np.float32(1) / tau)
    assert abs(rate - np.float32(1 / steps)) <= np.spacing(rate)
    if steps in (1.25, 2.0, 20.0):
        assert rate == np.float32(1 / steps)
    tau = rates.of_exponential(np.array([steps]), 1.0)
    decay = np.exp((np.float32(-1) / tau).astype(np.float64)).astype(np.float32)
    wanted = np.float32(1 - 1 / steps)
    # Below 1.44 steps the decay moves faster than the time constant.
    assert decay == wanted if steps >= 2 else abs(decay - wanted) <= np.spacing(wanted)


def test_a_moved_threshold_is_the_next_number_and_met_exactly(tmp_path):
    graph = chain(lif(fires_at="ge"))
    report = nir.write(tmp_path / "a.nir", graph, dialect="snntorch")
    assert "next below" in str(report)
    (threshold,) = np.unique(raw_at(tmp_path / "a.nir").nodes["n0"].fields["v_threshold"])
    assert threshold == np.nextafter(np.float32(1), np.float32(0))
    xs = np.ones((1, 1, 4), np.float32)
    assert ir.Reference(nir.read(tmp_path / "a.nir"), np.float32).run(xs)[0].all()
    assert not ir.Reference(chain(lif(fires_at="gt")), np.float32).run(xs)[0].any()


def test_nested_graphs_and_names_that_no_module_can_have(tmp_path):
    inner = chain(lif())
    graph = ir.Graph(
        {"in put": ir.Input((4,)), "float": inner, "a.b": lif(), "a_b": lif(),
         "state": ir.Output((4,))},
        [("in put", "float"), ("float", "a.b"), ("a.b", "a_b"), ("a_b", "state")],
    )  # fmt: skip
    report = nir.write(tmp_path / "a.nir", graph, dialect="snntorch")
    names = list(raw_at(tmp_path / "a.nir").nodes)
    assert names == ["in_put", "float_n0", "a_b", "a_b_2", "state_"]
    assert "it is called 'a_b_2' there" in str(report)


def test_reserved_names_are_those_of_torchs_modules():
    import torch

    ours = set(dir(torch.nn.ModuleDict())) | set(dir(torch.fx.GraphModule))
    ours |= set(vars(torch.nn.Module()))
    assert {n for n in ours if not n.startswith("_")} <= RESERVED


def test_a_folded_norm_has_its_word_and_its_size(tmp_path):
    rng = np.random.default_rng(0)
    graph = network(rng, "norse", kind="LIF", norm=True)
    report = nir.write(tmp_path / "a.nir", graph, dialect="norse")
    (word,) = (c for c in report.changes if "norm" in c.where)
    assert "folded into the weights of 'conv', whose output that moves by 0 at most" in word.what
    assert not report
    assert not report.losses
    assert "norm" not in raw_at(tmp_path / "a.nir").nodes


def test_in_memory_as_in_a_file():
    package = pytest.importorskip("nir")
    graph = nir.to_nir(digits("norse"), dialect="norse")
    assert isinstance(graph.nodes["lif1"], package.LIF)
    assert graph.metadata["t1c"]["reader"] == "norse"
    assert nir.from_nir(graph).metadata["nir"]["dialect"] == "norse"


# Refusals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OWN)
def test_the_digits_network_itself_is_refused_by_all_with_every_reason(name):
    graph = ir.read(Path(__file__).parent.parent / "examples" / "digits.t1c")
    said = refusal(graph, name)
    for pool in ("pool1", "pool2"):
        assert f"node '{pool}' (MaxPool2d): NIR has no MaxPool2d" in said
    assert "Train with AvgPool2d or SumPool2d in its place" in said
    if name in ("snntorch", "norse", "spikingjelly"):
        assert said.count("Train with reset='zero', reset_delay=False.") == 3


REFUSED: dict[str, tuple[str, Any, str]] = {
    "value": ("snntorch", lif(reset="value", v_reset=0.5 * ONE), "reset='value'"),
    "subtract": ("norse", lif("norse", reset="subtract"), "whatever the file says"),
    "lower": ("sinabs", lif("sinabs", reset="lower", v_reset=0.5 * ONE), "reset='lower'"),
    "none": ("spikingjelly", lif("spikingjelly", reset="none"), "reset='none'"),
    "leak": ("norse", lif("norse", v_leak=0.1 * ONE), "field 'v_leak'"),
    "bound": ("norse", lif("norse", v_min=-ONE), "field 'v_min'"),
    "once": ("sinabs", lif("sinabs", spikes="binary"), "several spikes in a step"),
    "several": ("spikingjelly", lif("spikingjelly", spikes="multiple"), "one spike at most"),
    "thresholds": ("snntorch", lif(v_threshold=np.arange(1.0, 5)), "4 different numbers"),
    "taus": ("spikingjelly", lif("spikingjelly", tau=np.arange(2.0, 6)), "field 'tau'"),
    "short": ("sinabs", lif("sinabs", tau=ONE), "1 steps, of which sinabs has no decay"),
    "negative": ("snntorch", lif(v_threshold=-ONE), "resets without a spike"),
    "tie at 0": ("snntorch", lif(v_threshold=0 * ONE, fires_at="ge"), "resets without a spike"),
    "gain": ("snntorch", lif(r=-ONE), "Turn the sign of the weights"),
    "late": ("spyx", lif("spyx", fires_at="ge"), "cannot be moved"),
    "I": ("norse", ir.I(ONE), "Norse has no I: it is dropped there without a word"),
    "Threshold": ("norse", ir.Threshold(ONE), "Use a LIF with tau = 1"),
    "Delay": ("spikingjelly", ir.Delay(np.ones(1, int)), "SpikingJelly has no Delay"),
    "Scale": ("snntorch", ir.Scale(2 * ONE), "Multiply the weights"),
    "LI": ("sinabs", ir.LI(2 * ONE, ONE, 0 * ONE), "the membrane is the output"),
    "ReLU": ("norse", ir.ReLU(4), "NIR has no ReLU"),
    "norm": (
        "norse",
        ir.BatchNorm1d(4, np.ones(4), np.ones(4), np.ones(4), np.ones(4)),
        "folded behind a layer of weights",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_node_that_would_not_run_as_it_is_meant_is_refused_by_name(case):
    name, node, said = REFUSED[case]
    text = refusal(chain(node), name)
    assert said in text
    assert "node 'n0'" in text


MAPS: dict[str, tuple[str, Any, str]] = {
    "padded pool": ("norse", ir.SumPool2d((2, 2), padding=(1, 1)), "the importer ignores"),
    "ceil": ("snntorch", ir.AvgPool2d((3, 3), ceil_mode=True), "field 'ceil_mode'"),
    "pads": ("snntorch", ir.AvgPool2d((2, 2), padding=(1, 1), count_include_pad=False), "NIR has"),
    "no mean": ("norse", ir.AvgPool2d((2, 2)), "Use a SumPool2d"),
    "groups": ("spikingjelly", ir.Conv2d(np.ones((4, 2, 1, 1)), np.ones(4), groups=2), "2 groups"),
    "depthwise": ("norse", ir.Conv2d(np.ones((4, 1, 1, 1)), np.ones(4), groups=4), "4 groups"),
    "per pixel": ("sinabs", lif("sinabs", v_threshold=np.full((4, 4, 4), [1.0, 1, 1, 2])), "each"),
    "maps": ("spyx", ir.Flatten(), "channels last"),
}


@pytest.mark.parametrize("case", MAPS)
def test_what_an_importer_ignores_on_feature_maps_is_refused(case):
    name, node, said = MAPS[case]
    nodes = {"input": ir.Input((4, 4, 4)), "n0": node}
    out = ir.Graph(
        nodes | {"o": ir.Output(node.output_shape((4, 4, 4)))}, [("input", "n0"), ("n0", "o")]
    )
    assert said in refusal(out, name)


def test_borders_and_wires():
    two = ir.Graph(
        {"a": ir.Input((4,)), "b": ir.Input((4,)), "n": lif(), "o": ir.Output((4,))},
        [("a", "n"), ("b", "n"), ("n", "o")],
    )
    assert "2 Inputs" in refusal(two)
    held = ir.Graph(
        {"a": ir.Input((4,), hold=8), "n": lif(), "o": ir.Output((4,), final=True)},
        [("a", "n"), ("n", "o")],
    )
    said = refusal(held)
    assert "field 'hold'" in said
    assert "field 'final'" in said
    joined = ir.Graph(
        {"a": ir.Input((4,)), "n": lif(), "m": lif(), "o": ir.Output((4,))},
        [("a", "n"), ("a", "m"), ("n", "o"), ("m", "o")],
    )
    assert "several nodes lead to it" in refusal(joined)
    twice = ir.Graph(
        {"a": ir.Input((4,)), "s": ir.Identity(), "n": lif(), "o": ir.Output((4,))},
        [("a", "s"), ("a", "n"), ("s", "n"), ("n", "o")],
    )
    assert "2 edges add the same output" in refusal(twice)


def test_a_bias_on_the_way_back_acts_later_there():
    rng = np.random.default_rng(0)
    graph = network(rng, "spikingjelly", loop=True)
    nodes = dict(graph.nodes)
    nodes["back"] = ir.Affine(nodes["back"].weight, np.full(8, 0.25))
    said = refusal(ir.Graph(nodes, graph.edges, allow_cycles=True), "spikingjelly")
    assert "a bias on the way back" in said
    assert "'first' -> 'back'" in refusal(network(rng, "snntorch", loop=True), "snntorch")


def test_a_bias_behind_neurons_that_send_later():
    fc = ir.Affine(np.eye(4), np.full(4, 0.5))
    assert "before their spikes arrive" in refusal(chain(lif("spyx"), fc, lif("spyx")), "spyx")
    assert nir.loss_report(chain(fc, lif("spyx")), dialect="spyx").changes


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dialect": "snntroch"}, "field 'dialect'"),
        ({"dialect": "auto"}, "field 'dialect'"),
        ({"dialect": "snntorch", "dt": 1e-3}, "takes no dt"),
        ({"dialect": "sinabs", "dt": 1e-3}, "takes no dt"),
        ({"dialect": "norse", "dt": -1}, "field 'dt'"),
        ({"dialect": "norse", "lossy": True}, "Leave lossy out"),
    ],
)
def test_words_that_do_not_go_together(options, said, tmp_path):
    with pytest.raises(nir.ConventionError, match=said):
        nir.write(tmp_path / "a.nir", digits("norse"), **options)
    assert not list(tmp_path.iterdir())


def test_every_reader_says_how_it_is_called_and_where_that_was_read():
    for name, dialect in nir.DIALECTS.items():
        reader = dialect.reader
        assert reader.evidence, name
        assert "{read}" in reader.call
        assert set(reader.replaced.values()) <= set(reader.layers)
        for how in reader.neurons.values():
            assert not how.write_as or how.write_as in reader.neurons


# Item by item ------------------------------------------------------------------------------------


def test_subtraction_takes_off_the_distance_to_v_reset(tmp_path):
    """In a file whose v_reset is not 0; and all ways back."""
    graph = chain(lif(fires_at="gt", reset="value", v_reset=0.25 * ONE))
    nir.write(tmp_path / "a.nir", graph, 1e-3)
    found: Any = nir.read(tmp_path / "a.nir", reset="subtract")
    node = found.nodes["n0"]
    assert (node.reset_mode, node.v_reset.tolist()) == ("lower", [0.25] * 4)
    xs = np.array([1.5, 1, 0.75, 0], np.float64).reshape(4, 1, 1).repeat(4, 2)
    _, state = ir.Reference(found).run(xs[:1])
    assert state["n0"][0].tolist() == [[0.75] * 4]  # 1.5 - (1 - 0.25)
    nir.write(tmp_path / "b.nir", found)
    assert difference(raw_at(tmp_path / "a.nir"), raw_at(tmp_path / "b.nir")) == []
    again: Any = nir.read(tmp_path / "b.nir", dialect="norse", reset="subtract")
    assert again.nodes["n0"].reset_mode == "subtract"  # Norse has no use for v_reset
    ir.write(tmp_path / "a.t1c", found)
    plain = ir.read(tmp_path / "a.t1c")
    plain.metadata.pop("nir")
    assert "reset='lower'" in str(nir.write(tmp_path / "c.nir", plain, 1e-3, lossy=True))
    back: Any = nir.read(tmp_path / "c.nir")
    assert back.nodes["n0"].reset == "lower"


def test_subtraction_agrees_with_norse(tmp_path):
    """Norse's reset_subtract takes off the threshold; with a reset of the user's, the distance."""
    from .nir_readers import quiet
    from .peers import peer

    with quiet():
        norse = peer("norse.torch")
        box = peer("norse.torch.functional.lif_box")
    torch = pytest.importorskip("torch")

    def to_distance(z, v, reset, th):
        return v - z * (th - reset)

    steps = []
    for method, v_reset, mode in (
        (norse.functional.reset.reset_subtract, 0.25, "subtract"),
        (to_distance, 0.25, "lower"),
    ):
        p = box.LIFBoxParameters(
            tau_mem_inv=torch.tensor(0.5), v_reset=torch.tensor(v_reset), reset_method=method
        )
        given = {"v_reset": v_reset * ONE} if mode == "lower" else {}
        graph = chain(lif(reset=mode, fires_at="gt", r=ONE, **given))
        xs = torch.from_numpy(np.random.default_rng(0).integers(0, 160, (14, 2, 4)) / 32).float()
        state, outs = box.LIFBoxFeedForwardState(torch.zeros(2, 4)), []
        for x in xs:
            out, state = box.lif_box_feed_forward_step(x, state, p, dt=1.0)
            outs.append(out)
        outs = torch.stack(outs)
        for kernels in (None, "torch"):
            there, last = bridge.ir_to_torch(graph, kernels=kernels).run(xs)
            assert torch.equal(there, outs)
            assert torch.equal(last["n0"][0], state.v)
        steps.append(outs)
        assert 20 < outs.sum() < outs.numel()
    assert (steps[0] != steps[1]).any()


class TestWarnings:
    def write(self, path, **fields):
        nir.write(path, chain(lif(fires_at="gt")), 1e-3)
        import h5py

        with h5py.File(path, "r+") as file:
            del file["node/metadata"]  # somebody else's file
            for name, value in fields.items():
                file[f"node/nodes/n0/{name}"][...] = value
        return path

    def test_a_name_that_says_subtract(self, tmp_path):
        path = self.write(tmp_path / "braille_subtract.nir")
        with pytest.warns(nir.ResetWarning) as caught:
            nir.read(path, dt=1e-3)
        (warning,) = caught
        assert warning.filename == __file__
        text = str(warning.message)
        assert "the name of the file says 'subtract'" in text
        assert "reset='subtract' for that, or reset='value' if it is right as it is" in text
        for reset in ("subtract", "value", "zero", "none"):
            nir.read(path, dt=1e-3, reset=reset)

    def test_a_name_that_says_zero_where_the_dialect_subtracts(self, tmp_path):
        path = self.write(tmp_path / "braille_zero.nir")
        nir.read(path, dt=1e-3)
        with pytest.warns(nir.ResetWarning, match="reset='zero' for that"):
            nir.read(path, dialect="snntorch")

    @pytest.mark.parametrize("name", ["subtractor_network", "zero_subtract", "softmax", "lif"])
    def test_a_name_that_says_neither(self, tmp_path, name):
        nir.read(self.write(tmp_path / f"{name}.nir"), dt=1e-3)

    def test_a_producer_whose_neurons_subtract(self, tmp_path):
        path = self.write(tmp_path / "a.nir", tau=1e-3, r=10.0)
        import h5py

        with h5py.File(path, "r+") as file:
            for field in ("tau", "r"):
                value = file[f"node/nodes/n0/{field}"][...]
                del file[f"node/nodes/n0/{field}"]
                file[f"node/nodes/n0/{field}"] = value.astype(np.float32)
        with pytest.warns(nir.ResetWarning, match="dialect='snntorch' to read all of it"):
            nir.read(path, dt=1e-4)
        nir.read(path, dialect="snntorch")

    def test_what_t1c_wrote_is_not_in_doubt(self, tmp_path):
        nir.write(tmp_path / "a_subtract.nir", chain(lif()), dialect="snntorch")
        nir.read(tmp_path / "a_subtract.nir")


def test_what_is_no_node_of_nir_is_refused_by_name():
    package = pytest.importorskip("nir")
    torch = pytest.importorskip("torch")
    good = {"input": package.Input(np.array([4])), "output": package.Output(np.array([4]))}
    bad: Any = {"fc": None, "drop": torch.nn.Dropout(), "text": "LIF", "cls": package.LIF}
    graph = package.NIRGraph(good, [("input", "output")])
    graph.nodes = {**good, **bad}
    with pytest.raises(ir.InputError) as error:
        nir.from_nir(graph, dt=1e-3)
    said = str(error.value)
    assert "4 problems" in said
    assert "node 'fc': None; expected a node of the nir package" in said
    assert "node 'drop': a torch.nn.modules.dropout.Dropout" in said
    assert "t1c.bridge.to_ir, which takes torch modules" in said
    assert "node 'text': 'LIF'" in said
    assert "node 'cls'" in said
    with pytest.raises(ir.InputError, match=r"expected a nir\.NIRGraph"):
        nir.from_nir(torch.nn.Linear(2, 2), dt=1e-3)
