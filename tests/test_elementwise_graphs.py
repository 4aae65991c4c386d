"""Graphs of arithmetic, combinations and reshapes: files, every mode, gradients, loops, NIR."""

import itertools

import numpy as np
import pytest
import torch

from t1c import bridge, ir, nir, sdk
from t1c.bridge.engine.kernels.surrogate import Surrogate
from t1c.bridge.modules import MergeModule
from t1c.ir.primitives.combine import BINARY
from t1c.ir.primitives.elementwise import UNARY

from .against_torch import combining

RNG = np.random.default_rng(0)


pytestmark = pytest.mark.usefixtures("one_thread")


# Gradients ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", ["greater", "greater_or_equal"])
@pytest.mark.parametrize("slope", [Surrogate("triangular"), Surrogate("fast_sigmoid", 5.0)])
def test_a_comparison_has_the_gradient_of_a_spike(op, slope):
    graph = combining(ir.Binary(op), (2, 3), (2, 1))
    executor = bridge.ir_to_torch(graph, surrogate=slope)
    a, b = (torch.from_numpy(RNG.normal(0, 0.5, (4, *s))).float() for s in ((2, 3), (2, 1)))
    weights = torch.from_numpy(RNG.normal(0, 1, (4, 2, 3))).float()
    a.requires_grad_()
    b.requires_grad_()
    y = executor({"x0": a, "x1": b})
    assert 0 < y.sum() < y.numel()
    (weights * y).sum().backward()
    expected = weights * slope.derivative((a - b).detach())
    assert expected.abs().sum() > 0
    torch.testing.assert_close(a.grad, expected)
    torch.testing.assert_close(b.grad, -expected.sum(2, keepdim=True))


def test_a_comparison_of_two_inputs_learns_as_a_threshold_does():
    x = torch.from_numpy(RNG.normal(0, 1, (5, 3))).float()
    grads = []
    for nodes in (
        {"x": ir.Input((3,)), "n": ir.Threshold(np.array(0.25)), "out": ir.Output((3,))},
        {"x": ir.Input((3,)), "t": ir.Input((3,)), "n": ir.Binary("greater_or_equal"),
         "out": ir.Output((3,))},
    ):  # fmt: skip
        edges = [(n, "n") for n, node in nodes.items() if isinstance(node, ir.Input)]
        executor = bridge.ir_to_torch(ir.Graph(nodes, [*edges, ("n", "out")]), surrogate="sigmoid")
        here = x.clone().requires_grad_()
        y = executor(here if len(edges) == 1 else {"x": here, "t": torch.full((5, 3), 0.25)})
        assert 0 < y.sum() < y.numel()
        (y * x).sum().backward()
        grads.append(here.grad)
    assert grads[0].abs().sum() > 0
    assert torch.equal(*grads)


@pytest.mark.parametrize("node", [ir.Unary("floor"), ir.Unary("round"), ir.Unary("sign")])
def test_what_is_flat_has_no_gradient(node):
    x = torch.from_numpy(RNG.normal(0, 2, (5, 3))).float().requires_grad_()
    y = bridge.node_to_module(node)(x)
    assert y.abs().sum() > 0
    (y * x.detach()).sum().backward()
    assert torch.equal(x.grad, torch.zeros(5, 3))


def test_gradients_flow_through_arithmetic_as_in_torch():
    graph = combining(ir.Binary("divide"), (2, 3), (2, 3))
    a, b = (torch.from_numpy(RNG.uniform(0.5, 2, (4, 2, 3))).float() for _ in range(2))
    grads = []
    for function in (lambda x, y: bridge.ir_to_torch(graph)({"x0": x, "x1": y}), torch.div):
        x, y = a.clone().requires_grad_(), b.clone().requires_grad_()
        function(x, y).square().sum().backward()
        grads.append((x.grad, y.grad))
    assert grads[0][0].abs().sum() > 0
    for mine, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_a_shift_learns_and_bounds_do_not():
    modules = [bridge.node_to_module(n) for n in (ir.Shift(np.ones(3)), ir.Clip(np.array(0.0)))]
    assert [len(list(module.parameters())) for module in modules] == [1, 0]
    x = torch.zeros(2, 3)
    modules[0](x).sum().backward()
    assert modules[0].shift.grad.tolist() == [2.0, 2.0, 2.0]


