"""Graphs as C: the numbers of the reference, bit for bit, on any weights."""

import contextlib
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from t1c import deploy, ir, sdk

from .c_models import STRICT, Models, Running, compiler, reference
from .strategies import BUILDERS, LATER, fitting, graphs
from .strategies_executor import chain, networks

STEPS = 24
SHAPES = {1: (4,), 2: (3, 4), 3: (2, 4, 3), 4: (2, 3, 2, 4)}
NEAR = {"Power", "GELU"}
"""What the C library rounds in its own way: pow and erf."""


def drawn(strategy, count, number):
    """So many examples of a strategy, always the same."""
    found = []

    @seed(number)
    @settings(
        max_examples=count, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(strategy)
    def collect(example):
        found.append(example)

    collect()
    return found


def inputs(graph, number, steps=STEPS):
    rng = np.random.default_rng(number)
    return {
        name: rng.integers(-128, 257, (steps, *node.shape)) / 256
        for name, node in graph.inputs().items()
    }


def compared(models, near=()):
    """Run every model beside the reference; how many values were compared and how many spiked."""
    values = spikes = 0
    for number, graph in enumerate(models.graphs):
        xs = inputs(graph, number)
        found, expected = models.run(number, xs), reference(graph, xs, models.numbers)
        kinds = {type(node).__name__ for node in graph.flat().nodes.values()}
        kinds |= {"Power" for n in graph.flat().nodes.values() if getattr(n, "op", "") == "power"}
        for name, y in expected.items():
            where = f"model {number}, {name!r}: {graph.nodes}"
            if kinds & NEAR:
                np.testing.assert_allclose(found[name], y, rtol=2e-6, atol=1e-6, err_msg=where)
            else:
                np.testing.assert_array_equal(found[name], y, err_msg=where)
            values += y.size
            spikes += int((y[1:] == 1).sum())
    return values, spikes


def one_of_each():
    """Every primitive by itself, with parameters of any size, some with several options."""
    rng = np.random.default_rng(0)

    def array(*shape):
        return rng.standard_normal(shape)

    nodes = [
        (2, ir.Conv1d(array(4, 3, 2), array(4), 2, 1, 2)),
        (2, ir.Conv1d(array(4, 3, 3), array(4), padding="same")),
        (4, ir.Conv3d(array(2, 2, 2, 1, 3), array(2), (1, 2, 1), (0, 1, 1), (2, 1, 1))),
        (4, ir.Conv3d(array(4, 1, 1, 2, 2), array(4), groups=2)),
        (4, ir.MaxPool3d((1, 2, 2), (1, 1, 2))),
        (4, ir.AvgPool3d((2, 2, 2), (1, 1, 2), (1, 0, 1), count_include_pad=False)),
        (4, ir.BatchNorm3d(2, array(2), array(2), array(2), array(2) ** 2)),
        (3, ir.SumPool2d((2, 3), (2, 1), (1, 1))),
        (3, ir.Upsample(size=(7, 5), mode="bilinear")),
        (3, ir.Upsample(size=(3, 6), mode="bilinear", align_corners=True)),
        (3, ir.Upsample(size=(3, 7))),
        (2, ir.Linear(array(3, 4))),
        (1, ir.Scale(array(4))),
        (2, ir.ChannelSplit((1, 3), 1)),
        (3, ir.ChannelSplit((1, 1))),
        (1, ir.Threshold(array(4), "gt")),
        (2, ir.I(array(3))),
        (2, ir.LI(1 + array(3) ** 2, array(3), array(1))),
        (1, ir.CubaLI(1 + array(4) ** 2, np.array(3.0), array(4), array(4), array(1))),
        (1, ir.GELU(4, False)),
        (1, ir.Power(array(4))),
        *((1, ir.Unary(op)) for op in ("abs", "neg", "floor", "round", "sign", "exp", "log",
                                       "sqrt", "reciprocal")),
        *((1, ir.Power(np.array(e))) for e in (0.5, 2.0, 3.0, -1.0, -2.0)),
    ]  # fmt: skip
    found = [alone(SHAPES[rank], node) for rank, node in nodes]
    found += [two(op) for op in ("subtract", "multiply", "divide", "minimum", "maximum", "power",
                                 "greater", "greater_or_equal", "equal")]  # fmt: skip
    for kind in ("LIF", "IF", "CubaLIF"):
        for reset, delay in (("zero", False), ("zero", True), ("value", False), ("value", True),
                             ("subtract", False), ("subtract", True), ("none", False),
                             ("hold", True), ("carry", False)):  # fmt: skip
            options = {"reset": reset, "reset_delay": delay, "fires_at": "gt" if delay else "ge"}
            if reset == "value":
                options["v_reset"] = array(4)
            if reset in ("subtract", "carry") and not delay:
                options |= {"spikes": "multiple", "v_min": np.array(-0.5)}
            given = {"v_threshold": 0.2 + array(4) ** 2 / 8, "r": 2 + array(4)}
            if kind == "LIF":
                given |= {"tau": 1 + array(4) ** 2, "v_leak": array(1) / 8}
            elif kind == "CubaLIF":
                given |= {"tau_syn": np.array(2.0), "tau_mem": np.array(3.0)}
                given |= {"v_leak": array(4) / 8, "w_in": np.array(2.0)}
            found.append(alone((4,), getattr(ir, kind)(**given, **options)))
    found.append(ir.Graph(
        {"a": ir.Input((2, 3, 4)), "b": ir.Input((1, 4, 2)), "product": ir.MatMul(),
         "out": ir.Output((2, 3, 2))},
        [("a", "product"), ("b", "product"), ("product", "out")],
    ))  # fmt: skip
    found.append(ir.Graph(
        {"a": ir.Input((3, 1)), "b": ir.Input((1, 4)), "c": ir.Input((3, 4)), "which": ir.Where(),
         "joined": ir.Concat(1), "out": ir.Output((3, 5))},
        [("a", "which"), ("b", "which"), ("c", "which"), ("which", "joined"), ("a", "joined"),
         ("joined", "out")],
    ))  # fmt: skip
    return found


def alone(shape, node):
    """A graph of one node; each of several outputs has an Output."""
    sent = node.port_shapes(shape)
    outs = {f"out{n}": ir.Output(s) for n, s in enumerate(sent)}
    edges = [("in", "node"), *(("node", out) for out in outs)]
    return ir.Graph({"in": ir.Input(shape), "node": node, **outs}, edges)


def two(op):
    return ir.Graph(
        {"a": ir.Input((3, 2)), "b": ir.Input((1, 2)), "node": ir.Binary(op),
         "out": ir.Output((3, 2))},
        [("a", "node"), ("b", "node"), ("node", "out")],
    )  # fmt: skip


def test_every_primitive_gives_the_numbers_of_the_reference(tmp_path):
    named = one_of_each()
    rest = [
        alone(SHAPES[rank], drawn_node)
        for name, (ranks, _) in (BUILDERS | LATER).items()
        for rank in ranks[-2:]
        for drawn_node in drawn(fitting(SHAPES[rank], only={name}), 2, 5)
        if all(np.isfinite(p).all() for p in drawn_node.parameters().values())
    ]
    models = Models(named + rest, tmp_path, flags=("-O0",))
    values, spikes = compared(models)
    assert values > 40_000
    assert spikes > 2_000
    tried = {type(n).__name__ for g in models.graphs for n in g.flat().nodes.values()}
    # Other tests declare primitives of their own.
    every = {n for n in ir.list_primitives() if ir.str_to_node(n).__module__.startswith("t1c.ir.")}
    assert every - tried <= {"Identity", "Graph"}


@pytest.mark.slow
def test_random_networks_give_the_numbers_of_the_reference(tmp_path):
    drawn_graphs = drawn(
        st.one_of(
            networks(grid=False, every=True),
            networks(grid=False, every=True, cyclic=True),
            networks(cyclic=True, every=True),
            graphs(notes=False),
        ),
        50,
        11,
    )
    models = Models(drawn_graphs, tmp_path, flags=("-O0",))
    values, spikes = compared(models)
    assert values > 8_000
    assert spikes > 500
    assert sum(bool(g.topology().loops()) for g in drawn_graphs) >= 10
    assert any(isinstance(n, ir.Graph) for g in drawn_graphs for n in g.nodes.values())
    assert any(len(g.inputs()) > 1 and len(g.outputs()) > 1 for g in drawn_graphs)


# A neuron whose reset is 'none' keeps a delayed reset that nothing reads.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*no path leads from there:t1c.ir.GraphWarning")
def test_graphs_of_integers_give_the_numbers_of_the_reference(tmp_path):
    found = [in_integers(ir.read(DIGITS))]
    one_layer = [g for g in one_of_each() if type(g.nodes.get("node")) in WHOLE]
    for graph in [*one_layer, *drawn(st.one_of(networks(every=True), networks(every=True,
                                               cyclic=True)), 40, 5)]:  # fmt: skip
        if any(isinstance(node, ir.SepConv2d) for node in graph.flat().nodes.values()):
            continue
        # What no integers say is refused by sdk.quantize, and by to_c where numbers are kept real.
        with contextlib.suppress(ir.UnsupportedError, ir.GraphError):
            found.append(sdk.quantize(graph, inputs=(-1, 1), accumulator_bits=20, state_bits=20))
    refused = (ir.UnsupportedError, ir.GraphError)
    models = Models(found, tmp_path, "int8", flags=("-O0",), refused=refused)
    assert len(models.graphs) > 30
    values, spikes = compared(models)
    assert values > 8_000
    assert spikes > 500
    code = (tmp_path / "m0.c").read_text()
    step = code[code.index("m0_step") :]
    # Floats are met on the way in, up to the rounding, and on the way out.
    assert "float" in step[: step.index("/* conv1")]
    assert "float" not in step[step.index("/* conv1") : step.index("lif3/")]
    assert "int8_t conv2_weight" in code


WHOLE = (ir.LIF, ir.IF, ir.CubaLIF, ir.LI, ir.I, ir.Conv1d, ir.Conv3d, ir.SumPool2d, ir.MaxPool3d,
         ir.Threshold, ir.Linear, ir.Binary, ir.ChannelSplit)  # fmt: skip


def test_what_is_no_graph_of_integers_is_refused_by_name(tmp_path):
    with pytest.raises(ir.UnsupportedError, match=r"node 'conv1' \(Conv2d\): it works with real"):
        deploy.to_c(ir.read(DIGITS), tmp_path, "int8")
    wide = sdk.quantize(ir.read(DIGITS), 12, inputs=(0, 1), accumulator_bits=30, state_bits=30)
    with pytest.raises(ir.UnsupportedError, match=r"'conv1'.*expected integers of 8 bits"):
        deploy.to_c(wide, tmp_path, "int8")
    assert deploy.to_c(wide, tmp_path, "int16").weights > 0


DIGITS = Path(__file__).parent.parent / "examples" / "digits.t1c"


def recurrent():
    """Feedback, a Delay in a loop, a nested neuron, several Inputs and Outputs, exp and sqrt."""
    rng = np.random.default_rng(3)
    two = np.array(2.0)
    cell = ir.Graph(
        {"x": ir.Input((6,)), "memory": ir.Delay(np.array(1)), "decay": ir.Scale(np.array(0.9)),
         "sum": ir.Identity(), "fires": ir.Threshold(np.array(0.7)), "rest": ir.Binary("subtract"),
         "out": ir.Output((6,))},
        [("memory", "decay"), ("decay", "sum"), ("x", "sum"), ("sum", "fires"), ("sum", "rest"),
         ("fires", "rest"), ("rest", "memory"), ("fires", "out")],
        allow_cycles=True,
    )  # fmt: skip
    return ir.Graph(
        {"a": ir.Input((5,)), "b": ir.Input((6,)), "fc": ir.Affine(rng.normal(size=(6, 5)),
         rng.normal(size=6)), "cell": cell, "back": ir.Linear(rng.normal(size=(6, 6))),
         "late": ir.Delay(np.array([1, 2, 3, 2, 1, 3])), "lif": ir.LIF(2 * two, 2 * two, 0 * two,
         two / 4, reset="subtract"), "soft": ir.Softmax(6), "norm": ir.LayerNorm((6,),
         rng.normal(size=6), rng.normal(size=6)), "spikes": ir.Output((6,)),
         "answer": ir.Output((6,))},
        [("a", "fc"), ("fc", "cell"), ("cell", "lif"), ("b", "lif"), ("lif", "back"),
         ("back", "late"), ("late", "lif"), ("lif", "spikes"), ("lif", "norm"), ("norm", "soft"),
         ("soft", "answer")],
        allow_cycles=True,
    )  # fmt: skip


def in_integers(graph):
    return sdk.quantize(graph, inputs=(0, 1), accumulator_bits=24, state_bits=24)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The digits network and the recurrent one as C, and what the reference says to an input."""
    folder = tmp_path_factory.mktemp("c")
    found = []
    digits = ir.read(DIGITS)
    for name, graph, numbers in (
        ("digits", digits, "float32"),
        ("recurrent", recurrent(), "float32"),
        ("whole", in_integers(digits), "int8"),
    ):
        deploy.to_c(graph, folder / name, numbers, name=name)
        xs = {n: np.abs(x) for n, x in inputs(graph, 1).items()}
        found.append((folder / name, name, xs, reference(graph, xs)))
    return found


def ran(written, command, flags, run=()):
    """Build the programs and run them beside the reference."""
    spikes = 0
    for folder, name, xs, expected in written:
        subprocess.run(
            [compiler(command), *STRICT, *flags, "-o", "program", "main.c", f"{name}.c", "-lm"],
            cwd=folder,
            check=True,
        )
        rows = [x[t].ravel() for t in range(STEPS) for x in xs.values()]
        answer = subprocess.run(
            [*run, "./program", "-b"],
            cwd=folder,
            input=np.concatenate(rows).astype("<f4").tobytes(),
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        wanted = [y[t].ravel() for t in range(STEPS) for y in expected.values()]
        np.testing.assert_array_equal(np.frombuffer(answer, "<f4"), np.concatenate(wanted))
        spikes += int((np.concatenate(wanted) == 1).sum())
    assert spikes > 50


SANITIZERS = "-fsanitize=address,undefined"


@pytest.mark.slow
def test_it_is_clean_under_sanitizers(written):
    ran(written, "gcc", ("-O1", "-g", SANITIZERS, "-fno-sanitize-recover=all"))


@pytest.mark.slow
def test_no_option_of_the_compiler_changes_the_numbers(written):
    """With fused multiply-add at hand, and in GNU's dialect, which would use it."""
    ran(written, "gcc", ("-O3", "-std=gnu99", "-mfma", "-mavx2", "-ffp-contract=fast"))


@pytest.mark.slow
def test_it_runs_the_same_from_clang(written):
    ran(written, "clang", ("-O2", "-march=native"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "machine", "flags"),
    [
        ("arm-linux-gnueabihf", "qemu-arm", ("-O2", "-mfpu=neon-vfpv4")),
        ("riscv64-linux-gnu", "qemu-riscv64", ("-O2",)),
    ],
)
def test_it_runs_the_same_on_other_machines(written, target, machine, flags):
    run = [compiler(machine)]
    ran(written, f"{target}-gcc", (*flags, "-static"), run)


def test_it_fits_on_a_microcontroller(written, tmp_path):
    gcc = compiler("arm-none-eabi-gcc")
    size = compiler("arm-none-eabi-size")
    folder, name, _, _ = written[0]
    flags = ["-Os", "-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"]
    subprocess.run([gcc, *STRICT, *flags, "-c", "-o", "m.o", f"{name}.c"], cwd=folder, check=True)
    listed = subprocess.run(
        [size, "m.o"], cwd=folder, stdout=subprocess.PIPE, text=True, check=True
    )
    text, data, bss = map(int, listed.stdout.split("\n")[1].split()[:3])
    assert 24_360 < text < 28_000
    assert data == bss == 0


def test_text_in_and_out_and_held_inputs(tmp_path):
    one = np.ones(1)
    graph = ir.Graph(
        {"in": ir.Input((2,), hold=3), "lif": ir.LIF(2 * one, 2 * one, 0 * one, one),
         "out": ir.Output((2,))},
        [("in", "lif"), ("lif", "out")],
    )  # fmt: skip
    report = deploy.to_c(graph, tmp_path, name="held")
    assert "Facts" not in str(report)
    assert "held.h" in str(report)
    subprocess.run(["make", f"CC={compiler('gcc')}"], cwd=tmp_path, check=True, capture_output=True)
    answer = subprocess.run(
        ["./held"], cwd=tmp_path, input="0.6 1\n", stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    expected = reference(graph, {"in": np.tile([0.6, 1.0], (3, 1))})["out"]
    np.testing.assert_array_equal(np.loadtxt(answer.splitlines()), expected)
    assert expected.sum() == 4


def test_a_reset_puts_everything_at_rest(tmp_path):
    graph = recurrent()
    models = Models([graph], tmp_path)
    running, xs = Running(models, 0), inputs(graph, 8)
    first = running.run(xs)
    later = running.run(xs)
    running.reset()
    again = running.run(xs)
    assert any((first[name] != later[name]).any() for name in first)
    for name in first:
        np.testing.assert_array_equal(again[name], first[name])


def test_double_precision_and_weights_by_output(tmp_path):
    found = [recurrent(), ir.read(DIGITS)]
    (tmp_path / "wide").mkdir()
    assert compared(Models(found, tmp_path / "wide", "float64"))[1] > 50
    (tmp_path / "rows").mkdir()
    assert compared(Models(found, tmp_path / "rows", layout="output"))[1] > 50


def test_memory_is_shared_and_counted(written):
    graph = ir.read(DIGITS)
    folder, *_ = written[0]
    header = (folder / "digits.h").read_text()
    report = deploy.to_c(graph, folder, name="digits")
    assert report.state == 4 * (16 * 8 * 8 + 32 * 4 * 4 + 10)
    # Two layers at a time, not the sum of all.
    assert report.scratch == 4 * 2 * 16 * 8 * 8
    assert f"{report.weights} bytes of weights" in header


@ir.register_node
class Unheard(ir.Node):
    """y = x. A primitive that no language but Python knows."""

    def step(self, x, state):
        return x, state


def test_what_has_no_form_in_c_is_refused_by_name(tmp_path):
    graph = chain(("in", ir.Input((2,))), ("odd", Unheard()), ("out", ir.Output((2,))))
    with pytest.raises(ir.UnsupportedError, match=r"node 'odd' \(Unheard\): it has no form in C"):
        deploy.to_c(graph, tmp_path)
    plain = chain(("in", ir.Input((2,))), ("out", ir.Output((2,))))
    for options in ({"name": "no name"}, {"numbers": "float16"}, {"layout": "blocks"}):
        with pytest.raises(ir.InputError, match="expected"):
            deploy.to_c(plain, tmp_path, **options)
    assert list(tmp_path.iterdir()) == []
