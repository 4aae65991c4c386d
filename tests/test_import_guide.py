"""The import guide, run as it is printed.

The code is taken from the text of the guide (``data/import-guide.txt``), whose export has lost the
indentation of bodies: that is mended, and nothing else. What a snippet leaves to its reader (a
file, an input, ``torch`` itself) is what ``names`` holds before it runs.
"""

import inspect
import itertools
import re
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pytest
import snntorch as snn
import torch
from torch import nn

from t1c import bridge, ir
from t1c.bridge import LIFModule

GUIDE = (Path(__file__).parent / "data" / "import-guide.txt").read_text().splitlines()
REST = 999  # a body that goes on to the end of its snippet

# name -> (heading, first line, last line or lines, {line that opens a body: how many lines it has})
SNIPPETS: dict[str, tuple[str, str, str, dict[str, int]]] = {
    "basic": (
        "Basic Import",
        "from t1c import ir, bridge",
        "output = executor(input_tensor)",
        {},
    ),
    "stateful": (
        "Stateful Execution",
        "executor = bridge.ir_to_torch(graph, return_state=True)",
        'print(f"t={t}: output={output.sum().item():.2f}")',
        {"for t in range(num_timesteps):": 2},
    ),
    "state keys": (
        "Stateful Execution",
        "print(state.keys())  # dict_keys(['lif1', 'lif2'])",
        "print(state.keys())  # dict_keys(['lif1', 'lif2'])",
        {},
    ),
    "snntorch": (
        "Using snnTorch Wrapper",
        "from snntorch.import_t1cir import import_from_ir",
        "executor = import_from_ir('model.t1c', return_state=True)",
        {},
    ),
    "executor": (
        "GraphExecutor",
        "from t1c.bridge import GraphExecutor",
        'print(f"{name}: {type(module).__name__}")',
        {"for name, module in executor.named_children():": 1},
    ),
    "lif": (
        "LIFModule",
        "from t1c.bridge import LIFModule",
        'print(f"threshold: {lif.v_threshold}")',
        {},
    ),
    "forward": (
        "Forward Signature",
        "def forward(self, x: torch.Tensor, mem: Optional[torch.Tensor] = None) -> tuple:",
        '(spikes, membrane_potential)\n"""',
        {"def forward(self, x: torch.Tensor, mem: Optional[torch.Tensor] = None) -> tuple:": REST},
    ),
    "dynamics": ("Dynamics", "# Update membrane", "return spk, mem", {}),
    "custom map": (
        "Custom Node Mapping",
        "def my_lif_converter(node: ir.LIF) -> nn.Module:",
        ")",
        {"def my_lif_converter(node: ir.LIF) -> nn.Module:": 4},
    ),
    "low level": (
        "Low-Level Import",
        "from t1c.bridge import from_ir, GraphExecutor",
        ")",
        {},
    ),
    "one node": (
        "Node-by-Node Conversion",
        "from t1c.bridge import node_to_module",
        "print(type(lif_module)) # <class 't1c.bridge.from_ir.LIFModule'>",
        {},
    ),
    "sepconv": (
        "SepConv2dModule",
        "from t1c.bridge import SepConv2dModule",
        'print(f"Stride: {sepconv.stride}")',
        {},
    ),
    "skip": (
        "SkipModule",
        "from t1c.bridge import SkipModule",
        "print(skip.skip_type) # 'residual'",
        {},
    ),
    "residual": (
        "Example of residual merge:",
        "# Graph: input -> fc -> skip, input -> skip (residual connection)",
        "# Output: fc(x) + x",
        {},
    ),
    "concatenate": ("Example of concatenate merge:", "modules = {", "]", {}),
    "round trip": (
        "Round-Trip Verification",
        "import torch",
        "assert torch.allclose(out_orig, out_import, atol=1e-5)",
        {"with torch.no_grad():": REST},
    ),
    "wrong keys": (
        "State Key Errors",
        "# Check expected keys",
        "if isinstance(m, LIFModule)])",
        {},
    ),
    "wrong shape": (
        "Shape Mismatch",
        "# Check graph input shape",
        'print(f"Expected: {expected_shape}")',
        {},
    ),
    "unsupported": (
        "Missing Node Type",
        "from t1c.bridge import node_to_module",
        'print(f"Unsupported: {type(unknown_node)}")',
        {"if result is None:": 1},
    ),
}
HEADINGS = list(dict.fromkeys(heading for heading, *_ in SNIPPETS.values()))


