"""The Triton kernels give the numbers of the definition.

Without a GPU they run in Triton's interpreter, on CPU tensors; with one, they run there. What they
are compiled into is looked at in either case (``test_triton_targets``).
"""

import itertools

import pytest
import torch

from t1c.bridge.engine.kernels import definition
from t1c.bridge.engine.kernels.choose import choose
from t1c.bridge.engine.kernels.rule import COEFFICIENTS, Rule
from t1c.bridge.engine.kernels.scan import Coefficients, scan
from t1c.bridge.engine.kernels.surrogate import SLOPES, Surrogate
from t1c.ir import UnsupportedError

GPU = torch.cuda.is_available()
DEVICE = "cuda" if GPU else "cpu"

with pytest.MonkeyPatch.context() as patch:
    # Triton looks at this when kernels are defined.
    if not GPU:
        patch.setenv("TRITON_INTERPRET", "1")
    pytest.importorskip("triton", reason="Triton is not installed; its kernels stay untested")
    import triton.language as tl

    from t1c.bridge.engine.kernels import triton_launch
    from t1c.bridge.engine.kernels.triton_launch import BLOCK

    from .interpreted import remap_once
    from .triton_rounding import round_all
    from .triton_targets import RESETS

    remap_once()

DTYPES = {
    torch.float64: torch.int64,
    torch.float32: torch.int32,
    torch.float16: torch.int16,
    torch.bfloat16: torch.int16,
}


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    if not GPU:
        monkeypatch.setenv("TRITON_INTERPRET", "1")


def draw(rule, dtype, shape, kind, seed=0):
    """Input, state and coefficients: half of the numbers lie on a grid, to meet the threshold."""
    g = torch.Generator().manual_seed(seed)

    def numbers(*size):
        fine = torch.randn(size, generator=g, dtype=torch.float64) * 1.5
        return torch.where(torch.rand(size, generator=g) < 0.5, (fine * 4).round() / 4, fine)

    features = shape[2:]
    over = {
        "scalar": (),
        "channel": (features[0],) + (1,) * (len(features) - 1),
        "neuron": features,
    }[kind]
    fields = (0.75, 1.0, 0.25, 1.0, -0.5, 0.5, 1.25, -0.25)
    c = [
        torch.where(torch.rand(over, generator=g) < 0.5, n, n + numbers(*over) / 8) for n in fields
    ]
    state = [numbers(*shape[1:]) for _ in range(1 + rule.synapse)]
    return [t.to(DEVICE, dtype) for t in (numbers(*shape), *state, *c)]


def run(name, tensors, rule):
    xs, *rest = tensors
    state, c = tuple(rest[: -len(COEFFICIENTS)]), tuple(rest[-len(COEFFICIENTS) :])
    if name == "definition":
        return definition.scan(xs, state, c, rule)
    return scan(xs, state, Coefficients(c), rule, name)


def bits(t):
    return t.contiguous().view(DTYPES[t.dtype])


def assert_same_bits(tensors, rule):
    """Without and with a gradient, which are two launches."""
    with torch.no_grad():
        expected, states = run("definition", tensors, rule)
        plain = run("triton", tensors, rule)
    learning = [t.clone().requires_grad_() for t in tensors]
    for output, after in (plain, run("triton", learning, rule)):
        assert torch.equal(bits(output.detach()), bits(expected))
        for given, wanted in zip(after, states, strict=True):
            assert torch.equal(bits(given.detach()), bits(wanted))


@pytest.mark.grid(1)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("reset", "delay"), RESETS)
def test_forwards_is_the_definition_bit_for_bit(reset, delay, dtype):
    kinds = itertools.cycle(("scalar", "channel", "neuron"))
    for strict, synapse in itertools.product((False, True), repeat=2):
        rule = Rule(reset, delay, strict, synapse, Surrogate())
        assert_same_bits(draw(rule, dtype, (4, 2, 3, 5), next(kinds)), rule)


COUNTED = [(True, True), (True, False), (False, True)]
"""(many, bounded)"""