# Files, modes, export ----------------------------------------------------------------------------


def alone(node, shape):
    _, (out,) = node.shapes([shape])
    nodes = {"input": ir.Input(shape), "n": node, "output": ir.Output(out)}
    return ir.Graph(nodes, [("input", "n"), ("n", "output")])


def whole(*shape):
    return RNG.integers(-64, 64, shape) / 256


def lif():
    return ir.LIF(*(np.array([v]) for v in (2.0, 2.0, 0.0, 0.25)), reset="subtract")


def attention():
    """Spikes attend to spikes: softmax-free, as spiking transformers do."""
    nodes = {"input": ir.Input((2, 3, 4))}
    edges = []
    for name in "qkv":
        nodes |= {name: ir.Linear(whole(4, 4) + 1 / 16), f"{name}s": lif()}
        edges += [("input", name), (name, f"{name}s")]
    nodes |= {
        "kt": ir.Transpose((0, 2, 1)),
        "qk": ir.MatMul(),
        "scale": ir.Scale(np.array([0.25])),
        "qkv": ir.MatMul(),
        "lif": lif(),
        "pooled": ir.Reduce("sum", (1,)),
        "output": ir.Output((2, 4)),
    }
    edges += [("ks", "kt"), ("qs", "qk"), ("kt", "qk"), ("qk", "scale"), ("scale", "qkv"),
              ("vs", "qkv"), ("qkv", "lif"), ("lif", "pooled"), ("pooled", "output")]  # fmt: skip
    return ir.Graph(nodes, edges)


def gated_loop():
    """A neuron that is given what is left of the input above what it sent before, while it may."""
    nodes = {
        "input": ir.Input((3,)),
        "less": ir.Binary("subtract"),
        "gate": ir.Where(),
        "shifted": ir.Shift(np.array([0.25, 0.5, -0.25])),
        "lif": lif(),
        "back": ir.Scale(np.array([0.5])),
        "output": ir.Output((3,)),
    }
    edges = [("input", "less"), ("back", "less"), ("input", "shifted"), ("lif", "gate"),
             ("less", "gate"), ("shifted", "gate"), ("gate", "lif"), ("lif", "back"),
             ("lif", "output")]  # fmt: skip
    return ir.Graph(nodes, edges, allow_cycles=True)


def lif_by_hand():
    """v + (x - v)/4, a spike at 1/4, reset to zero; its memory is a Delay of one step."""
    nodes = {
        "input": ir.Input((3,)),
        "less": ir.Binary("subtract"),
        "step": ir.Scale(np.array([0.25])),
        "u": ir.Identity(),
        "s": ir.Threshold(np.array([0.25])),
        "zero": ir.Scale(np.array([0.0])),
        "v": ir.Where(),
        "before": ir.Delay(np.array(1)),
        "output": ir.Output((3,)),
    }
    edges = [("input", "less"), ("before", "less"), ("less", "step"), ("step", "u"),
             ("before", "u"), ("u", "s"), ("u", "zero"), ("s", "v"), ("zero", "v"), ("u", "v"),
             ("v", "before"), ("s", "output")]  # fmt: skip
    return ir.Graph(nodes, edges, allow_cycles=True)


def nested():
    inner = combining(ir.Binary("subtract"), (3,), (3,), order=(1, 0))
    nodes = {"input": ir.Input((3,)), "l": lif(), "g": inner, "output": ir.Output((3,))}
    return ir.Graph(nodes, [("input", "l"), ("input", "g"), ("l", "g"), ("g", "output")])