def place(name):
    """First and last line of a snippet, as indices into the guide."""
    heading, first, last, _ = SNIPPETS[name]
    begin = GUIDE.index(first, GUIDE.index(heading))
    last, *more = last.split("\n")
    end = GUIDE.index(last, begin)
    assert GUIDE[end + 1 : end + 1 + len(more)] == more
    return begin, end + len(more)


def code(name):
    """A snippet as printed, its bodies indented again."""
    begin, end = place(name)
    left = 0
    lines = []
    for line in GUIDE[begin : end + 1]:
        lines.append("    " * (left > 0) + line)
        left = SNIPPETS[name][3].get(line, max(left - 1, 0))
    return "\n".join(lines) + "\n"


def run(name, names):
    exec(compile(code(name), f"<import guide: {name}>", "exec"), names)


def promises(name):
    """What the guide says, behind a #, that the lines of a snippet print."""
    found = re.findall(r"^print\(.*\) +# (.*)$", code(name), flags=re.MULTILINE)
    return [text.replace("'residual'", "residual") for text in found]


def mlp(options: dict[str, Any] | None = None, sizes: tuple[int, ...] = (784, 16, 10)):
    """The network that the guide imports: fc1, lif1, fc2, lif2."""
    rng = np.random.default_rng(7)
    nodes: dict[str, ir.Node] = {"input": ir.Input(shape=sizes[:1])}
    for i, (n, m) in enumerate(itertools.pairwise(sizes), 1):
        weight = rng.normal(0, 2 / np.sqrt(n), (m, n)).astype(np.float32)
        nodes[f"fc{i}"] = ir.Affine(weight, rng.normal(0, 0.1, m).astype(np.float32))
        given = options or {"tau": np.full(m, 5.0), "r": np.full(m, 5.0)}
        nodes[f"lif{i}"] = ir.LIF(**given, v_leak=np.zeros(1), v_threshold=np.ones(1))
    nodes["output"] = ir.Output(shape=sizes[-1:])
    chain = list(nodes)
    return ir.Graph(nodes, list(itertools.pairwise(chain)))


@pytest.fixture
def names(tmp_path, monkeypatch):
    """What the reader of the guide has at hand, beside a file ``model.t1c``."""
    monkeypatch.chdir(tmp_path)
    graph = mlp()
    ir.write("model.t1c", graph)
    torch.manual_seed(3)
    return {
        "torch": torch,
        "nn": nn,
        "ir": ir,
        "bridge": bridge,
        "graph": graph,
        "input_tensor": torch.rand(4, 784),
        "num_timesteps": 5,
    }


# The text itself ---------------------------------------------------------------------------


def test_every_line_of_code_in_the_guide_is_run():
    covered: set[int] = set()
    for name in SNIPPETS:
        begin, end = place(name)
        assert not covered & set(range(begin, end + 1)), name
        covered |= set(range(begin, end + 1))
    looks_like_code = re.compile(r"^(from |import |def |for |if |with |print|return )|[=\[({]$| = ")
    left = [line for i, line in enumerate(GUIDE) if i not in covered]
    assert [line for line in left if looks_like_code.search(line)] == []


@pytest.mark.parametrize("name", SNIPPETS)
def test_a_snippet_differs_from_the_guide_in_its_indentation_only(name):
    begin, end = place(name)
    assert [line.strip() for line in code(name).splitlines()] == GUIDE[begin : end + 1]


