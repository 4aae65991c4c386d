"""Functions from graphs to graphs: those that keep the meaning keep every bit of it."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from t1c import bridge, ir, sdk
from t1c.sdk.change.inline import inlined

from .sdk_files import FILES, opened, quiet
from .strategies import graphs

T, B = 4, 2


def inputs(graph, seed=0, T=T, B=B):
    """Multiples of 1/256 in -1..1 for every Input."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.integers(-256, 257, (T, B, *node.shape)) / 256
        for name, node in graph.inputs().items()
    }


def traced(graph, xs):
    """What every node sends at every step, by flat name: lists of T arrays or tuples of them."""
    reference, state, sent = ir.Reference(graph), None, {}
    with np.errstate(all="ignore"):
        for t in range(len(next(iter(xs.values())))):
            values, state = reference.trace({name: x[t] for name, x in xs.items()}, state)
            for name, value in values.items():
                sent.setdefault(name, []).append(value)
    return sent, state


def same(a, b):
    return all(np.array_equal(x, y, equal_nan=True) for x, y in zip(a, b, strict=True))


def spikes(graph, sent):
    """How many spikes the neurons of a graph sent."""
    neurons = [n for n, node in graph.flat().nodes.items() if "fires_at" in node.kinds]
    return sum(float(np.nansum(np.stack(sent[name]))) for name in neurons)


def scalar(value):
    return np.array([float(value)])


def lif(tau=2.0, threshold=1.0, **options):
    return ir.LIF(scalar(tau), scalar(tau), scalar(0), scalar(threshold), **options)


def lively():
    """Two inputs, a loop, a nested graph, a split, and neurons that fire."""
    rng = np.random.default_rng(5)
    inner = ir.Graph(
        {"i": ir.Input((3,)), "n": ir.IF(scalar(0.5)), "o": ir.Output((3,))},
        [("i", "n"), ("n", "o")],
    )
    return ir.Graph(
        {
            "a": ir.Input((4,)),
            "b": ir.Input((3,)),
            "fc": ir.Affine(rng.integers(-128, 129, (3, 4)) / 64, scalar(0.5).repeat(3)),
            "sum": ir.Skip("residual"),
            "lif": lif(threshold=0.5),
            "back": ir.Affine(rng.integers(-64, 65, (3, 3)) / 64, scalar(0.125).repeat(3)),
            "nest": inner,
            "split": ir.ChannelSplit((1, 2)),
            "left": lif(),
            "right": lif(threshold=0.25, reset="subtract"),
            "one": ir.Output((1,)),
            "two": ir.Output((2,)),
        },
        [
            *[("a", "fc"), ("fc", "sum"), ("b", "sum"), ("sum", "lif"), ("lif", "back")],
            *[("back", "sum"), ("lif", "nest"), ("nest", "split"), ("split", "left")],
            *[("split", "right"), ("left", "one"), ("right", "two")],
        ],
        allow_cycles=True,
    )


# prune_disconnected ------------------------------------------------------------------------------


@given(graphs(grid=True), st.data())
def test_pruning_keeps_every_bit(graph, data):
    outputs = list(graph.outputs())
    gone = set(data.draw(st.lists(st.sampled_from(outputs), max_size=len(outputs) - 1)))
    nodes = {name: node for name, node in graph.nodes.items() if name not in gone}
    edges = [edge for edge in graph.edges if edge[1] not in gone]
    xs = inputs(graph)
    with quiet():
        graph = graph.replace(nodes=nodes, edges=edges)
    pruned = sdk.prune_disconnected(graph)
    useful = graph.topology().leading_to(graph.outputs())
    assert set(pruned.nodes) == useful | set(graph.inputs())
    before, state = traced(graph, xs)
    after, state_after = traced(pruned, xs)
    assert all(same(after[name], before[name]) for name in pruned.outputs())
    for name, variables in state_after.items():
        assert same(variables, state[name])
    assert sdk.prune_disconnected(pruned).equals(pruned)