GRAPHS = {
    **{f"Unary {op}": alone(ir.Unary(op), (2, 3)) for op in UNARY},
    "Shift": alone(ir.Shift(whole(2)), (2, 3)),
    "Clip": alone(ir.Clip(np.array(-0.5), np.array([0.25, 0.5])), (2, 3)),
    "Clip from above": alone(ir.Clip(high=np.array(0.5, np.float32)), (2, 3)),
    "Power": alone(ir.Power(np.array([2.0])), (2, 3)),
    "Reduce": alone(ir.Reduce("sum", (-1, 0)), (2, 3, 4)),
    "Reduce and keep": alone(ir.Reduce("max", (1,), keepdims=True), (2, 3)),
    "Transpose": alone(ir.Transpose((2, 0, -2)), (2, 3, 4)),
    "Reshape": alone(ir.Reshape((3, -1)), (2, 3, 4)),
    "Slice": alone(ir.Slice(-1, 1, None, 2), (2, 3, 4)),
    "LogSoftmax": alone(ir.LogSoftmax(2), (2, 3)),
    "MaxPool1d": alone(ir.MaxPool1d(2, 1, 1), (2, 5)),
    "AvgPool1d": alone(ir.AvgPool1d(2, 1, 1, count_include_pad=False), (2, 5)),
    "MaxPool3d": alone(ir.MaxPool3d(), (1, 4, 4, 4)),
    "AvgPool3d": alone(ir.AvgPool3d((2, 2, 2), (1, 1, 1)), (1, 2, 4, 4)),
    "Conv3d": alone(ir.Conv3d(whole(2, 1, 2, 1, 2), whole(2)), (1, 2, 3, 3)),
    "ConvTranspose1d": alone(ir.ConvTranspose1d(whole(2, 1, 3), whole(1), 2, 1, 1), (2, 4)),
    "ConvTranspose2d": alone(
        ir.ConvTranspose2d(whole(2, 1, 2, 3), whole(2), (2, 2), groups=2), (2, 3, 3)
    ),
    "BatchNorm3d": alone(
        ir.BatchNorm3d(2, whole(2), whole(2), whole(2), np.abs(whole(2)) + 0.5), (2, 2, 3, 1)
    ),
    "GroupNorm": alone(ir.GroupNorm(2, whole(4), whole(4)), (4, 2, 3)),
    **{
        f"Accumulate {how}": alone(ir.Accumulate(how), (2, 3))
        for how in ("sum", "mean", "max", "min")
    },
    **{f"Binary {op}": combining(ir.Binary(op), (2, 3), (2, 1)) for op in BINARY},
    "Where": combining(ir.Where(), (2, 1), (2, 3), (1, 3)),
    "MatMul": combining(ir.MatMul(), (2, 3, 4), (1, 4, 2), order=(0, 1)),
    "attention": attention(),
    "gated loop": gated_loop(),
    "a LIF by hand": lif_by_hand(),
    "nested": nested(),
}
CLOSE = {
    *("Unary exp", "Unary log", "LogSoftmax", "GroupNorm", "BatchNorm3d"),
    "Binary power", "AvgPool1d", "AvgPool3d",
}  # fmt: skip
"""What NumPy and torch may round differently."""
TAIL = {"Binary power"}
"""Where torch rounds an element by where it lies in memory."""


def same(a, b, exact=True):
    rounding = {"rtol": 0, "atol": 0} if exact else {"rtol": 1e-5, "atol": 1e-6}
    torch.testing.assert_close(a, b, equal_nan=True, **rounding)


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_comes_back_and_runs_the_same_in_every_mode(name, tmp_path):
    graph = GRAPHS[name]
    ir.write(tmp_path / "g.t1c", graph)
    back = ir.read(tmp_path / "g.t1c")
    assert back.difference(graph) == []
    assert ir.read_version(tmp_path / "g.t1c") == "0.2.0"
    assert sdk.file_info(tmp_path / "g.t1c").nodes[1].name == list(graph.nodes)[1]
    rng = np.random.default_rng(1)  # so coarse that two numbers are equal now and then
    xs = {
        name: rng.integers(-4, 13, (12, 2, *node.shape)).astype(np.float32) / 16
        for name, node in graph.inputs().items()
    }
    expected, final = ir.Reference(graph, np.float32).run(xs)
    executor = bridge.ir_to_torch(back, return_state=True)
    inputs = {name: torch.from_numpy(x) for name, x in xs.items()}
    with torch.no_grad():
        outs, state = executor.run(inputs)
        stepped, current = [], {}
        for t in range(12):
            y, current = executor({name: x[t] for name, x in inputs.items()}, current)
            stepped.append(y)
        first, middle = executor.run({name: x[:5] for name, x in inputs.items()})
        last, _ = executor.run({name: x[5:] for name, x in inputs.items()}, middle)
    assert len(torch.unique(outs)) > 1
    same(outs, torch.from_numpy(expected), exact=name not in CLOSE)
    same(torch.stack(stepped), outs, exact=name not in TAIL)
    same(torch.cat([first, last]), outs, exact=name not in TAIL)
    assert set(final) == set(state) == set(current)
    for node, variables in final.items():
        for mine, theirs, steps in zip(variables, state[node], current[node], strict=True):
            np.testing.assert_array_equal(mine, theirs.numpy())
            assert torch.equal(theirs, steps)
    sample = {name: x[0] for name, x in inputs.items()}
    again = bridge.to_ir(executor, sample if len(sample) > 1 else next(iter(sample.values())))
    assert again.difference(graph) == []