# Import and execution ----------------------------------------------------------------------


def test_basic_import(names):
    del names["ir"], names["bridge"], names["graph"]
    run("basic", names)
    assert type(names["output"]) is torch.Tensor
    assert names["output"].shape == (4, 10)
    assert names["graph"].equals(mlp())


def test_stateful_execution(names, capsys):
    run("stateful", names)
    printed = capsys.readouterr().out.splitlines()
    values, _ = ir.Reference(mlp(), np.float32).run(np.stack([names["input_tensor"].numpy()] * 5))
    assert printed == [f"t={t}: output={out.sum():.2f}" for t, out in enumerate(values)]
    assert len(set(printed)) > 1
    assert values.sum() > 0

    run("state keys", names)
    assert [capsys.readouterr().out.rstrip()] == promises("state keys")
    assert all(isinstance(own, tuple) and len(own) == 1 for own in names["state"].values())
    assert names["state"]["lif2"][0].shape == (4, 10)


def test_state_names_are_those_of_the_printed_order_in_a_run_too(names):
    _, state = bridge.ir_to_torch(names["graph"]).run(names["input_tensor"].expand(3, 4, 784))
    assert [str(state.keys())] == promises("state keys")


def test_snntorch_wrapper(names):
    run("snntorch", names)
    executor = names["executor"]
    assert isinstance(executor, bridge.GraphExecutor)
    assert not executor.training
    out, state = executor(names["input_tensor"], {})
    direct, expected = bridge.ir_to_torch("model.t1c", return_state=True)(names["input_tensor"])
    assert torch.equal(out, direct)
    assert torch.equal(state["lif1"][0], expected["lif1"][0])


# The executor and its modules --------------------------------------------------------------


def test_graph_executor(names, capsys):
    run("executor", names)
    first, *children = capsys.readouterr().out.splitlines()
    assert [first] == promises("executor")
    begin = GUIDE.index("Output:", place("executor")[1]) + 2
    assert children == GUIDE[begin : begin + 6]
    assert children[0] == "input: Identity"
    assert children[-1] == "output: Identity"


def test_lif_module(names, capsys):
    names["executor"] = bridge.ir_to_torch(names["graph"])
    run("lif", names)
    printed = capsys.readouterr().out
    lif = names["lif"]
    assert printed == f"tau: {lif.tau}\nbeta: {lif.beta}\nthreshold: {lif.v_threshold}\n"
    assert "tensor([5., 5." in printed
    assert "beta: tensor([0.8000, 0.8000" in printed
    assert "threshold: tensor([1.]" in printed
    assert isinstance(lif, LIFModule)
    assert torch.equal(lif.beta, 1 - 1 / lif.tau)
    # "LIF parameters are buffers".
    assert {"tau", "r", "v_leak", "v_threshold"} == set(dict(lif.named_buffers()))


def test_forward_signature():
    scope: dict[str, Any] = {"torch": torch, "Optional": Optional}
    exec(code("forward"), scope)
    printed = inspect.signature(scope["forward"]).parameters
    ours = inspect.signature(LIFModule.forward).parameters
    assert list(printed) == list(ours) == ["self", "x", "mem"]
    assert ours["mem"].default is printed["mem"].default is None
    lif = LIFModule(tau=2.0, r=2.0, v_leak=0.0, v_threshold=1.0)
    x = torch.tensor([[0.75, 1.5]])
    result = lif(x)
    assert type(result) is tuple
    spikes, membrane = result
    assert torch.equal(spikes, torch.tensor([[0.0, 1.0]]))
    assert torch.equal(membrane, torch.tensor([[0.75, 0.0]]))
    spikes, membrane = lif(x, mem=membrane)
    assert torch.equal(spikes, torch.tensor([[1.0, 1.0]]))
    assert torch.equal(membrane, torch.zeros(1, 2))