def test_pruning_drops_what_leads_nowhere():
    graph = lively()
    nodes = {**graph.nodes, "dead": ir.Affine(np.ones((2, 3)), np.zeros(2)), "dead2": lif()}
    del nodes["one"]
    edges = [e for e in graph.edges if e[1] != "one"] + [("lif", "dead"), ("dead", "dead2")]
    with quiet():
        graph = graph.replace(nodes=nodes, edges=edges)
    pruned = sdk.prune_disconnected(graph)
    assert {"dead", "dead2", "left"}.isdisjoint(pruned.nodes)
    assert isinstance(pruned.nodes["split.0"], ir.Identity)  # 'right' still takes the second
    xs = inputs(graph, T=20)
    before, _ = traced(graph, xs)
    assert spikes(graph, before) > 50
    assert same(traced(pruned, xs)[0]["two"], before["two"])


def test_pruning_leaves_inputs_unless_told():
    with quiet():
        graph = ir.Graph(
            {"a": ir.Input((1,)), "idle": ir.Input((1,)), "out": ir.Output((1,))}, [("a", "out")]
        )
    assert list(sdk.prune_disconnected(graph).nodes) == ["a", "idle", "out"]
    assert list(sdk.prune_disconnected(graph, inputs=True).nodes) == ["a", "out"]


# extract_subgraph --------------------------------------------------------------------------------


def given_values(graph, part, sent):
    """What the whole graph sends where the part has an Input."""
    given = {}
    for name in part.inputs():
        if name in graph.nodes:
            inner = graph.nodes[name]
            place = f"{name}/{next(iter(inner.outputs()))}" if hasattr(inner, "nodes") else name
            given[name] = np.stack(sent[place])
        else:
            source, _, port = name.rpartition(".")
            given[name] = np.stack([values[int(port)] for values in sent[source]])
    return given


def wanted_values(graph, name, sent):
    """What the whole graph sends where the part has an Output."""
    if name in graph.nodes:
        return sent[name]
    source = name.removesuffix(".out")
    if source in graph.nodes:
        inner = graph.nodes[source]
        return sent[
            f"{source}/{next(iter(inner.outputs()))}" if hasattr(inner, "nodes") else source
        ]
    source, _, port = source.rpartition(".")
    return [values[int(port)] for values in sent[source]]


def check_part(graph, part, xs):
    sent, _ = traced(graph, xs)
    found, _ = traced(part, given_values(graph, part, sent))
    for name in part.outputs():
        assert same(found[name], wanted_values(graph, name, sent)), name
    return spikes(part, found)


def part_of(graph, *args, **kwargs):
    """A part, unless there is nothing that would enter it."""
    try:
        return sdk.extract_subgraph(graph, *args, **kwargs)
    except ir.GraphError as error:
        if "reaches" in str(error) or "nothing enters" in str(error):
            assume(False)
        raise


@given(graphs(grid=True), st.data())
def test_a_part_does_what_it_did(graph, data):
    names = [n for n, node in graph.nodes.items() if not isinstance(node, ir.Input)]
    chosen = data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    check_part(graph, part_of(graph, chosen), inputs(graph))


@given(graphs(grid=True), st.data())
def test_what_lies_between_does_what_it_did(graph, data):
    names = [n for n, node in graph.nodes.items() if not isinstance(node, ir.Output)]
    given_names = data.draw(st.lists(st.sampled_from(names), max_size=2, unique=True))
    rest = [name for name in graph.nodes if name not in given_names]
    wanted = data.draw(st.lists(st.sampled_from(rest), min_size=1, max_size=2, unique=True))
    part = part_of(graph, inputs=given_names or None, outputs=wanted)
    check_part(graph, part, inputs(graph))