@pytest.mark.parametrize("name", GRAPHS)
def test_no_samples_are_an_answer_too(name):
    graph = GRAPHS[name]
    xs = {n: np.zeros((2, 0, *node.shape), np.float32) for n, node in graph.inputs().items()}
    shape = (2, 0, *next(iter(graph.outputs().values())).shape)
    assert ir.Reference(graph, np.float32).run(xs)[0].shape == shape
    with torch.no_grad():
        out, _ = bridge.ir_to_torch(graph).run({n: torch.from_numpy(x) for n, x in xs.items()})
    assert out.shape == shape


@pytest.mark.parametrize("name", ["attention", "gated loop"])
def test_the_neurons_among_them_fire_and_stay_silent(name):
    graph = GRAPHS[name]
    executor = bridge.ir_to_torch(graph)
    shape = graph.inputs()["input"].shape
    sent = executor.trace(torch.from_numpy(RNG.integers(0, 512, (12, 2, *shape)) / 256).float())
    for node, value in sent.items():
        if isinstance(graph.nodes[node], ir.LIF):
            assert 0 < value.mean() < 1, node


def in_a_row(shape, *nodes):
    named = {"input": ir.Input(shape)}
    for i, node in enumerate(nodes):
        named[f"n{i}"] = node
        shape = node.output_shape(shape)
    named["output"] = ir.Output(shape)
    names = list(named)
    return ir.Graph(named, list(itertools.pairwise(names)))


VIEWS = {
    "a slice into a neuron": in_a_row((8,), ir.Slice(0, 1, None, 2), lif()),
    "a slice into a layer": in_a_row(
        (32,), lif(), ir.Slice(-1, 2, 30, 3), ir.Affine(whole(5, 10), whole(5)), lif()
    ),
    "a transpose into a convolution": in_a_row(
        (6, 6, 3), lif(), ir.Transpose((2, 0, 1)), ir.Conv2d(whole(4, 3, 3, 3), whole(4)), lif()
    ),
    "a slice into a convolution": in_a_row(
        (3, 8, 8), lif(), ir.Slice(2, 0, None, 2), ir.Conv2d(whole(4, 3, 2, 2), whole(4)), lif()
    ),
    "a transpose into a neuron": in_a_row((4, 6), ir.Transpose((1, 0)), lif()),
}


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("events", [None, True, False])
@pytest.mark.parametrize("kernels", ["torch", "numba"])
def test_what_lies_otherwise_in_memory_is_worked_the_same(name, events, kernels):
    graph = VIEWS[name]
    shape = graph.inputs()["input"].shape
    rng = np.random.default_rng(1)
    xs = (rng.integers(-128, 384, (9, 3, *shape)) / 256).astype(np.float32)
    expected, _ = ir.Reference(graph, np.float32).run(xs)
    assert 0 < expected.mean() < 1
    executor = bridge.ir_to_torch(graph, events=events, kernels=kernels)
    with torch.no_grad():
        found, _ = executor.run(torch.from_numpy(xs))
    np.testing.assert_array_equal(found.numpy(), expected)