def test_dynamics():
    body = "\n".join("    " + line for line in code("dynamics").splitlines())
    scope: dict[str, Any] = {}
    exec(f"def step(x, mem, beta, r, v_leak, v_threshold):\n{body}\n", scope)
    # On dyadic numbers both forms of the update are exact, so they must be equal.
    numbers: dict[str, Any] = {"r": 1.5, "v_leak": 0.25, "v_threshold": 0.75}
    lif = LIFModule(tau=4.0, **numbers)
    torch.manual_seed(0)
    xs = torch.randint(-64, 256, (12, 3, 5), dtype=torch.float64) / 64
    mem = torch.zeros(3, 5, dtype=torch.float64)
    state = None
    total = 0
    for x in xs:
        expected, mem = scope["step"](x, mem, beta=0.75, **numbers)
        spikes, state = lif(x, state)
        assert torch.equal(spikes, expected.double())
        assert torch.equal(state, mem)
        total += int(spikes.sum())
    assert 0 < total < xs.numel()


# The user's own modules --------------------------------------------------------------------


def test_custom_node_mapping(names):
    run("custom map", names)
    executor = names["executor"]
    kinds = [(name, type(module)) for name, module in executor.named_children()]
    assert kinds == [
        ("input", nn.Identity),
        ("fc1", nn.Linear),
        ("lif1", snn.Leaky),
        ("fc2", nn.Linear),
        ("lif2", snn.Leaky),
        ("output", nn.Identity),
    ]
    assert executor.lif1.beta == pytest.approx(0.8)

    # The same network, written by hand for snnTorch.
    first, second = snn.Leaky(beta=0.8), snn.Leaky(beta=0.8)
    mem1, mem2 = first.init_leaky(), second.init_leaky()
    state: dict[str, Any] = {}
    spikes = 0
    for _ in range(6):
        out, state = executor(names["input_tensor"], state)
        spk1, mem1 = first(executor.fc1(names["input_tensor"]), mem1)
        spk2, mem2 = second(executor.fc2(spk1), mem2)
        assert torch.equal(out, spk2)
        assert torch.equal(state["lif1"][0], mem1)
        assert torch.equal(state["lif2"][0], mem2)
        spikes += int(out.sum())
    assert spikes > 0
    assert list(state) == ["lif1", "lif2"]


def test_low_level_import(names, capsys):
    run("low level", names)
    printed = capsys.readouterr().out.strip()
    (promised,) = promises("low level")
    assert printed.startswith(promised.removesuffix(", ...])"))
    assert printed == "dict_keys(['input', 'fc1', 'lif1', 'fc2', 'lif2', 'output'])"
    assert type(names["executor"]) is bridge.GraphExecutor
    assert names["executor"].edges == names["graph"].edges
    out, state = names["executor"](names["input_tensor"])
    direct, expected = bridge.ir_to_torch(names["graph"], return_state=True)(names["input_tensor"])
    assert torch.equal(out, direct)
    assert state.keys() == expected.keys()


def test_node_by_node_conversion(names, capsys):
    run("one node", names)
    assert [capsys.readouterr().out.strip()] == promises("one node")
    assert names["lif_module"].tau.shape == (16,)


def examples():
    """One node of each type in the guide's table."""
    weight, bias = np.ones((3, 2)), np.zeros(3)
    kernel = np.ones((3, 2, 3, 3))
    depthwise, pointwise = np.ones((2, 1, 3, 3)), np.ones((3, 2, 1, 1))
    return {
        "Input": ir.Input((2,)),
        "Output": ir.Output((2,)),
        "Affine": ir.Affine(weight, bias),
        "SpikingAffine": ir.SpikingAffine(weight, bias, "rate", 4, 12),
        "Conv2d": ir.Conv2d(kernel, bias),
        "Flatten": ir.Flatten(),
        "MaxPool2d": ir.MaxPool2d(),
        "AvgPool2d": ir.AvgPool2d(),
        "Upsample": ir.Upsample(),
        "SepConv2d": ir.SepConv2d(depthwise, pointwise),
        "Skip": ir.Skip("concatenate"),
        "LIF": ir.LIF(*np.ones((4, 1))),
    }