@pytest.mark.grid(1)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("reset", "delay"), RESETS[1:])
def test_several_spikes_and_a_bound_are_the_definition_bit_for_bit(reset, delay, dtype):
    for many, bounded in COUNTED:
        rule = Rule(reset, delay, False, False, Surrogate(), True, many, bounded)
        assert_same_bits(draw(rule, dtype, (4, 2, 3, 5), "neuron"), rule)


@pytest.mark.parametrize("kind", ["scalar", "channel", "neuron"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_more_neurons_than_one_program_takes(dtype, kind):
    rule = Rule("subtract", False, False, True, Surrogate())
    shape = (3, 3, BLOCK // 2 + 1)
    assert_same_bits(draw(rule, dtype, shape, kind), rule)


@pytest.mark.parametrize("kind", ["scalar", "channel", "neuron"])
def test_channels_last_stays_where_it_lies(kind):
    rule = Rule("carry", False, True, True, Surrogate())
    xs, *rest = draw(rule, torch.float32, (3, 2, 4, 3, 5), kind)
    xs = xs.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
    assert_same_bits([xs, *rest], rule)
    assert run("triton", [xs, *rest], rule)[0].stride() == xs.stride()


# NumPy, which the interpreter computes with, remarks on what is meant here.
@pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered:RuntimeWarning")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_every_kind_of_float32_is_rounded_as_torch_rounds_it(dtype):
    g = torch.Generator().manual_seed(0)
    drawn = torch.randint(-(2**31), 2**31, (2**15,), generator=g)
    # Ties and their neighbours, and the NaN that a GPU makes.
    ties = (drawn[:-8] & ~0x1FFF) + (drawn[:-8] % 3 - 1) + (1 << 12) * (drawn[:-8] % 16)
    x = torch.cat([drawn, ties, torch.tensor([0x7FFFFFFF, -1] * 4)]).int()
    x = x.view(torch.float32).to(DEVICE)
    kept, wide = torch.empty_like(x, dtype=dtype), torch.empty_like(x)
    name = {torch.float16: tl.float16, torch.bfloat16: tl.bfloat16}[dtype]
    round_all[(1,)](x, kept, wide, name, len(x))
    expected = x.to(dtype)
    assert torch.equal(kept.isnan(), expected.isnan())
    assert torch.equal(bits(kept)[~x.isnan()], bits(expected)[~x.isnan()])
    assert torch.equal(bits(wide)[~x.isnan()], bits(expected.float())[~x.isnan()])


# As above.
@pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered:RuntimeWarning")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_types_round_at_their_ends_too(dtype):
    """Subnormal numbers, ties, the largest numbers, infinity and NaN."""
    info = torch.finfo(dtype)
    edge = [
        0.0,
        info.smallest_normal,
        info.smallest_normal / 8,
        info.max,
        info.max / 2,
        1 + info.eps,
    ]
    edge += [float("inf"), float("nan"), 3.0]
    edge += [-e for e in edge]
    pairs = torch.tensor(list(itertools.product(edge, edge)), dtype=dtype, device=DEVICE)
    rule = Rule("none", False, False, True, Surrogate())
    xs = pairs[:, 0].expand(2, 1, -1)
    ones = torch.ones((), dtype=dtype, device=DEVICE)
    c = [pairs[:, 1], ones, 0 * ones, ones, ones, ones / 3, ones * (1 + info.eps), ones]
    zero = torch.zeros_like(xs[0])
    with torch.no_grad():
        expected = run("definition", [xs, zero, zero, *c], rule)
        given = run("triton", [xs, zero, zero, *c], rule)
    for a, b in zip((given[0], *given[1]), (expected[0], *expected[1]), strict=True):
        # There are many NaN; which one it is has no meaning.
        assert torch.equal(a.isnan(), b.isnan())
        assert torch.equal(bits(a.nan_to_num()), bits(b.nan_to_num()))


@pytest.mark.grid(1)
@pytest.mark.parametrize("surrogate", SLOPES)
@pytest.mark.parametrize(("reset", "delay"), RESETS)
def test_backwards_is_autograd_of_the_definition(reset, delay, surrogate):
    n = list(SLOPES).index(surrogate)
    for detach in (True, False):
        # Every pair of these meets some surrogate.
        strict, synapse = (n + detach) % 2 == 0, (n // 2 + detach) % 2 == 0
        rule = Rule(reset, delay, strict, synapse, Surrogate(surrogate, 1.5), detach)
        tensors = draw(rule, torch.float64, (3, 2, 3), "neuron" if strict else "scalar")
        assert_same_gradients(tensors, rule)


@pytest.mark.parametrize(("reset", "delay"), RESETS[1:])
def test_backwards_of_several_spikes_and_a_bound_is_autograd_of_the_definition(reset, delay):
    for detach, (many, bounded) in itertools.product((True, False), COUNTED):
        rule = Rule(reset, delay, False, detach, Surrogate(), detach, many, bounded)
        assert_same_gradients(draw(rule, torch.float64, (3, 2, 3), "neuron"), rule)


def test_backwards_over_more_than_one_program():
    rule = Rule("zero", False, False, True, Surrogate(), False)
    assert_same_gradients(draw(rule, torch.float64, (3, 3, BLOCK // 2 + 1), "neuron"), rule)


def test_backwards_without_learning_coefficients():
    rule = Rule("hold", True, False, True, Surrogate(), False)
    tensors = draw(rule, torch.float64, (3, 2, 3), "neuron")
    assert_same_gradients(tensors, rule, wanted=3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_gradients_in_narrower_types_are_near_those_in_float64(dtype):
    rule = Rule("subtract", False, False, True, Surrogate())
    tensors = draw(rule, dtype, (4, 2, 3), "neuron")
    given = gradients("triton", tensors, rule)
    exact = gradients("definition", [t.double() for t in tensors], rule)
    eps = torch.finfo(dtype).eps
    for g, e in zip(given, exact, strict=True):
        assert g.dtype == dtype
        torch.testing.assert_close(g.double(), e, rtol=8 * eps, atol=8 * eps)


def gradients(name, tensors, rule, wanted=None):
    leaves = [t.clone() for t in tensors]
    for t in leaves[:wanted]:
        t.requires_grad_()
    output, state = run(name, leaves, rule)
    g = torch.Generator().manual_seed(1)
    loss = sum(
        (t * torch.randn(t.shape, generator=g, dtype=torch.float64).to(t)).sum().double()
        for t in (output, *state)
    )
    found = torch.autograd.grad(loss, leaves[:wanted], allow_unused=True)
    return [torch.zeros_like(t) if f is None else f for t, f in zip(leaves, found, strict=False)]


def assert_same_gradients(tensors, rule, wanted=None):
    given = gradients("triton", tensors, rule, wanted)
    expected = gradients("definition", tensors, rule, wanted)
    for g, e in zip(given, expected, strict=True):
        torch.testing.assert_close(g, e, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("shape", [(0, 2, 3), (3, 0, 3), (0, 0, 3)])
def test_nothing_is_launched_for_nothing(shape, monkeypatch):
    monkeypatch.setattr(triton_launch, "forward", None)
    monkeypatch.setattr(triton_launch, "backward", None)
    rule = Rule("zero", False, False, True, Surrogate())
    tensors = draw(rule, torch.float32, shape, "neuron")
    output, state = run("triton", tensors, rule)
    assert output.shape == shape
    assert all(map(torch.equal, state, tensors[1:3]))
    assert_same_gradients(tensors, rule)


def test_cpu_tensors_are_taken_by_the_interpreter_alone(monkeypatch):
    x = torch.zeros(1)
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert choose(x, "triton") == "triton"
    assert choose(x) != "triton"
    monkeypatch.delenv("TRITON_INTERPRET")
    with pytest.raises(UnsupportedError, match="cpu"):
        choose(x, "triton")
