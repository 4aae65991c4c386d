"""Neurons without a primitive run as one generated loop: the same bits, the same gradients."""

import ctypes
import itertools
import os
import platform
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from t1c import bridge, ir
from t1c.bridge.engine import stretch
from t1c.bridge.engine.kernels import definition, on_disk
from t1c.bridge.engine.kernels.generated import compiler, made
from t1c.bridge.engine.kernels.generated.gradient import backward
from t1c.bridge.engine.kernels.generated.kept import fewest
from t1c.bridge.engine.kernels.generated.llvm_launch import launch, work
from t1c.bridge.engine.kernels.generated.llvm_rows import arity
from t1c.bridge.engine.kernels.generated.llvm_source import source
from t1c.bridge.engine.kernels.generated.loop import Loop, Writer
from t1c.bridge.engine.kernels.generated.operations import NUMBERS, OPERATIONS
from t1c.bridge.engine.kernels.generated.scan import scan
from t1c.bridge.engine.kernels.generated.symbol import Pen, UnsuitedError
from t1c.bridge.engine.kernels.rule import COEFFICIENTS, Rule
from t1c.bridge.engine.kernels.scan import Coefficients
from t1c.bridge.engine.kernels.scan import scan as primitive
from t1c.bridge.engine.kernels.surrogate import SLOPES, Surrogate

from .engine_helpers import plain
from .examples import drawn, examples
from .neuron_examples import adaptive, exponential, refractory
from .neuron_grammar import neurons
from .test_elementwise_graphs import gated_loop, lif_by_hand

EXAMPLES = {
    "LIF": lif_by_hand,
    "gated": gated_loop,
    "adaptive": lambda: adaptive(3),
    "adaptive map": lambda: adaptive(2, 3, 2, detuned=True),
    "refractory": lambda: refractory(3),
}