@pytest.mark.parametrize("primitive", examples())
def test_supported_nodes(primitive):
    begin = GUIDE.index("T1C-IRPyTorchNotes") + 1
    table = GUIDE[begin : GUIDE.index("", begin)]
    assert len(table) == len(examples())
    node = examples()[primitive]
    module = bridge.node_to_module(node)
    assert module is not None
    kind = type(module)
    shown = f"nn.{kind.__name__}" if kind.__module__.startswith("torch.nn") else kind.__name__
    rows = [row for row in table if row.startswith(primitive + shown)]
    assert len(rows) == 1, (shown, table)
    notes = rows[0].removeprefix(primitive + shown)
    if notes == "Stateful neuron":
        assert isinstance(module, bridge.StatefulModule)
    if notes == "Preserves skip_type":
        assert module.skip_type == "concatenate"


def test_sep_conv_2d_module(names, capsys):
    rng = np.random.default_rng(0)
    node = ir.SepConv2d(
        rng.standard_normal((3, 1, 3, 5)), rng.standard_normal((4, 3, 1, 1)), stride=(2, 1)
    )
    graph = ir.Graph(
        {"input": ir.Input((3, 8, 8)), "sepconv1": node, "output": ir.Output((4, 3, 4))},
        [("input", "sepconv1"), ("sepconv1", "output")],
    )
    names["executor"] = bridge.ir_to_torch(graph)
    run("sepconv", names)
    depth, point, stride = capsys.readouterr().out.splitlines()
    assert depth == f"Depthwise: {names['sepconv'].depthwise}"
    assert "groups=3" in depth
    assert re.search(r"Conv2d\(3, 4, kernel_size=\(1, 1\)", point)
    assert stride == "Stride: (2, 1)"
    sepconv = names["sepconv"]
    assert isinstance(sepconv, names["SepConv2dModule"])
    # "stride, padding, dilation: Applied to depthwise conv"
    for part, expected in (("stride", (2, 1)), ("padding", (0, 0)), ("dilation", (1, 1))):
        assert getattr(sepconv, part) == getattr(sepconv.depthwise, part) == expected
    assert sepconv.pointwise.stride == (1, 1)


def test_skip_module(names, capsys):
    run("skip", names)
    assert [capsys.readouterr().out.strip()] == promises("skip")
    x = torch.ones(1, 2)
    assert torch.equal(names["skip"](x), x)


def test_residual_merge(names):
    from t1c.bridge import GraphExecutor, SkipModule

    names |= {"SkipModule": SkipModule, "GraphExecutor": GraphExecutor}
    run("residual", names)
    x = torch.randn(3, 10)
    assert torch.equal(names["executor"](x), names["modules"]["fc"](x) + x)
    assert not torch.equal(names["executor"](x), x)


def test_concatenate_merge(names):
    from t1c.bridge import GraphExecutor, SkipModule

    names["SkipModule"] = SkipModule
    run("concatenate", names)
    modules = names["modules"]
    executor = GraphExecutor(modules, names["edges"])
    x = torch.randn(2, 64, 12, 12)
    out = executor(x)
    assert out.shape == (2, 128, 12, 12)
    assert torch.equal(out[:, :64], modules["pool5"](x))
    assert torch.equal(out[:, 64:], modules["pool9"](x))
    whole, _ = executor.run(x[None])
    assert torch.equal(whole[0], out)


# Round trip --------------------------------------------------------------------------------