def test_parts_of_a_lively_graph():
    graph, fired = lively(), 0.0
    xs = inputs(graph, T=20)
    parts = [
        sdk.extract_subgraph(graph, outputs=["lif"]),
        sdk.extract_subgraph(graph, inputs=["lif"]),
        sdk.extract_subgraph(graph, inputs=["lif", "fc"], outputs=["sum", "split"]),
        sdk.extract_subgraph(graph, ["nest", "split", "right"]),
        sdk.extract_subgraph(graph, ["right"]),
        sdk.extract_subgraph(graph, ["sum", "lif"]),
    ]
    for part in parts:
        fired += check_part(graph, part, xs)
    assert fired > 200
    assert parts[0].allow_cycles
    assert parts[0].feedback_edges() == [("lif", "back")]
    # The loop is cut where its neuron's spikes are given, and its step of delay is kept.
    assert parts[2].nodes["lif.delay"].delay == 1
    assert list(parts[4].nodes) == ["split.1", "right", "right.out"]


def two_neurons(**outputs):
    """A loop of two neurons that both are driven; which of them starts, the Outputs decide."""
    return ir.Graph(
        {
            "in": ir.Input((2,)),
            "a": lif(threshold=0.25, reset="subtract"),
            "b": lif(tau=4.0, threshold=0.5),
            **{name: ir.Output((2,)) for name in outputs},
        },
        [
            *[("in", "a"), ("in", "b"), ("a", "b"), ("b", "a")],
            *((source, name) for name, source in outputs.items()),
        ],
        allow_cycles=True,
    )


def test_a_part_keeps_the_step_where_it_was():
    """By the rule alone the other edge of the loop would run back in the part."""
    graph = two_neurons(out="b")
    assert graph.feedback_edges() == [("b", "a")]
    assert two_neurons(out="a").feedback_edges() == [("a", "b")]
    part = sdk.extract_subgraph(graph, outputs=["a"])
    assert part.feedback == part.feedback_edges() == [("b", "a")]
    assert check_part(graph, part, inputs(graph, T=30)) > 20


def test_a_step_that_would_move_within_a_nested_graph_is_refused():
    loop = two_neurons(ob="b")
    inner = ir.Graph(
        {**loop.nodes, "m": lif(), "oa": ir.Output((2,))},
        [*loop.edges, ("a", "m"), ("m", "oa")],
        allow_cycles=True,
    )
    inner = inner.replace(nodes={n: inner.nodes[n] for n in ("in", "a", "b", "m", "oa", "ob")})
    graph = ir.Graph(
        {
            "x": ir.Input((2,)),
            "g": inner,
            "c": lif(),
            "out": ir.Output((2,)),
            "out2": ir.Output((2,)),
        },
        [("x", "g"), ("g", "c"), ("c", "out2"), ("g", "out")],
        allow_cycles=True,
    )
    assert graph.feedback_edges() == [("g/b", "g/a")]
    with pytest.raises(ir.UnsupportedError, match="every step of delay where it was"):
        sdk.extract_subgraph(graph, outputs=["c"])


def test_names_that_are_taken():
    graph = ir.Graph(
        {
            "in": ir.Input((2,)),
            "a": lif(),
            "a.out": lif(threshold=0.5),
            "y": ir.Output((2,)),
        },
        [("in", "a"), ("a", "a.out"), ("a.out", "y")],
    )
    part = sdk.extract_subgraph(graph, outputs=["a", "a.out"])
    assert list(part.outputs()) == ["a.out.2", "a.out.out"]


def test_what_cannot_be_extracted():
    graph = lively()
    with pytest.raises(ir.GraphError, match=r"'gone'.*nodes of the graph"):
        sdk.extract_subgraph(graph, ["gone"])
    with pytest.raises(ir.GraphError, match="nothing of 'left' reaches 'two'"):
        sdk.extract_subgraph(graph, inputs=["left"], outputs=["two"])
    with pytest.raises(ir.GraphError, match="among the inputs and the outputs"):
        sdk.extract_subgraph(graph, inputs=["lif"], outputs=["lif"])
    with pytest.raises(ir.GraphError, match="one way"):
        sdk.extract_subgraph(graph, ["lif"], outputs=["lif"])
    with pytest.raises(ir.GraphError, match="no names"):
        sdk.extract_subgraph(graph, [])