@pytest.fixture(autouse=True, scope="module")
def _own_folder(tmp_path_factory):
    """What these tests generate is theirs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("T1C_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def worked(monkeypatch):
    """Every loop is worth generating, however short or narrow; those worked are listed."""
    done = []

    def noted(written, *rest):
        done.append(written)
        return scan(written, *rest)

    monkeypatch.setattr(stretch, "WORTH", 0)
    monkeypatch.setattr(stretch, "OFTEN", 0)
    monkeypatch.setattr("t1c.bridge.engine.sequence.NARROW", 0)
    monkeypatch.setattr("t1c.bridge.engine.sequence.LITTLE", 0)
    monkeypatch.setattr(stretch, "scan", noted)
    return done


# The numbers of the reference ---------------------------------------------------------------------


def sequence(graph, steps, batch, seed=0):
    rng = np.random.default_rng(seed)
    return {
        name: rng.integers(-512, 513, (steps, batch, *node.shape)) / 256
        for name, node in graph.inputs().items()
    }


def assert_as_reference(graph, steps, batch, chunk=None, dtype=np.float32):
    """Bit for bit, but for which NaN it is and the sign of zero; what was sent."""
    xs = sequence(graph, steps, batch)
    with np.errstate(all="ignore"):
        expected, after = ir.Reference(graph, dtype).run(xs)
    kind = torch.from_numpy(np.zeros((), dtype)).dtype
    executor = bridge.ir_to_torch(graph, dtype=kind)
    given = {name: torch.from_numpy(x).to(kind) for name, x in xs.items()}
    with torch.no_grad():
        outputs, state = executor.run(given, chunk=chunk)
    outputs, expected = (v if isinstance(v, dict) else {"": v} for v in (outputs, expected))
    for name, y in expected.items():
        assert np.array_equal(outputs[name].numpy(), y, equal_nan=True), name
    assert set(state) == set(after)
    for name, own in after.items():
        for found, wanted in zip(state[name], own, strict=True):
            assert np.array_equal(found.numpy(), wanted, equal_nan=True), name
    return sum(int((y > 0).sum()) for y in expected.values())


@pytest.mark.usefixtures("uncompiled")
def test_any_neuron_is_the_reference_bit_for_bit(worked):
    @examples(30)
    @given(neurons(), st.integers(1, 7), st.integers(1, 3), st.sampled_from([None, 1, 3]))
    def check(graph, steps, batch, chunk):
        assert_as_reference(graph, steps, batch, chunk)

    check()
    assert len(worked) > drawn(30)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", EXAMPLES)
def test_compiled_it_is_the_reference_bit_for_bit(name, dtype, worked):
    sent = [assert_as_reference(EXAMPLES[name](), 12, 3, chunk, dtype) for chunk in (None, 5)]
    assert sent[0] == sent[1] > 0
    # One loop for each chunk, of all nodes: none was stepped.
    assert len(worked) == 1 + 3


@pytest.mark.parametrize("threads", [1, 2])
def test_many_elements_on_several_threads(threads, worked):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert assert_as_reference(adaptive(700, detuned=True), 40, 5, 16) > 1000
    finally:
        torch.set_num_threads(before)
    assert len(worked) == 3


def test_state_goes_in_and_comes_out(worked):
    executor = bridge.ir_to_torch(refractory(3))
    xs = torch.from_numpy(sequence(refractory(3), 9, 2)["input"]).float()
    with torch.no_grad():
        whole, last = executor.run(xs)
        first, state = executor.run(xs[:4])
        kept = {name: tuple(v.clone() for v in own) for name, own in state.items()}
        second, state_after = executor.run(xs[4:], state)
        executor.kernels = "torch"
        stepped, stepped_last = executor.run(xs)
    assert len(worked) == 3
    assert whole.sum() > 0
    assert torch.equal(torch.cat([first, second]), whole)
    assert torch.equal(stepped, whole)
    for name, own in kept.items():
        assert all(map(torch.equal, own, state[name]))
        assert all(map(torch.equal, last[name], state_after[name]))
        assert all(map(torch.equal, last[name], stepped_last[name]))


def test_every_node_can_be_looked_at(worked):
    graph = adaptive(3)
    xs = sequence(graph, 6, 2)["input"]
    seen = bridge.ir_to_torch(graph).trace(torch.from_numpy(xs).float())
    assert worked
    reference, state = ir.Reference(graph, np.float32), {}
    for t, x in enumerate(xs):
        values, state = reference.trace(x, state)
        for name, value in values.items():
            assert np.array_equal(seen[name][t].detach().numpy(), value), name


def test_transcendental_functions_are_those_of_torch_to_the_last_digit(worked):
    graph = exponential(4)
    xs = torch.from_numpy(np.random.default_rng(0).uniform(0, 0.5, (40, 3, 4)))
    outputs = []
    for kernels in (None, "torch"):
        with torch.no_grad():
            executor = bridge.ir_to_torch(graph, dtype=torch.float64, kernels=kernels)
            outputs.append(executor.trace(xs))
    assert len(worked) == 1
    assert outputs[0]["spike"].sum() > 10
    for name, value in outputs[0].items():
        torch.testing.assert_close(value, outputs[1][name], rtol=1e-12, atol=1e-12)


def test_what_is_not_worth_it_is_stepped(worked, monkeypatch):
    monkeypatch.setattr(stretch, "WORTH", 10**6)
    monkeypatch.setattr(stretch, "at_hand", lambda *_: False)
    assert assert_as_reference(refractory(5), 3, 2) > 0
    assert not worked


@pytest.mark.usefixtures("uncompiled")
def test_what_is_asked_of_often_is_worth_it(worked, monkeypatch):
    """Twelve nodes and ten steps: a little, until it is the third time."""
    monkeypatch.setattr(stretch, "at_hand", lambda *_: False)
    monkeypatch.setattr(stretch, "OFTEN", 300)
    monkeypatch.setattr(made, "_asked", {})
    xs = torch.from_numpy(np.random.default_rng(0).integers(-4, 13, (10, 2, 5)) / 4)
    found = []
    for count in (0, 0, 1):
        found.append(bridge.ir_to_torch(refractory(5), dtype=torch.float64).run(xs)[0])
        assert len(worked) == count
    assert found[0].sum() > 0
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_hooks_are_called_at_every_step(worked):
    executor = bridge.ir_to_torch(lif_by_hand())
    called = []
    executor.node("s").register_forward_hook(lambda *_: called.append(1))
    executor.run(torch.ones(5, 1, 3))
    assert len(called) == 5
    assert not worked


def test_elementwise_nodes_outside_a_loop_are_worked_together(worked):
    shape = (2, 3)
    nodes = {"x": ir.Input(shape), "a": ir.Scale(np.array(0.5)), "b": ir.Shift(np.array(1.0)),
             "c": ir.Unary("abs"), "d": ir.Binary("divide"), "e": ir.Delay(np.array(2)),
             "y": ir.Output(shape)}  # fmt: skip
    edges = [("x", "a"), ("a", "b"), ("b", "c"), ("a", "d"), ("c", "d"), ("d", "e"), ("e", "y")]
    assert assert_as_reference(ir.Graph(nodes, edges), 6, 2, 4) != 0
    assert len(worked) == 2
    assert worked[0].loop.reads == (0,)


# Gradients ----------------------------------------------------------------------------------------


def gradients(graph, kernels, xs, detach, surrogate, chunk=None):
    """Of every input, first state and parameter, of a weighed sum of outputs and last states."""
    parts = graph.flat().nodes.values()
    learn = {name for node in parts if hasattr(node, "fold") for name in node.parameters()}
    executor = bridge.ir_to_torch(
        graph, dtype=torch.float64, kernels=kernels, detach_reset=detach, surrogate=surrogate,
        learn=learn,
    )  # fmt: skip
    given = {name: torch.from_numpy(x).requires_grad_() for name, x in xs.items()}
    with torch.no_grad():
        _, first = executor.run(given)
    first = {n: tuple(v.clone().requires_grad_() for v in first[n]) for n in sorted(first)}
    outputs, state = executor.run(given, first, chunk=chunk)
    outputs = outputs if isinstance(outputs, dict) else {"": outputs}
    generator = torch.Generator().manual_seed(0)
    ends = [*outputs.values(), *(v for n in first for v in state[n])]
    loss = sum((v * torch.randn(v.shape, generator=generator, dtype=v.dtype)).sum() for v in ends)
    leaves = [*given.values(), *(v for own in first.values() for v in own), *executor.parameters()]
    return torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)


def assert_gradients_of_stepping(graph, steps, batch, *options):
    xs = sequence(graph, steps, batch)
    found = gradients(graph, None, xs, *options)
    expected = gradients(graph, "torch", xs, *options)
    largest = max(float(e.abs().max()) for e in expected)
    for g, e in zip(found, expected, strict=True):
        torch.testing.assert_close(g, e, rtol=1e-10, atol=1e-10 * max(1.0, largest))
    return largest


@pytest.mark.usefixtures("uncompiled")
def test_any_neuron_has_the_gradients_of_stepping(worked):
    @examples(30)
    @given(
        neurons(smooth=True),
        st.booleans(),
        st.sampled_from(list(SLOPES)),
        st.sampled_from([None, 2]),
    )
    def check(graph, detach, surrogate, chunk):
        assert np.isfinite(assert_gradients_of_stepping(graph, 5, 2, detach, surrogate, chunk))

    check()
    assert len(worked) > drawn(30)


@pytest.mark.parametrize("name", ["gated", "adaptive map", "refractory"])
def test_compiled_it_has_the_gradients_of_stepping(name, worked):
    assert assert_gradients_of_stepping(EXAMPLES[name](), 8, 3, False, "atan") > 0
    assert len(worked) == 2


def test_exponential_neurons_learn(worked):
    assert assert_gradients_of_stepping(exponential(4), 8, 3, False, "atan") > 0
    assert worked


def test_a_gradient_is_given_no_more_than_it_needs():
    """Of a LIF that resets to zero the membrane alone, whose threshold tells the rest."""
    w = Writer()
    x, v = w.add("read", detail=0), w.add("carried", detail=0)
    beta, threshold = w.add("single", detail=0), w.add("single", detail=1)
    u = beta * v + x
    s = u.apply("fires_at", threshold, detail=Surrogate())
    loop = w.loop([s], [u * (1 - s)])
    (kept,) = backward(loop, (0,)).kept
    assert loop.entries[kept].op == "add"
    # What beta's gradient needs besides: the membrane before. The input tells the one after it.
    more = backward(loop, (0,), (), (0,))
    assert {loop.entries[p].op for p in more.kept} == {"read", "carried"}
    assert fewest(loop, ()) == []


RESETS = [
    ("no_fire", False),
    *itertools.product(("zero", "value", "subtract", "none", "lower"), (False, True)),
    ("hold", True),
    ("carry", False),
]
"""(reset, delay)"""

# Primitives ---------------------------------------------------------------------------------------


def neuron_tensors(rule, dtype, shape, alone):
    """Input, state and coefficients, of which each third from ``alone`` on is one number."""
    g = torch.Generator().manual_seed(0)

    def numbers(*size):
        return (torch.randn(size, generator=g, dtype=torch.float64) * 4).round() / 4

    fields = (0.75, 1.0, 0.25, 1.0, -0.5, 0.5, 1.25, -0.25)
    over = [() if n % 3 == alone else shape[2:] for n in range(len(fields))]
    c = [n + numbers(*size) / 8 for n, size in zip(fields, over, strict=True)]
    state = [numbers(*shape[1:]) for _ in range(1 + rule.synapse)]
    return [t.to(dtype) for t in (numbers(*shape) * 1.5, *state, *c)]


def generated(xs, state, c, rule):
    """A primitive neuron, which is an instance."""
    return primitive(xs, state, Coefficients(c), rule, "numba")


def rules():
    for (reset, delay), (many, bounded) in itertools.product(
        RESETS, itertools.product((False, True), repeat=2)
    ):
        if reset == "no_fire" and (many or bounded):
            continue
        for synapse in (False, True):
            yield Rule(reset, delay, not many, synapse, Surrogate(), True, many, bounded)


@pytest.mark.usefixtures("uncompiled")
def test_every_primitive_neuron_is_an_instance_bit_for_bit():
    fired = 0
    for rule, alone in zip(rules(), itertools.cycle(range(4))):
        xs, *rest = neuron_tensors(rule, torch.float32, (6, 2, 3), alone)
        state, c = tuple(rest[: 1 + rule.synapse]), tuple(rest[1 + rule.synapse :])
        y, after = generated(xs, state, c, rule)
        expected, wanted = definition.scan(xs, state, c, rule)
        assert torch.equal(y, expected), rule
        assert all(map(torch.equal, after, wanted)), rule
        fired += int((y > 0).sum())
    assert fired > 100


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("detach", [True, False])
def test_every_primitive_neuron_has_its_gradients(detach):
    surrogates = itertools.cycle(SLOPES)
    for given_rule, alone in zip(rules(), itertools.cycle(range(4))):
        rule = Rule(**{**vars(given_rule), "detach_reset": detach,
                       "surrogate": Surrogate(next(surrogates), 1.5)})  # fmt: skip
        tensors = neuron_tensors(rule, torch.float64, (4, 2, 3), alone)
        found = []
        for function in (generated, definition.scan):
            xs, *rest = leaves = [t.clone().requires_grad_() for t in tensors]
            state, c = tuple(rest[: 1 + rule.synapse]), tuple(rest[1 + rule.synapse :])
            assert len(c) == len(COEFFICIENTS)
            y, after = function(xs, state, c, rule)
            g = torch.Generator().manual_seed(1)
            ends = [t * torch.randn(t.shape, generator=g, dtype=t.dtype) for t in (y, *after)]
            loss = sum(t.sum() for t in ends)
            found.append(
                torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
            )
        for g, e in zip(*found, strict=True):
            torch.testing.assert_close(g, e, rtol=1e-10, atol=1e-10)


# The table ----------------------------------------------------------------------------------------

EDGES = [0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 1.5, 2.5, -2.5, 3.0, 1e-3, 1e6, np.inf, -np.inf, np.nan]


def row_loop(names):
    """A loop that writes the result of each operation: of (a, b), (a > b, a, b), (a, a, b)."""
    w = Writer()
    a, b = w.add("read", detail=0), w.add("read", detail=1)
    results = []
    for name in names:
        row = OPERATIONS[name]
        operands = {1: (a,), 2: (a, b), 3: (a > b if name == "where" else a, a, b)}[arity(name)]
        y = w.add(name, *operands, detail=Surrogate() if row.fires else None)
        results.append(y.where(1, 0) if row.condition else y)
    return w.loop(results, [])


def worked_at_once(loop, a, b):
    """What a loop without a state writes, of elements that are all there are."""
    dtype, none = a.dtype, np.zeros((0, 1), a.dtype)
    wrote = [np.empty((1, len(a)), dtype) for _ in loop.writes]
    numbers = np.array([0, 1, *loop.numbers], dtype)
    given = [numbers, none[:, 0], none, none, none, a[None].copy(), b[None].copy(), *wrote]
    work(loop, 1, len(a), given)
    return [y[0] for y in wrote]


def edges(dtype):
    return np.array(list(itertools.product(EDGES, EDGES)), dtype).T.copy()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_operation_means_what_the_table_says(dtype):
    a, b = edges(dtype)
    names = list(OPERATIONS)
    for name, y in zip(names, worked_at_once(row_loop(names), a, b), strict=True):
        row = OPERATIONS[name]
        operands = {"where": (a > b, a, b), "jump": (a, a, b)}.get(name, (a, b)[: arity(name)])
        with np.errstate(all="ignore"):
            expected = np.asarray(row.meaning(*operands)).astype(dtype)
        if row.exact:
            assert np.array_equal(y, expected, equal_nan=True), name
        else:
            np.testing.assert_allclose(y, expected, rtol=4 * np.finfo(dtype).eps, err_msg=name)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_operation_over_vectors_has_the_bits_of_a_loop(dtype):
    """Those of functions that libraries round too: a step may be worked by one, a run by the other.

    Conditions are 1 or 0.
    """
    word, vector = ctypes.c_int64, ctypes.c_void_p
    address = made.vectors(np.dtype(dtype).name)
    work = ctypes.CFUNCTYPE(None, word, word, *[vector] * 4)(address)
    a, b = edges(dtype)
    names = [name for name, row in OPERATIONS.items() if not row.condition]
    expected = dict(zip(names, worked_at_once(row_loop(names), a, b), strict=True))
    above = (a > b).astype(dtype)
    for name, row in OPERATIONS.items():
        operands = {"where": (above, a, b), "jump": (a, a, b)}.get(name, (a, b, b))
        found = np.empty_like(a)
        work(NUMBERS[name], len(a), found.ctypes.data, *(x.ctypes.data for x in operands))
        if row.condition:
            assert np.array_equal(found, row.meaning(a, b).astype(dtype)), name
        else:
            assert np.array_equal(found, expected[name], equal_nan=True), name


def test_loops_are_vectorised_and_nothing_is_fused():
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("the names of instructions are those of x86")
    executor = bridge.ir_to_torch(adaptive(512))
    (stage,) = (s for s in executor.plan.stages if s.loop)
    loop = stretch.write(executor.network, stage.names, ["spike"], torch.zeros(2, 512)).written.loop
    back = backward(loop, (0,)).loop
    for each in (loop, back):
        text = compiler.machine().emit_assembly(compiler.optimised(source(each, "float32", "f")))
        assert text.count("mulps") >= sum(e.op == "multiply" for e in each.entries) > 0
        assert "fmadd" not in text


# Where generated functions lie --------------------------------------------------------------------


def test_no_name_and_no_number_of_a_graph_is_in_the_source():
    texts = []
    for name, number in (("import os", 0.1234), ("x); raise", 56.78)):
        nodes = {"in": ir.Input((2,)), name: ir.Scale(np.array(number)), "s": ir.Threshold(
            np.array(number)), "y": ir.Output((2,))}  # fmt: skip
        graph = ir.Graph(nodes, [("in", name), (name, "s"), ("s", "y")])
        executor = bridge.ir_to_torch(graph)
        loop = stretch.write(executor.network, [name, "s"], ["s"], torch.zeros(1, 2)).written.loop
        texts.append(source(loop, "float32", "loop"))
    assert texts[0] == texts[1]
    assert not any(part in texts[0] for part in ("os", "raise", "1234", "import"))


# Forked before anything is compiled: what one process has in memory the other has not.
TWICE = """
import os, sys
import numpy as np
from t1c.bridge.engine.kernels.generated import compiler, llvm_launch, made
from t1c.bridge.engine.kernels.generated.loop import Writer
child = os.fork() if sys.argv[1] == "2" else 0
w = Writer()
x, v = w.add("read", detail=0), w.add("carried", detail=0)
loop = w.loop([x + v], [x])
compiled, count = compiler.machine_code, []
compiler.machine_code = lambda text: (count.append(1), compiled(text))[1]
arrays = [np.ones((3, 4), np.float32) for _ in range(2)]
none, start = np.zeros((0, 1), np.float32), np.zeros((1, 4), np.float32)
known = made.at_hand(loop, "float32")
llvm_launch.work(loop, 3, 4, [np.array([0, 1], np.float32), none[:, 0], none, start, none, *arrays])
assert arrays[1][:, 0].tolist() == [1, 2, 2]
assert made.at_hand(loop, "float32")
print(known, len(count), flush=True)
assert not child or os.waitpid(child, 0)[1] == 0
"""


def run_apart(folder, count=1):
    """What each of one or two processes at the same time had, and compiled."""
    environment = {**os.environ, "T1C_CACHE": str(folder)}
    command = [sys.executable, "-c", TWICE, str(count)]
    ended = subprocess.run(command, env=environment, text=True, capture_output=True)
    assert ended.returncode == 0, ended.stderr
    found = [line.split() for line in ended.stdout.splitlines()]
    assert len(found) == count
    return found


@pytest.mark.slow
def test_the_next_process_finds_what_was_compiled(tmp_path):
    assert "1" in [compiled for _, compiled in run_apart(tmp_path, 2)]
    assert run_apart(tmp_path) == [["True", "0"]]


@pytest.fixture
def compiled_anew(tmp_path, monkeypatch):
    """A function that makes a small loop as a new process would, and says what was compiled."""
    w = Writer()
    x, v = w.add("read", detail=0), w.add("carried", detail=0)
    loop, texts, code = w.loop([x * v + 3], [x]), [], compiler.machine_code
    monkeypatch.setenv("T1C_CACHE", str(tmp_path))
    monkeypatch.setattr(compiler, "machine_code", lambda text: (texts.append(text), code(text))[1])

    def make():
        made.kernel.cache_clear()
        texts.clear()
        x, y, none = np.ones((3, 4)), np.empty((3, 4)), np.zeros((0, 1))
        work(loop, 3, 4, [np.array([0.0, 1, 3]), none[:, 0], none, np.ones((1, 4)), none, x, y])
        assert y.tolist() == [[4] * 4] * 3
        return len(texts)

    return make


def test_what_is_torn_on_disk_is_compiled_again(compiled_anew, tmp_path):
    assert [compiled_anew(), compiled_anew()] == [1, 0]
    (path,) = (tmp_path / "loops").iterdir()
    right = path.read_bytes()
    for wrong in (b"", right[:-1], right[:100] + bytes([right[100] ^ 1]) + right[101:]):
        path.write_bytes(wrong)
        assert [compiled_anew(), compiled_anew()] == [1, 0]
        assert path.read_bytes() == right


def test_what_another_version_compiled_is_compiled_again(compiled_anew, monkeypatch):
    assert [compiled_anew(), compiled_anew()] == [1, 0]
    made._name.cache_clear()
    monkeypatch.setattr(made, "_maker", lambda: "another processor")
    assert [compiled_anew(), compiled_anew()] == [1, 0]
    made._name.cache_clear()


def test_without_a_place_to_write_to_it_is_compiled_all_the_same(
    compiled_anew, tmp_path, monkeypatch
):
    (tmp_path / "loops").write_text("a file where the folder would be")
    monkeypatch.setattr(on_disk, "_said", False)
    with pytest.warns(on_disk.CacheWarning, match="cannot be kept"):
        assert compiled_anew() == 1
    assert compiled_anew() == 1


def test_arrays_that_a_loop_cannot_take_are_refused():
    w = Writer()
    x = w.add("read", detail=0)
    loop = w.loop([x + x], [])
    good, none = np.ones((2, 6), np.float32), np.zeros((0, 1), np.float32)
    fixed = [np.array([0, 1], np.float32), none[:, 0], none, none, none]
    for wrong in (np.ones((2, 6)), np.ones((2, 12), np.float32)[:, ::2]):
        for moving in ([wrong, good], [good, wrong]):
            with pytest.raises(ValueError, match="of a loop of float32"):
                work(loop, 2, 6, [*fixed, *moving])
            with pytest.raises(ValueError, match=r"of a loop of torch\.float32"):
                launch(loop, 2, 6, [*map(torch.from_numpy, [*fixed, *moving])])


def test_blocks_end_where_coefficients_begin_anew_and_steps_may_lie_apart():
    """Bit for bit, elements that no block holds whole, gaps between steps, either order of time."""
    w = Writer()
    x, v, c = w.add("read", detail=0), w.add("carried", detail=0), w.add("laid", detail=0)
    for size, period in ((1300, 1024), (7, 3), (513, 512)):
        for backwards in (False, True):
            loop = w.loop([v], [v * c + x], [x * c], backwards)
            found = []
            for how in (work, plain):
                rng = np.random.default_rng(size)
                shapes = [(2,), (0,), (1, period), (1, size), (1, size), (5, 2 * size), (5, size)]
                arrays = [rng.integers(-64, 65, s).astype(np.float32) / 64 for s in shapes]
                arrays[0][:], arrays[5] = (0, 1), arrays[5][:, :size]
                how(loop, 5, size, arrays)
                found.append([arrays[3], arrays[4], arrays[6]])
            assert all(map(np.array_equal, *found))
            assert np.unique(found[0][2]).size > size // 2


# What is no loop ----------------------------------------------------------------------------------


def test_what_no_operation_serves_is_refused():
    pen = Pen(torch.Size((2, 3)), torch.float32, torch.device("cpu"))
    x = pen.leaf("read", 0)
    for function in (
        lambda: torch.cumsum(x, 1),
        lambda: x.sum(),
        lambda: x + torch.zeros(2, 3),  # one number for each sample
        lambda: x + torch.zeros(3, dtype=torch.float64),
        lambda: x * (x > 0),
        lambda: torch.add(x, x, alpha=2),
        lambda: bool(x > 0),
        lambda: torch.nn.functional.dropout(x),
        lambda: x.to(torch.float64),
    ):
        with pytest.raises(UnsuitedError):
            function()


def test_a_number_over_a_tensor_is_rounded_twice_as_torch_does():
    pen = Pen(torch.Size((2, 3)), torch.float32, torch.device("cpu"))
    y = 1.7 / pen.leaf("read", 0)
    loop = pen.writer.loop([y.value], [])
    assert [e.op for e in loop.entries] == ["read", "reciprocal", "number", "multiply"]
    x = np.random.default_rng(0).uniform(1, 2, 1000).astype(np.float32)
    found = (1.7 / torch.from_numpy(x)).numpy()
    assert np.array_equal(np.reciprocal(x) * np.float32(1.7), found)
    assert (np.float32(1.7) / x != found).sum() > 100


@pytest.mark.parametrize("shape", [(4,), (3, 4), (3, 1), (1, 4), (1, 3, 4), (1, 3, 1)])
def test_a_parameter_that_lies_over_the_features_is_one_of_the_laid(shape):
    pen = Pen(torch.Size((2, 3, 4)), torch.float32, torch.device("cpu"))
    parameter = torch.ones(shape)
    pen.leaf("read", 0) + parameter
    assert [*map(id, pen.laid)] == [id(parameter)]


@pytest.mark.parametrize(
    ("features", "shape"),
    [((3, 4), s) for s in [(3,), (2,), (4, 4), (3, 2), (1, 2, 4)]] + [((), (2,)), ((1,), (2,))],
)
def test_a_parameter_that_does_not_is_refused(features, shape):
    pen = Pen(torch.Size((2, *features)), torch.float32, torch.device("cpu"))
    with pytest.raises(UnsuitedError):
        pen.leaf("read", 0) + torch.ones(shape)


def test_a_loop_is_what_it_computes():
    w = Writer()
    x = w.add("read", detail=0)
    assert (x + 1).place == (x + 1).place
    assert (x * 0.0).place != (x * -0.0).place
    assert len({(x + float("nan")).place, (x + float("nan")).place}) == 1
    loop = w.loop([x + 1], [])
    assert [e.op for e in loop.entries] == ["read", "number", "add"]
    assert isinstance(loop, Loop)
    assert hash(loop) == hash(w.loop([x + 1], []))


def test_a_step_of_a_function_that_libraries_round_is_a_step_of_a_run(worked, monkeypatch):
    monkeypatch.setattr(stretch, "WORTH", 10**6)
    graph = exponential(4)
    xs = torch.from_numpy(np.random.default_rng(0).uniform(0, 0.5, (12, 3, 4))).float()
    executor, state = bridge.ir_to_torch(graph, return_state=True), {}
    with torch.no_grad():
        whole, last = executor.run(xs)
        for x, expected in zip(xs, whole, strict=True):
            y, state = executor(x, state)
            assert torch.equal(y, expected)
    assert whole.sum() > 0
    assert all(torch.equal(a, b) for n in last for a, b in zip(last[n], state[n], strict=True))
    assert len(worked) == 13


def test_explain_says_how_it_was_worked():
    executor = bridge.ir_to_torch(adaptive(3))
    executor.run(torch.ones(4, 1, 3))
    assert "12 nodes, all steps in one generated loop" in str(executor.explain())