class SNN(nn.Module):
    """The guide's model: two layers of snnTorch's Leaky."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(784, 16)
        self.lif1 = snn.Leaky(beta=0.9)
        self.fc2 = nn.Linear(16, 10)
        self.lif2 = snn.Leaky(beta=0.9)

    def forward(self, x, mem1, mem2):
        spk1, mem1 = self.lif1(self.fc1(x), mem1)
        spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
        return spk2, mem1, mem2


def exported_by_hand(model):
    """The graph that stands for ``model``; snnTorch resets by subtraction, one step later."""
    options = {
        "tau": np.array([1 / (1 - 0.9)]),
        "r": np.array([1 / (1 - 0.9)]),
        "reset": "subtract",
        "reset_delay": True,
        "fires_at": "gt",
    }
    graph = mlp(options)
    for name in ("fc1", "fc2"):
        graph.nodes[name].weight = getattr(model, name).weight.detach().numpy()
        graph.nodes[name].bias = getattr(model, name).bias.detach().numpy()
    graph.check()
    return graph


def trained():
    torch.manual_seed(11)
    model = SNN()
    with torch.no_grad():
        model.fc1.weight *= 4
        model.fc2.weight *= 8
    return model


def test_round_trip(names, capsys):
    names |= {"bridge": bridge, "SNN": trained}
    run("round trip", names)
    printed = capsys.readouterr().out
    assert printed.startswith("Max diff: ")
    assert float(printed.removeprefix("Max diff: ")) == 0
    assert 0 < names["out_orig"].sum() < 10
    assert list(names["state"]) == ["lif1", "lif2"]


@torch.no_grad()
def test_round_trip_holds_over_many_steps_bit_for_bit():
    model = trained()
    graph: ir.Graph = bridge.to_ir(model, torch.randn(1, 784))
    executor = bridge.ir_to_torch(graph, return_state=True, events=False)
    mem1, mem2, state = model.lif1.init_leaky(), model.lif2.init_leaky(), None
    spikes = 0
    for x in torch.rand(20, 3, 784):
        expected, mem1, mem2 = model(x, mem1, mem2)
        out, state = executor(x, state)
        assert torch.equal(out, expected)
        assert torch.equal(state["lif1"][0], mem1)
        assert torch.equal(state["lif2"][0], mem2)
        spikes += int(out.sum())
    assert spikes > 0


def test_the_exported_graph_is_the_one_made_by_hand():
    model = trained()
    graph: ir.Graph = bridge.to_ir(model, torch.randn(1, 784))
    by_hand = exported_by_hand(model)
    assert list(graph.nodes) == list(by_hand.nodes)
    assert graph.edges == by_hand.edges
    for name in ("lif1", "lif2"):
        # 0.9 in float32 is another number than in float64, and so is its tau.
        assert np.allclose(graph.nodes[name].tau, by_hand.nodes[name].tau, rtol=1e-6)
        graph.nodes[name].tau, graph.nodes[name].r = (by_hand.nodes[name].tau,) * 2
        for field in ("v_threshold", "v_leak"):
            setattr(graph.nodes[name], field, getattr(by_hand.nodes[name], field))
    assert graph.difference(by_hand) == []


# Troubleshooting ---------------------------------------------------------------------------


def test_troubleshooting_state_keys(names, capsys):
    names |= {"executor": bridge.ir_to_torch(names["graph"]), "LIFModule": LIFModule}
    run("wrong keys", names)
    assert capsys.readouterr().out == "['lif1', 'lif2']\n"


def test_troubleshooting_shapes(names, capsys):
    names["graph"] = ir.read("model.t1c")
    run("wrong shape", names)
    assert capsys.readouterr().out == "Expected: [784]\n"


def test_troubleshooting_an_unsupported_node(names, capsys):
    class Unknown(ir.Node):
        pass

    names["unknown_node"] = Unknown()
    run("unsupported", names)
    assert capsys.readouterr().out == f"Unsupported: {Unknown}\n"
    names["unknown_node"] = ir.Flatten()
    run("unsupported", names)
    assert capsys.readouterr().out == ""