# merge_graphs ------------------------------------------------------------------------------------


@given(graphs(grid=True), graphs(grid=True))
def test_side_by_side_each_does_what_it_did(one, two):
    both = sdk.merge_graphs(one, two, "parallel", names=("a", "b"))
    mine, theirs = inputs(one, 1), inputs(two, 2)
    xs = {f"a.{n}": x for n, x in mine.items()} | {f"b.{n}": x for n, x in theirs.items()}
    found, _ = traced(both, xs)
    for label, graph, given_xs in (("a", one, mine), ("b", two, theirs)):
        sent, _ = traced(graph, given_xs)
        for name in graph.outputs():
            assert same(found[f"{label}.{name}"], sent[name])


def test_in_series_the_second_gets_what_the_first_gives():
    one = lively()
    two = ir.Graph(
        {
            "x": ir.Input((2,)),
            "y": ir.Input((1,)),
            "fc": ir.Affine(np.ones((3, 2)), np.zeros(3)),
            "n": lif(reset="subtract"),
            "m": lif(threshold=0.5),
            "out": ir.Output((3,)),
            "out2": ir.Output((1,)),
        },
        [("x", "fc"), ("fc", "n"), ("n", "out"), ("y", "m"), ("m", "out2")],
    )
    both = sdk.merge_graphs(one, two, connect={"two": "x", "one": "y"}, names=("front", "rear"))
    assert not any(isinstance(node, ir.Identity) for node in both.nodes.values())
    assert list(both.inputs()) == ["front.a", "front.b"]
    xs = inputs(one, T=20)
    sent, _ = traced(one, xs)
    rear, _ = traced(two, {"x": np.stack(sent["two"]), "y": np.stack(sent["one"])})
    found, _ = traced(both, {f"front.{name}": x for name, x in xs.items()})
    assert same(found["rear.out"], rear["out"])
    assert same(found["rear.out2"], rear["out2"])
    assert spikes(both, found) == spikes(one, sent) + spikes(two, rear) > 100


@given(graphs(grid=True, cycles=True), st.data())
def test_in_series_behind_any_graph(graph, data):
    outputs = {n: node.shape for n, node in graph.outputs().items() if not node.final}
    assume(outputs)
    tails = {
        "x": ir.Input(next(iter(outputs.values()))),
        "n": lif(threshold=0.25, reset="subtract"),
        "y": ir.Output(next(iter(outputs.values()))),
    }
    tail = ir.Graph(tails, [("x", "n"), ("n", "y")])
    name = next(iter(outputs))
    both = sdk.merge_graphs(graph, tail, connect={name: "x"}, names=("a", "b"))
    xs = inputs(graph)
    sent, _ = traced(graph, xs)
    behind, _ = traced(tail, {"x": np.stack(sent[name])})
    found, _ = traced(both, {f"a.{n}": x for n, x in xs.items()})
    assert same(found["b.y"], behind["y"])
    for other in graph.outputs():
        if other != name:
            assert same(found[f"a.{other}"], sent[other])


def test_shared_inputs_and_notes():
    def graph(value, **options):
        return ir.Graph(
            {
                "in": ir.Input((2,)),
                "fc": ir.Linear(np.full((2, 2), value)),
                "fc2": ir.Linear(np.full((2, 2), value), metadata={"copy_of": "fc"}),
                "out": ir.Output((2,)),
            },
            [("in", "fc"), ("fc", "fc2"), ("fc2", "out")],
            **options,
        )

    both = sdk.merge_graphs(
        graph(1.0, metadata={"task": "a"}),
        graph(2.0),
        "parallel",
        connect={"in": "in"},
        names=("a", "b"),
    )
    assert list(both.inputs()) == ["a.in"]
    assert both.metadata == {"a": {"task": "a"}}
    assert both.nodes["b.fc2"].metadata == {"copy_of": "b.fc"}
    executor = bridge.ir_to_torch(both)
    tied = executor.get_submodule("b.fc2") if hasattr(executor, "b") else executor.node("b.fc2")
    assert tied.weight is executor.node("b.fc").weight
    assert executor.node("a.fc").weight is not executor.node("b.fc").weight