def test_a_loop_by_hand():
    """x - what was sent before, given to a neuron without memory that fires at 1."""
    nodes = {
        "input": ir.Input((1,)),
        "n": ir.Binary("subtract"),
        "if": ir.LIF(*(np.array([v]) for v in (1.0, 1.0, 0.0, 1.0))),
        "output": ir.Output((1,)),
    }
    edges = [("input", "n"), ("if", "n"), ("n", "if"), ("if", "output")]
    graph = ir.Graph(nodes, edges, allow_cycles=True)
    xs = np.ones((5, 1, 1))
    out, _ = ir.Reference(graph).run(xs)
    assert out.ravel().tolist() == [1, 0, 1, 0, 1]
    assert bridge.ir_to_torch(graph).run(torch.from_numpy(xs).float())[0].ravel().tolist() == [
        1, 0, 1, 0, 1,
    ]  # fmt: skip
    turned = ir.Graph(nodes, [edges[1], edges[0], *edges[2:]], allow_cycles=True)
    out, _ = ir.Reference(turned).run(-xs)
    assert out.ravel().tolist() == [1, 1, 1, 1, 1]  # what was sent, minus -1


def test_a_loop_whose_shape_is_not_the_one_supposed_asks_for_it():
    def graph(**declared):
        nodes = {
            "input": ir.Input((1, 3)),
            "n": ir.Binary("multiply", **declared),
            "wide": ir.Affine(np.ones((3, 3)), np.ones(3)),
            "c": ir.Concat(),
            "if": ir.IF(np.array([1.0])),
            "half": ir.Slice(0, 0, 2),
            "output": ir.Output((3, 3)),
        }
        edges = [("input", "n"), ("half", "n"), ("n", "wide"), ("wide", "c"), ("input", "c"),
                 ("c", "if"), ("if", "half"), ("if", "output")]  # fmt: skip
        return ir.Graph(nodes, edges, allow_cycles=True)

    made = graph(input_type={"input": (2, 3)})
    assert made.nodes["half"].output_type["output"].tolist() == [2, 3]
    with pytest.raises(ir.GraphError, match=r"node '(n|half|if|c|wide|output)'"):
        graph()


class Wide(torch.nn.Module):
    """The difference of two products, summed in float64."""

    def __init__(self, first, second):
        super().__init__()
        self.first, self.second = (torch.from_numpy(w).T for w in (first, second))

    def forward(self, x):
        return (x.double() @ self.first - x.double() @ self.second).to(x.dtype)


def test_verify_knows_how_large_the_terms_of_a_difference_are():
    """Two sums that nearly cancel: what is left is small, what rounding does to it is not."""
    first = RNG.normal(0, 1, (3, 200))
    second = first + RNG.normal(0, 1e-6, (3, 200))
    nodes = {
        "input": ir.Input((200,)),
        "a": ir.Linear(first),
        "b": ir.Linear(second),
        "less": ir.Binary("subtract"),
        "output": ir.Output((3,)),
    }
    edges = [("input", "a"), ("input", "b"), ("a", "less"), ("b", "less"), ("less", "output")]
    xs = torch.from_numpy(RNG.normal(0, 1, (4, 2, 200))).float()
    report = bridge.verify(
        ir.Graph(nodes, edges), Wide(first, second), xs, tolerance=0.0, b_kind="step"
    )
    assert not report.agree
    assert report.within_rounding
    product = bridge.node_to_module(ir.MatMul())
    assert product.magnitude([torch.ones(1, 2, 5), torch.ones(1, 5, 2)])[1] == 5


class Product(MergeModule):
    """A user's own way to multiply."""

    def merge(self, inputs):
        return torch.stack(inputs).prod(0)


def test_a_users_module_says_what_becomes_of_several_inputs_or_is_refused():
    graph = combining(ir.Binary("multiply"), (2,), (2,))
    xs = {"x0": torch.tensor([[2.0, 3.0]]), "x1": torch.tensor([[5.0, 7.0]])}
    executor = bridge.ir_to_torch(graph, node_map={ir.Binary: lambda node: Product()})
    assert executor(xs).tolist() == [[10.0, 21.0]]
    with pytest.raises(ir.UnsupportedError, match=r"node 'n' \(Binary\).*added up.*MergeModule"):
        bridge.ir_to_torch(graph, node_map={ir.Binary: lambda node: torch.nn.Identity()})