def test_what_cannot_be_merged():
    graph = lively()
    with pytest.raises(ir.GraphError, match=r"in both graphs.*names=\('a', 'b'\)"):
        sdk.merge_graphs(graph, graph)
    with pytest.raises(ir.GraphError, match="shapes"):
        sdk.merge_graphs(graph, graph, names=("a", "b"))
    with pytest.raises(ir.GraphError, match="no such border"):
        sdk.merge_graphs(graph, graph, connect={"x": "a"}, names=("a", "b"))
    with pytest.raises(ir.GraphError, match="'series' or 'parallel'"):
        sdk.merge_graphs(graph, graph, "sideways", names=("a", "b"))
    with pytest.raises(ir.GraphError, match="two different names"):
        sdk.merge_graphs(graph, graph, names=("a", "a"))
    held = ir.Graph({"i": ir.Input((1,), hold=3), "o": ir.Output((1,))}, [("i", "o")])
    final = ir.Graph({"i": ir.Input((1,)), "o": ir.Output((1,), final=True)}, [("i", "o")])
    with pytest.raises(ir.GraphError, match=r"(?s)final=True.*hold=3"):
        sdk.merge_graphs(final, held, names=("a", "b"))
    with pytest.raises(ir.GraphError, match="hold=None and hold=3"):
        sdk.merge_graphs(final, held, "parallel", connect={"i": "i"}, names=("a", "b"))
    with pytest.raises(ir.GraphError, match="each border once"):
        sdk.merge_graphs(graph, held, connect={"one": "i", "two": "i"}, names=("a", "b"))


# fold_batchnorm ----------------------------------------------------------------------------------


def norm(kind, channels, seed=0):
    rng = np.random.default_rng(seed)
    return kind(
        channels,
        weight=rng.uniform(0.5, 2, channels),
        bias=rng.uniform(-1, 1, channels),
        running_mean=rng.uniform(-1, 1, channels),
        running_var=rng.uniform(0.5, 2, channels),
    )


def weights(*shape, seed=1, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


LAYERS = {
    "Affine": (ir.Affine(weights(4, 6), weights(4)), ir.BatchNorm1d, (6,)),
    "SpikingAffine": (ir.SpikingAffine(weights(4, 6), weights(4)), ir.BatchNorm1d, (6,)),
    "Linear": (ir.Linear(weights(4, 6)), ir.BatchNorm1d, (6,)),
    "Conv1d": (ir.Conv1d(weights(4, 2, 3), weights(4)), ir.BatchNorm1d, (2, 7)),
    "Conv2d": (
        ir.Conv2d(weights(4, 2, 3, 3), weights(4), padding=(1, 1)),
        ir.BatchNorm2d,
        (2, 5, 5),
    ),
    "Conv2d groups": (
        ir.Conv2d(weights(4, 1, 3, 3), weights(4), groups=2),
        ir.BatchNorm2d,
        (2, 5, 5),
    ),
    "Conv3d": (ir.Conv3d(weights(4, 2, 2, 2, 2), weights(4)), ir.BatchNorm3d, (2, 4, 4, 4)),
    "SepConv2d": (
        ir.SepConv2d(weights(2, 1, 3, 3) / 16, weights(4, 2, 1, 1), weights(2) / 8),
        ir.BatchNorm2d,
        (2, 5, 5),
    ),
    "ConvTranspose1d": (ir.ConvTranspose1d(weights(2, 4, 3), weights(4)), ir.BatchNorm1d, (2, 5)),
    "ConvTranspose2d": (
        ir.ConvTranspose2d(weights(4, 2, 2, 2), weights(4), groups=2),
        ir.BatchNorm2d,
        (4, 4, 4),
    ),
    "float64": (ir.Affine(weights(4, 6, dtype=float), weights(4)), ir.BatchNorm1d, (6,)),
    "integers": (ir.Affine(np.ones((4, 6), np.int64), np.arange(4)), ir.BatchNorm1d, (6,)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_folding_rounds_by_no_more_than_it_says(name):
    layer, kind, shape = LAYERS[name]
    bn = norm(kind, 4)
    out = bn.output_shape(layer.output_shape(shape))
    graph = ir.Graph(
        {"in": ir.Input(shape), "layer": layer, "bn": bn, "lif": lif(), "out": ir.Output(out)},
        [("in", "layer"), ("layer", "bn"), ("bn", "lif"), ("lif", "out")],
    )
    folded = sdk.fold_batchnorm(graph)
    assert list(folded.nodes) == ["in", "layer", "lif", "out"]
    note = folded.nodes["layer"].metadata["folded"]
    assert note["batchnorm"] == "bn"
    xs = {"in": inputs(graph, T=8)["in"]}
    before, _ = traced(graph, xs)
    after, _ = traced(folded, xs)
    apart = np.abs(np.stack(before["bn"]) - np.stack(after["layer"])).max()
    # The bound tells what the rounding of the weights makes; float64 sums round beside it.
    assert apart <= note["largest_change"] + 1e-12
    assert note["largest_change"] < (1e-12 if "64" in name or name == "integers" else 1e-4)
    if "64" not in name and name != "integers":
        assert apart > 0
    assert spikes(graph, before) == spikes(folded, after) > 10


def test_folding_agrees_with_torch():
    conv = torch.nn.Conv2d(2, 4, 3, padding=1, bias=False)
    bn = torch.nn.BatchNorm2d(4)
    with torch.no_grad():
        for value in (bn.weight, bn.bias, bn.running_mean):
            value.uniform_(0.5, 1.5)
        bn.running_var.uniform_(0.5, 1.5)
    graph = bridge.to_ir(torch.nn.Sequential(conv, bn).eval(), torch.zeros(1, 2, 5, 5))
    folded = sdk.fold_batchnorm(graph)
    expected = torch.nn.utils.fuse_conv_bn_eval(conv.eval(), bn.eval())
    (layer,) = [node for node in folded.nodes.values() if isinstance(node, ir.Conv2d)]
    assert not any(isinstance(node, ir.BatchNorm2d) for node in folded.nodes.values())
    np.testing.assert_allclose(layer.weight, expected.weight.detach().numpy(), rtol=2e-6)
    np.testing.assert_allclose(layer.bias, expected.bias.detach().numpy(), rtol=2e-6, atol=1e-7)
    assert "bias" not in layer.metadata
    executor = bridge.ir_to_torch(folded)
    x = torch.rand(3, 2, 5, 5)
    assert torch.allclose(executor(x), expected(x), atol=1e-6)


def test_what_stays_a_batchnorm():
    layer, kind, _ = LAYERS["Affine"]
    nodes = {
        "in": ir.Input((6,)),
        "used twice": layer,
        "bn1": norm(kind, 4),
        "after a sum": norm(kind, 4),
        "tied": ir.Affine(weights(4, 6), weights(4), metadata={"copy_of": "used twice"}),
        "bn2": norm(kind, 4),
        "out": ir.Output((4,)),
        "tiny": ir.Affine(np.full((4, 6), 6e4, np.float16), np.zeros(4, np.float16)),
        "bn3": norm(kind, 4).replace(weight=np.full(4, 2.0), running_var=np.full(4, 0.1)),
    }
    edges = [
        *[
            ("in", "used twice"),
            ("used twice", "bn1"),
            ("used twice", "out"),
            ("bn1", "after a sum"),
        ],
        *[("in", "tied"), ("tied", "bn2"), ("bn2", "after a sum"), ("after a sum", "out")],
        *[("in", "tiny"), ("tiny", "bn3"), ("bn3", "out")],
    ]
    graph = ir.Graph(nodes, edges)
    assert sdk.fold_batchnorm(graph).equals(graph)


def test_layers_tied_across_graphs_stay():
    layer, kind, shape = LAYERS["Affine"]
    nodes = {"i": ir.Input(shape), "fc": layer, "bn": norm(kind, 4), "o": ir.Output((4,))}
    edges = [("i", "fc"), ("fc", "bn"), ("bn", "o")]
    tied = ir.Affine(layer.weight, layer.bias, metadata={"tied": {"weight": "g/fc.weight"}})
    graph = ir.Graph(
        {**nodes, "g": ir.Graph(nodes, edges), "fc": tied, "o2": ir.Output((4,))},
        [*edges, ("i", "g"), ("g", "o2")],
    )
    assert sdk.fold_batchnorm(graph).equals(graph)


def test_folding_within_nested_graphs_and_in_a_row():
    layer, kind, shape = LAYERS["Affine"]
    inner = ir.Graph(
        {
            "i": ir.Input(shape),
            "fc": layer,
            "bn": norm(kind, 4),
            "bn2": norm(kind, 4, seed=3),
            "o": ir.Output((4,)),
        },
        [("i", "fc"), ("fc", "bn"), ("bn", "bn2"), ("bn2", "o")],
    )
    graph = ir.Graph(
        {"in": ir.Input(shape), "g": inner, "out": ir.Output((4,))}, [("in", "g"), ("g", "out")]
    )
    folded = sdk.fold_batchnorm(graph)
    assert list(folded.nodes["g"].nodes) == ["i", "fc", "o"]
    xs = inputs(graph)
    before, after = traced(graph, xs)[0]["out"], traced(folded, xs)[0]["out"]
    np.testing.assert_allclose(np.stack(before), np.stack(after), atol=1e-5)


# All files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_survives_every_change(path):
    graph = opened(path)
    xs = inputs(graph, T=2, B=1)
    before, _ = traced(graph, xs)
    for changed in (
        sdk.prune_disconnected(graph),
        sdk.extract_subgraph(graph, outputs=list(graph.outputs())),
        sdk.merge_graphs(graph, graph, "parallel", names=("a", "b")),
    ):
        names = {name: name for name in graph.outputs()}
        given_xs = {name: x for name, x in xs.items() if name in changed.nodes}
        if "a" not in names and f"a.{next(iter(names))}" in changed.nodes:
            names = {f"{label}.{name}": name for name in names for label in "ab"}
            given_xs = {f"{label}.{name}": x for name, x in xs.items() for label in "ab"}
        after, _ = traced(changed, given_xs)
        assert all(same(after[new], before[old]) for new, old in names.items())
    after, _ = traced(sdk.fold_batchnorm(graph), xs)
    for name in graph.outputs():
        np.testing.assert_allclose(np.stack(after[name]), np.stack(before[name]), atol=1e-5)


def test_inlined_a_graph_computes_the_same_under_names_of_its_own():
    """A nested loop that goes through a Delay alone is a loop of the whole."""
    half = np.array([0.5])
    cell = ir.Graph(
        {
            "in": ir.Input((2,)),
            "past": ir.Delay(np.array(1)),
            "decay": ir.Scale(half),
            "sum": ir.Identity(),
            "out": ir.Output((2,)),
        },
        [("in", "sum"), ("sum", "past"), ("past", "decay"), ("decay", "sum"), ("sum", "out")],
        allow_cycles=True,
    )
    graph = ir.Graph(
        {"cell": cell, "cell.sum": ir.Input((2,)), "end": ir.Output((2,))},
        [("cell.sum", "cell"), ("cell", "end")],
    )
    plain, names = inlined(graph)
    assert names["cell.sum"] == "cell.sum"
    assert names["cell/sum"] == "cell.sum.2"
    assert set(plain.nodes) == set(names.values())
    xs = np.random.default_rng(0).integers(0, 9, (6, 2, 2)).astype(float)
    expected, _ = ir.Reference(graph).run(xs)
    found, _ = ir.Reference(plain).run(xs)
    assert np.diff(expected, axis=0).any()
    np.testing.assert_array_equal(found, expected)