def test_a_neuron_made_of_nodes_is_the_neuron():
    xs = RNG.integers(-64, 512, (20, 2, 3)) / 256
    out, _ = ir.Reference(lif_by_hand()).run(xs)
    one = alone(ir.LIF(*(np.array([v]) for v in (4.0, 1.0, 0.0, 0.25))), (3,))
    expected, _ = ir.Reference(one).run(xs)
    assert 0 < out.mean() < 1
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize(
    ("module", "bounds"),
    [
        (torch.nn.ReLU6(), (0.0, 6.0)),
        (torch.nn.Hardtanh(-0.5, 0.25), (-0.5, 0.25)),
        (torch.nn.Hardtanh(-np.inf, 0.25), (None, 0.25)),
    ],
)
def test_torchs_own_clipping_is_a_clip(module, bounds):
    x = torch.linspace(-8, 8, 33).reshape(11, 3)
    graph = bridge.to_ir(torch.nn.Sequential(module), x)
    (clip,) = (node for node in graph.nodes.values() if isinstance(node, ir.Clip))
    assert (clip.low, clip.high) == bounds
    assert torch.equal(bridge.ir_to_torch(graph)(x), module(x))
    assert not torch.equal(module(x), x)


TORCH_LAYERS = {
    "LogSoftmax": (torch.nn.LogSoftmax(-1), (3,)),
    "LogSoftmax over channels": (torch.nn.LogSoftmax(1), (3, 2)),
    "MaxPool1d": (torch.nn.MaxPool1d(3, 2, 1), (2, 7)),
    "AvgPool1d": (torch.nn.AvgPool1d(2, ceil_mode=True), (2, 5)),
    "AdaptiveAvgPool1d": (torch.nn.AdaptiveAvgPool1d(2), (2, 6)),
    "AdaptiveMaxPool1d": (torch.nn.AdaptiveMaxPool1d(2), (2, 6)),
    "MaxPool3d": (torch.nn.MaxPool3d(2), (1, 4, 4, 4)),
    "AvgPool3d": (torch.nn.AvgPool3d(2, 1), (1, 3, 4, 2)),
    "Conv3d": (torch.nn.Conv3d(1, 2, 2, bias=False), (1, 3, 3, 3)),
    "ConvTranspose1d": (torch.nn.ConvTranspose1d(2, 3, 2, 2, bias=False), (2, 4)),
    "ConvTranspose2d": (torch.nn.ConvTranspose2d(2, 4, 3, 2, 1, 1, 2), (2, 4, 4)),
    "BatchNorm3d": (torch.nn.BatchNorm3d(2).eval(), (2, 2, 3, 2)),
    "GroupNorm": (torch.nn.GroupNorm(2, 4), (4, 3, 3)),
    "GroupNorm without parameters": (torch.nn.GroupNorm(2, 4, affine=False), (4, 3)),
    "Unflatten": (torch.nn.Unflatten(1, (2, -1)), (6, 2)),
}


@pytest.mark.parametrize("name", TORCH_LAYERS)
def test_torchs_layers_come_in_and_go_out(name):
    layer, shape = TORCH_LAYERS[name]
    x = torch.from_numpy(RNG.normal(0, 1, (3, *shape))).float()
    graph = bridge.to_ir(torch.nn.Sequential(layer), x)
    made = [node.primitive for node in graph.nodes.values()]
    assert made == ["Input", {"Unflatten": "Reshape"}.get(name, name.split()[0]).replace(
        "Adaptive", ""), "Output"]  # fmt: skip
    executor = bridge.ir_to_torch(graph)
    torch.testing.assert_close(executor(x), layer(x))
    assert bridge.to_ir(executor, x).difference(graph) == []


NEW = [name for name in ir.list_primitives() if ir.str_to_node(name).since == "0.2.0"]


def test_every_primitive_of_this_version_is_among_them():
    assert set(NEW) <= {
        node.primitive for graph in GRAPHS.values() for node in graph.flat().nodes.values()
    }


@pytest.mark.parametrize("name", GRAPHS)
def test_nir_has_no_word_for_them(name, tmp_path):
    graph = GRAPHS[name]
    with pytest.raises(ir.UnsupportedError) as caught:
        nir.write(tmp_path / "g.nir", graph, dt=1e-3)
    said = str(caught.value)
    for node in graph.flat().nodes.values():
        if node.primitive in NEW:
            assert f"NIR has no {node.primitive}" in said
    assert "Replace" in said or "lossy=True" in said
