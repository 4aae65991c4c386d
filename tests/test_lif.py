"""LIF: by hand, against a scalar implementation of SPEC 4 and 5, and against snnTorch."""

import copy
import itertools
import math
import pickle
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import snntorch
import torch
from hypothesis import given
from hypothesis import strategies as st

from t1c import bridge, ir
from t1c.bridge import LIFModule

from .examples import examples

RESETS = ("zero", "value", "subtract", "none")


pytestmark = pytest.mark.usefixtures("one_thread")


def lif(**given: Any) -> ir.LIF:
    """A LIF from plain numbers."""
    arrays: dict[str, Any] = {
        k: v if isinstance(v, str | bool) else np.asarray(v) for k, v in given.items()
    }
    return ir.LIF(**arrays)


def lif_module(**given: Any) -> LIFModule:
    """The same as a module, with its types left to run time."""
    return LIFModule(**given)


def scalar_lif(xs, number, tau, r, v_leak, v_threshold, v_reset=None, v=0, **options):
    """SPEC 4 and 5 for a single neuron, one number at a time.

    ``number`` makes the numbers that are calculated with: Fraction (nothing is ever rounded),
    float, or np.float32. The coefficients are exact before they become such numbers.

    Returns the spikes, and the membrane after each step.
    """
    reset = options.get("reset") or ("zero" if v_reset is None else "value")
    delayed, fires_at = options.get("reset_delay", False), options.get("fires_at", "ge")
    exact_beta = 1 - 1 / Fraction(tau)
    beta = number(exact_beta)
    gain = number((1 - exact_beta) * Fraction(r))
    leak = number((1 - exact_beta) * Fraction(v_leak))
    threshold, target = number(v_threshold), None if v_reset is None else number(v_reset)

    def fires(u):
        return u >= threshold if fires_at == "ge" else u > threshold

    def jump(u):
        return {"zero": number(0), "value": target, "none": u}[reset]

    v, spikes, membrane = number(v), [], []
    for x in xs:
        if delayed:
            due = fires(v)
            if due and reset != "subtract":
                v = jump(v)
            u = beta * v + (gain * number(x) + leak)
            if due and reset == "subtract":
                u = u - threshold
            v = u
            spikes.append(int(fires(u)))
        else:
            u = beta * v + (gain * number(x) + leak)
            s = fires(u)
            v = u
            if s:
                v = u - threshold if reset == "subtract" else jump(u)
            spikes.append(int(s))
        membrane.append(v)
    return spikes, membrane


def reference_run(node, xs, v=None):
    """The reference in the dtype of ``xs`` (T, B, *features): spikes, and v after each step."""
    state = node.initial_state(xs.shape[1:], xs.dtype) if v is None else (v,)
    spikes, membrane = [], []
    for x in xs:
        s, state = node.step(x, state)
        assert s.dtype == state[0].dtype == xs.dtype
        spikes.append(s)
        membrane.append(state[0])
    return np.stack(spikes), np.stack(membrane)


def module_run(module, xs, v=None):
    """The same by stepping the module."""
    spikes, membrane = [], []
    for x in xs:
        s, v = module(x, v)
        spikes.append(s)
        membrane.append(v)
    return torch.stack(spikes), torch.stack(membrane)


def same_bits(ours, theirs):
    """Equal, the sign of zero included."""
    ours, theirs = (
        np.asarray(a.detach() if isinstance(a, torch.Tensor) else a) for a in (ours, theirs)
    )
    return ours.dtype == theirs.dtype and ours.tobytes() == theirs.tobytes()


# By hand -----------------------------------------------------------------------------------------

DRIVE = [0.75, 0.75, 1.5, 0.25, 3.0, 0.0]
BY_HAND: dict[str, tuple[dict[str, Any], list[int], list[float]]] = {
    # beta = 0.5, gain = 1: what fires, and the membrane that is carried on.
    "default": ({}, [0, 1, 1, 0, 1, 0], [0.75, 0, 0, 0.25, 0, 0]),
    "zero": ({"reset": "zero"}, [0, 1, 1, 0, 1, 0], [0.75, 0, 0, 0.25, 0, 0]),
    "v_reset alone": ({"v_reset": 0.5}, [0, 1, 1, 0, 1, 0], [0.75, 0.5, 0.5, 0.5, 0.5, 0.25]),
    "value": (
        {"v_reset": 0.5, "reset": "value"},
        [0, 1, 1, 0, 1, 0],
        [0.75, 0.5, 0.5, 0.5, 0.5, 0.25],
    ),
    "subtract": (
        {"reset": "subtract"},
        [0, 1, 1, 0, 1, 1],
        [0.75, 0.125, 0.5625, 0.53125, 2.265625, 0.1328125],
    ),
    "none": (
        {"reset": "none"},
        [0, 1, 1, 1, 1, 1],
        [0.75, 1.125, 2.0625, 1.28125, 3.640625, 1.8203125],
    ),
    "zero, delayed": (
        {"reset_delay": True},
        [0, 1, 1, 0, 1, 0],
        [0.75, 1.125, 1.5, 0.25, 3.125, 0],
    ),
    "value, delayed": (
        {"v_reset": 0.5, "reset_delay": True},
        [0, 1, 1, 0, 1, 0],
        [0.75, 1.125, 1.75, 0.5, 3.25, 0.25],
    ),
    "subtract, delayed": (
        {"reset": "subtract", "reset_delay": True},
        [0, 1, 1, 0, 1, 0],
        [0.75, 1.125, 1.0625, -0.21875, 2.890625, 0.4453125],
    ),
    "none, delayed": (
        {"reset": "none", "reset_delay": True},
        [0, 1, 1, 1, 1, 1],
        [0.75, 1.125, 2.0625, 1.28125, 3.640625, 1.8203125],
    ),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_options_by_hand(name):
    options, spikes, membrane = BY_HAND[name]
    parameters = {"tau": 2.0, "r": 2.0, "v_leak": 0.0, "v_threshold": 1.0}
    assert scalar_lif(DRIVE, Fraction, **parameters, **options) == (spikes, membrane)
    xs = np.array(DRIVE).reshape(-1, 1, 1)
    found, v = reference_run(lif(**parameters, **options), xs)
    assert found.ravel().tolist() == spikes
    assert v.ravel().tolist() == membrane
    module = lif_module(**parameters, **options)
    stepped, v = module_run(module, torch.from_numpy(xs))
    assert stepped.ravel().tolist() == spikes
    assert v.ravel().tolist() == membrane
    scanned, (last,) = module.scan(torch.from_numpy(xs), (torch.zeros(1, 1).double(),))
    assert scanned.ravel().tolist() == spikes
    assert last.item() == membrane[-1]


@pytest.mark.parametrize(("fires_at", "spike"), [("ge", 1.0), ("gt", 0.0)])
def test_fires_at_decides_when_the_membrane_is_just_at_the_threshold(fires_at, spike):
    module = LIFModule(1.0, 1.0, 0.0, 0.5, fires_at=fires_at)
    node = ir.LIF(*(np.array([p]) for p in (1.0, 1.0, 0.0, 0.5)), fires_at=fires_at)
    for x, expected in ((0.5, spike), (np.nextafter(0.5, 1), 1.0), (np.nextafter(0.5, 0), 0.0)):
        assert module(torch.full((1, 1), x, dtype=torch.float64))[0].item() == expected
        assert node.step(np.full((1, 1), x), (np.zeros((1, 1)),))[0].item() == expected


def test_a_neuron_without_input_runs_on_its_leak():
    # beta = 0.75, leak = 0.5: 0.5, 0.875, 1.15625 and so on towards v_leak = 2.
    graph = ir.Graph(
        {
            "input": ir.Input(shape=(1,)),
            "lif": ir.LIF(
                *(np.array([p]) for p in (4.0, 8.0, 2.0, 1.0)),
                input_type={"input": np.array([1])},
            ),
            "output": ir.Output(shape=(1,)),
        },
        [("input", "output"), ("lif", "output")],
    )
    out, state = ir.Reference(graph).run(np.zeros((4, 1, 1)))
    assert out.ravel().tolist() == [0, 0, 1, 0]
    assert state["lif"][0].item() == 0.5
    executor = bridge.ir_to_torch(graph, dtype=torch.float64)
    bridged, after = executor.run(torch.zeros(4, 1, 1, dtype=torch.float64))
    assert bridged.ravel().tolist() == [0, 0, 1, 0]
    assert after["lif"][0].item() == 0.5


# Against the scalar implementation ---------------------------------------------------------------


@st.composite
def option_sets(draw, v_reset):
    """All options, with ``v_reset`` where the reset needs one."""
    reset = draw(st.sampled_from(RESETS), label="reset")
    options = {"reset": reset, "reset_delay": draw(st.booleans(), label="reset_delay")}
    options["fires_at"] = draw(st.sampled_from(["ge", "gt"]), label="fires_at")
    if reset == "value":
        options["v_reset"] = draw(v_reset, label="v_reset")
    return options


def quarters(low, high):
    return st.integers(4 * low, 4 * high).map(lambda n: n / 4)


@examples(150)
@given(
    tau=st.sampled_from([1.0, 2.0, 4.0, 8.0]),
    r=quarters(-4, 8),
    v_leak=quarters(-2, 2),
    v_threshold=quarters(-1, 3),
    options=option_sets(quarters(-2, 2)),
    xs=st.lists(quarters(-4, 6), min_size=1, max_size=8),
)
def test_exact_where_nothing_is_rounded(tau, r, v_leak, v_threshold, options, xs):
    """Powers of two: float64 holds every membrane exactly, and so must equal the fractions."""
    spikes, membrane = scalar_lif(xs, Fraction, tau, r, v_leak, v_threshold, **options)
    node = lif(tau=tau, r=r, v_leak=v_leak, v_threshold=v_threshold, **options)
    s, v = reference_run(node, np.array(xs).reshape(-1, 1, 1))
    assert s.ravel().tolist() == spikes
    assert v.ravel().tolist() == membrane


reals = st.floats(-3, 3, width=32)
# Next to 1 the last bit of 1 - 1/tau depends on how it is computed.
taus = st.just(1.0) | st.floats(1.0625, 1000, width=32)


@examples(120)
@given(
    tau=taus,
    r=st.floats(-20, 20, width=32),
    v_leak=reals,
    v_threshold=reals,
    options=option_sets(reals),
    xs=st.lists(reals, min_size=1, max_size=8),
)
def test_float32_rounds_as_written(tau, r, v_leak, v_threshold, options, xs):
    """u = beta*v + (gain*x + leak), each product and sum rounded: reference, step and scan."""

    def number(value):
        return np.float32(float(value))

    spikes, membrane = scalar_lif(xs, number, tau, r, v_leak, v_threshold, **options)
    module = LIFModule(tau, r, v_leak, v_threshold, **options)
    node = lif(tau=tau, r=r, v_leak=v_leak, v_threshold=v_threshold, **options)
    inputs = np.array(xs, dtype=np.float32).reshape(-1, 1, 1)
    wanted = np.array(spikes, np.float32), np.array(membrane, np.float32)
    # (1 - s) * u may leave a zero of the other sign.
    stepped = [t.numpy() for t in module_run(module, torch.from_numpy(inputs))]
    for found in (reference_run(node, inputs), stepped):
        for values, want in zip(found, wanted, strict=True):
            assert values.dtype == np.float32
            np.testing.assert_array_equal(values.ravel(), want)
    scanned, (last,) = module.scan(torch.from_numpy(inputs), (torch.zeros(1, 1),))
    np.testing.assert_array_equal(scanned.numpy().ravel(), wanted[0])
    assert last.item() == wanted[1][-1]


@examples(100)
@given(tau=st.floats(1, 1e6), r=st.floats(-1e3, 1e3), v_leak=st.floats(-1e3, 1e3))
def test_coefficients_are_folded_in_float64(tau, r, v_leak):
    """Within one rounding of the exact rational, and only then cast."""
    exact_beta = 1 - 1 / Fraction(tau)
    exact = [exact_beta, (1 - exact_beta) * Fraction(r), (1 - exact_beta) * Fraction(v_leak)]
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        folded = LIFModule(tau, r, v_leak, 1.0).coefficients(torch.zeros(1, 1, dtype=dtype))
        found = [folded[name] for name in ("beta", "gain", "leak")]
        for coefficient, wanted in zip(found, exact, strict=True):
            assert coefficient.dtype == dtype
            nearest = torch.tensor(float(wanted), dtype=torch.float64).to(dtype)
            room = max(torch.finfo(dtype).eps * abs(nearest.item()), 2.0**-52)
            if dtype == torch.float16:
                room = max(room, 2.0**-24)
            assert abs(Fraction(coefficient.item()) - wanted) <= room


@pytest.mark.parametrize("tau", [1.0, 1.1, 3.0, 10.0, 49.0, 1000 / 7, 1e6 + 1 / 3])
def test_r_equal_to_tau_gives_a_gain_of_exactly_one(tau):
    for dtype in (torch.float64, torch.float32):
        gain = LIFModule(tau, tau, 0.0, 1.0).coefficients(torch.zeros(1, 1, dtype=dtype))["gain"]
        assert gain.item() == 1.0
    node = ir.LIF(*(np.array([p]) for p in (tau, tau, 0.0, 1e9)))
    x = np.random.default_rng(0).normal(size=(5, 3))
    assert same_bits(node.step(x, (np.zeros_like(x),))[1][0], x)


# Shapes of parameters ----------------------------------------------------------------------------

FORMS = ("()", "(1,)", "(1, 1, 1)", "(C,)", "(C, 1, 1)", "full", "flat")


def laid_out(form, shape, rng, low, high):
    """A parameter in a form, and its value at every feature, written out index by index."""
    channels = shape[0]
    sizes = {
        "()": (),
        "(1,)": (1,),
        "(1, 1, 1)": (1,) * len(shape),
        "(C,)": (channels,),
        "(C, 1, 1)": (channels, *[1] * (len(shape) - 1)),
        "full": shape,
        "flat": (math.prod(shape),),
    }
    # Different everywhere, so that a value in the wrong place shows.
    array = rng.permutation(np.linspace(low, high, math.prod(sizes[form]))).reshape(sizes[form])
    everywhere = np.empty(shape)
    for position, index in enumerate(itertools.product(*map(range, shape))):
        if form in ("()", "(1,)", "(1, 1, 1)"):
            everywhere[index] = array.item()
        elif form in ("(C,)", "(C, 1, 1)"):
            everywhere[index] = array.ravel()[index[0]]
        else:
            everywhere[index] = array[index] if form == "full" else array[position]
    return array, everywhere


@examples(100)
@given(
    # (C, H, W) with C == W, C == H and neither; vectors and (C, L) too.
    st.sampled_from([(3, 2, 3), (3, 3, 2), (3, 3, 3), (2, 3, 4), (1, 2, 3), (4,), (3, 3), (2, 5)]),
    st.lists(st.sampled_from(FORMS), min_size=5, max_size=5),
    st.sampled_from(RESETS),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_parameters_of_every_shape(shape, forms, reset, reset_delay, seed):
    rng = np.random.default_rng(seed)
    ranges = {"tau": (1, 9), "r": (2, 6), "v_leak": (-1, 1), "v_threshold": (0.5, 2)}
    if reset == "value":
        ranges["v_reset"] = (-1, 0)
    arrays, everywhere = {}, {}
    for (name, (low, high)), form in zip(ranges.items(), forms, strict=False):
        arrays[name], everywhere[name] = laid_out(form, shape, rng, low, high)
    options = {"reset": reset, "reset_delay": reset_delay}
    node = lif(**arrays, **options)
    xs = rng.normal(0.5, 1, (5, 2, *shape))
    graph = ir.Graph(
        {"input": ir.Input(shape), "lif": node, "output": ir.Output(shape)},
        [("input", "lif"), ("lif", "output")],
    )
    kept = graph.nodes["lif"].values()
    assert all(kept[name] is array for name, array in arrays.items())
    spikes, state = ir.Reference(graph).run(xs)
    executor = bridge.ir_to_torch(graph)
    bridged, after = executor.run(torch.from_numpy(xs))
    assert (bridged.numpy() == spikes).all()
    assert (after["lif"][0].numpy() == state["lif"][0]).all()
    for b, index in itertools.product(range(2), itertools.product(*map(range, shape))):
        own = {name: values[index] for name, values in everywhere.items()}
        line = [x[b][index] for x in xs]
        wanted, membrane = scalar_lif(line, float, **own, **options)
        assert [s[b][index] for s in spikes] == wanted
        assert state["lif"][0][b][index] == pytest.approx(float(membrane[-1]), rel=1e-12)


@pytest.mark.parametrize(
    ("size", "shape"),
    [
        ((4,), (2, 3, 4)),  # the width; (C,) always means channels
        ((3,), (2, 3, 4)),
        ((2, 1), (2, 3, 4)),
        ((3, 4), (2, 3, 4)),
        ((2, 3, 5), (2, 3, 4)),
        ((1, 24), (2, 3, 4)),
        ((3,), (4,)),
        ((2, 2), (4,)),
    ],
)
def test_parameters_that_do_not_fit_are_refused(size, shape):
    tau = np.full(size, 2.0)
    node = ir.LIF(tau, *(np.array([p]) for p in (2.0, 0.0, 1.0)))
    with pytest.raises(ir.ShapeError, match="parameter of shape"):
        node.shapes([shape])
    with pytest.raises(ir.ShapeError, match=r"LIFModule\.tau.*parameter of shape"):
        LIFModule(tau, 2.0, 0.0, 1.0)(torch.zeros(1, *shape))


def test_vectors_that_fit_no_shape_together_are_refused_at_once():
    with pytest.raises(ir.NodeError, match="parameter of shape"):
        ir.LIF(np.full(3, 2.0), np.full(4, 2.0), np.zeros(1), np.ones(1))


# Bit for bit -------------------------------------------------------------------------------------


@examples(80)
@given(st.sampled_from(RESETS), st.booleans(), st.sampled_from(["ge", "gt"]), st.integers(0, 2**32))
def test_float32_reference_step_and_scan_give_the_same_bits(reset, reset_delay, fires_at, seed):
    rng = np.random.default_rng(seed)
    shape, xs = (3, 4, 5), rng.normal(0.3, 1, (12, 2, 3, 4, 5)).astype(np.float32)
    arrays = {
        "tau": rng.uniform(1, 20, (3,)),
        "r": rng.uniform(1, 20, shape),
        "v_leak": rng.normal(0, 0.3, (3, 1, 1)),
        "v_threshold": rng.uniform(0.2, 1, ()),
    }
    if reset == "value":
        arrays["v_reset"] = rng.normal(0, 0.3, 60)
    options = {"reset": reset, "reset_delay": reset_delay, "fires_at": fires_at}
    start = rng.normal(0, 0.5, (2, *shape)).astype(np.float32)
    spikes, membrane = reference_run(lif(**arrays, **options), xs, start)
    assert 0 < spikes.mean() < 1
    module = lif_module(**arrays, **options)
    stepped, v = module_run(module, torch.from_numpy(xs), torch.from_numpy(start))
    assert same_bits(stepped, spikes)
    assert same_bits(v, membrane)
    scanned, (last,) = module.scan(torch.from_numpy(xs), (torch.from_numpy(start),))
    assert same_bits(scanned, spikes)
    assert same_bits(last, membrane[-1])
    # A whole sequence in two parts, state handed on.
    first, state = module.scan(torch.from_numpy(xs[:5]), (torch.from_numpy(start),))
    second, (last,) = module.scan(torch.from_numpy(xs[5:]), state)
    assert same_bits(torch.cat([first, second]), spikes)
    assert same_bits(last, membrane[-1])


def test_no_steps_leave_the_state_as_it_is():
    v = torch.rand(2, 3)
    spikes, (after,) = LIFModule(2.0, 2.0, 0.0, 1.0).scan(torch.zeros(0, 2, 3), (v,))
    assert spikes.shape == (0, 2, 3)
    assert torch.equal(after, v)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_every_dtype_rounds_each_operation(dtype):
    """Each product and sum is rounded to the dtype, which three separate operations show."""
    rng = np.random.default_rng(5)
    tau, r, leak = (torch.from_numpy(rng.uniform(1, 9, 40)) for _ in range(3))
    module = LIFModule(tau, r, leak, 1e4, reset="none").to(dtype)
    assert module.tau.dtype == torch.float64  # its precision is not lost on the way
    beta, gain, leaks = ((1 - 1 / tau).to(dtype), (r / tau).to(dtype), (leak / tau).to(dtype))
    v = torch.zeros(2, 40, dtype=dtype)
    for x in torch.from_numpy(rng.normal(size=(6, 2, 40))).to(dtype):
        driven = torch.mul(gain, x)
        driven = torch.add(driven, leaks)
        wanted = torch.add(torch.mul(beta, v), driven)
        spikes, v = module(x, v)
        assert spikes.dtype == v.dtype == dtype
        assert torch.equal(v, wanted)


# snnTorch ----------------------------------------------------------------------------------------


def like_leaky(beta, threshold, reset):
    """snnTorch's Leaky as a LIF: tau = 1/(1 - beta) and r = tau, in float64."""
    tau = 1 / (1 - np.asarray(beta, dtype=np.float64))
    options = {"reset": reset, "reset_delay": True, "fires_at": "gt"}
    return LIFModule(tau, tau, 0.0, np.asarray(threshold, dtype=np.float64), **options)


@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
@examples(40)
@given(
    st.lists(st.floats(2.0**-20, 1, width=32, exclude_max=True), min_size=4, max_size=4),
    st.lists(st.floats(0.125, 2, width=32), min_size=4, max_size=4),
    st.integers(0, 2**32 - 1),
)
def test_leaky_of_snntorch_bit_for_bit(reset, betas, thresholds, seed):
    torch.manual_seed(seed % 2**31)
    betas[0] = 0.0 if seed % 5 == 0 else betas[0]
    leaky = snntorch.Leaky(
        torch.tensor(betas), torch.tensor(thresholds), reset_mechanism=reset, reset_delay=True
    )
    module = like_leaky(betas, thresholds, reset)
    xs = torch.randn(20, 3, 4) + 0.5
    mem, v = torch.zeros(3, 4), torch.zeros(3, 4)
    for x in xs:
        spk, mem = leaky(x, mem)
        spikes, v = module(x, v)
        assert same_bits(spikes, spk)
        assert same_bits(v, mem)
    scanned, (last,) = module.scan(xs, (torch.zeros(3, 4),))
    assert same_bits(last, mem)
    assert same_bits(scanned[-1], spk)


def test_beta_comes_back_from_tau_unless_it_is_next_to_nothing():
    """Exact down to 2**-27; below, rounding in float64 leaves an absolute error of 2**-52."""
    rng = np.random.default_rng(1)
    exponents = rng.uniform(-27, 0, 20_000)
    betas = np.minimum(2.0**exponents, 1 - 2.0**-24).astype(np.float32)
    ends = np.array([0, 2.0**-27, 0.5, 1 - 2.0**-24, 1 - 2.0**-23], dtype=np.float32)
    betas = np.concatenate([betas, ends])
    tau = 1 / (1 - betas.astype(np.float64))
    found = LIFModule(tau, tau, 0.0, 1.0).coefficients(torch.zeros(1, len(betas)))["beta"]
    assert same_bits(found, betas)
    small = (2.0 ** rng.uniform(-60, -27, 20_000)).astype(np.float32)
    tau = 1 / (1 - small.astype(np.float64))
    found = LIFModule(tau, tau, 0.0, 1.0).coefficients(torch.zeros(1, len(small)))["beta"]
    assert np.abs(found.numpy() - small).max() <= 2.0**-52
    assert not same_bits(found, small)


def compare_gradients(other, module):
    """Those at the inputs and at the threshold, of a loss over 20 steps of spikes and membranes."""
    xs = (torch.randn(20, 4, 6) + 0.5).double()
    weights = torch.randn(2, 20, 4, 6).double()
    grads = []
    for neuron, threshold in ((other, other.threshold), (module, module.v_threshold)):
        driven, mem, fired = xs.clone().requires_grad_(), torch.zeros(4, 6).double(), 0.0
        loss = torch.zeros((), dtype=torch.float64)
        for x, on_spikes, on_membrane in zip(driven, *weights, strict=True):
            spikes, mem = neuron(x, mem)
            fired += spikes.mean().item() / 20
            loss = loss + (spikes * on_spikes).sum() + (mem * on_membrane).sum()
        assert 0.05 < fired < 0.95
        loss.backward()
        grads.append((driven.grad, threshold.grad))
    for theirs, ours in zip(*grads, strict=True):
        assert ours.abs().min() > 0
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
def test_gradients_are_those_of_leaky_with_atan(reset):
    torch.manual_seed(3)
    betas, thresholds = torch.rand(6).double() * 0.95, torch.rand(6).double() + 0.3
    leaky = snntorch.Leaky(
        betas,
        thresholds,
        spike_grad=snntorch.surrogate.atan(alpha=2.0),
        learn_threshold=True,
        reset_mechanism=reset,
        reset_delay=True,
    ).double()
    module = like_leaky(betas.numpy(), thresholds.numpy(), reset)
    module.v_threshold.requires_grad_()
    compare_gradients(leaky, module)


class ByHand(torch.nn.Module):
    """An immediate reset in plain torch: its gradient is cut, as snnTorch cuts it."""

    def __init__(self, beta, threshold, reset):
        super().__init__()
        self.beta, self.threshold, self.reset = beta, torch.nn.Parameter(threshold), reset
        self.spike = snntorch.surrogate.atan(alpha=2.0)

    def forward(self, x, v):
        u = self.beta * v + x
        spikes = self.spike(u - self.threshold)
        fired = spikes.detach()
        return spikes, {
            "zero": u * (1 - fired),
            "value": u * (1 - fired) + fired * 0.25,
            "subtract": u - fired * self.threshold,
            "none": u,
        }[self.reset]


@pytest.mark.parametrize("reset", RESETS)
def test_gradients_of_an_immediate_reset(reset):
    torch.manual_seed(4)
    tau, threshold = 1 + 5 * torch.rand(6).double(), torch.rand(6).double() + 0.3
    v_reset = 0.25 if reset == "value" else None
    module = LIFModule(tau, tau, 0.0, threshold, reset=reset, v_reset=v_reset, fires_at="gt")
    module.v_threshold.requires_grad_()
    compare_gradients(ByHand(1 - 1 / tau, threshold.clone(), reset), module)


# Gradients, by themselves ------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (3,), (3, 1, 1), (3, 2, 4), (24,)])
def test_the_gradient_at_the_threshold_is_the_surrogate_s_slope(shape):
    torch.manual_seed(0)
    threshold = torch.rand(shape, dtype=torch.float64)
    module = LIFModule(1.0, 1.0, 0.0, threshold)
    module.v_threshold.requires_grad_()
    x = torch.randn(5, 3, 2, 4, dtype=torch.float64, requires_grad=True)
    spikes, _ = module(x)
    weight = torch.randn_like(spikes)
    (spikes * weight).sum().backward()
    # tau = 1: the membrane is the input. atan with alpha = 2.
    laid = threshold.reshape(3, 2, 4) if shape == (24,) else threshold
    laid = laid.reshape(3, 1, 1) if shape == (3,) else laid
    distance = x.detach() - laid
    slope = weight / (1 + (math.pi * distance) ** 2)
    torch.testing.assert_close(x.grad, slope)
    wanted = {(): (0, 1, 2, 3), (3,): (0, 2, 3), (3, 1, 1): (0, 2, 3)}.get(shape, (0,))
    grad = module.v_threshold.grad
    assert grad is not None
    torch.testing.assert_close(grad, -slope.sum(wanted).reshape(shape))


def test_gradients_of_tau_r_and_leak_are_right_where_nothing_fires():
    torch.manual_seed(0)
    xs = torch.randn(6, 2, 3, dtype=torch.float64)
    parameters = [torch.rand(3, dtype=torch.float64) * 4 + 1.5 for _ in range(3)]

    def membrane(tau, r, v_leak):
        module = LIFModule(2.0, 2.0, 0.0, 1e6)
        module.tau, module.r, module.v_leak = tau, r, v_leak
        return module.scan(xs, (torch.zeros(2, 3, dtype=torch.float64),))[1][0]

    assert torch.autograd.gradcheck(membrane, [p.requires_grad_() for p in parameters])


def test_a_learnable_parameter_learns_step_after_step():
    """Coefficients are folded anew where a gradient flows, also after use without gradients."""
    module = LIFModule(2.0, 2.0, 0.0, 1.0)
    x = torch.ones(1, 2)
    with torch.no_grad():
        module(x)
    with torch.inference_mode():
        module(x)
    module.tau.requires_grad_()
    module.v_threshold.requires_grad_()
    grads = []
    for _ in range(2):  # gradients may be gathered over several passes
        spikes, v = module(x, torch.ones(1, 2))
        (spikes.sum() + v.sum()).backward()
        assert module.tau.grad is not None
        assert module.v_threshold.grad is not None
        grads.append((module.tau.grad.item(), module.v_threshold.grad.item()))
    assert grads[0][0] != 0
    assert grads[0][1] != 0
    assert grads[1] == pytest.approx([2 * g for g in grads[0]])


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_training_after_evaluation(context):
    module = LIFModule(2.0, 2.0, 0.0, 1.0)
    with context():
        module(torch.ones(1, 2))
    x = torch.full((1, 2), 0.4, requires_grad=True)
    v = torch.zeros(1, 2)
    for _ in range(3):
        spikes, v = module(x, v)
    (spikes.sum() + v.sum()).backward()
    assert x.grad is not None
    assert (x.grad != 0).all()


def test_a_module_made_in_inference_mode_follows_its_parameters():
    with torch.inference_mode():
        module = LIFModule(2.0, 2.0, 0.0, 10.0)
        assert module(torch.ones(1, 1))[1].item() == 1.0
        module.tau.fill_(4.0)
        assert module(torch.ones(1, 1))[1].item() == 0.5


# Coefficients follow their parameters ------------------------------------------------------------


def fresh(**parameters):
    return LIFModule(**{"tau": 2.0, "r": 3.0, "v_leak": 0.25, "v_threshold": 5.0, **parameters})


def as_new(module, **parameters):
    """Whether ``module`` computes what a new one with these parameters does."""
    x = torch.linspace(-4, 4, 7).reshape(1, 7)
    v = torch.linspace(4, -3, 7).reshape(1, 7)
    other = fresh(**parameters)
    stepped = all(same_bits(a, b) for a, b in zip(module(x, v), other(x, v), strict=True))
    xs = torch.stack([x, -x, x])
    scans = [m.scan(xs, (v,)) for m in (module, other)]
    return stepped and same_bits(scans[0][0], scans[1][0]) and same_bits(*(s[1][0] for s in scans))


CHANGES = {"tau": 7.0, "r": -2.0, "v_leak": -1.5, "v_threshold": 0.5}


@pytest.mark.parametrize("name", CHANGES)
def test_parameters_changed_in_place_or_replaced(name):
    module = fresh()
    assert as_new(module)
    assert not as_new(module, **{name: CHANGES[name]})
    setattr(module, name, torch.tensor(1.25))  # untouched, like the one that it replaces
    assert as_new(module, **{name: 1.25})
    module.get_buffer(name).fill_(CHANGES[name])
    assert as_new(module, **{name: CHANGES[name]})
    setattr(module, name, torch.linspace(2, 3, 7))
    assert as_new(module, **{name: torch.linspace(2, 3, 7)})
    module.get_buffer(name)[3] = 4.0
    changed = torch.linspace(2, 3, 7)
    changed[3] = 4.0
    assert as_new(module, **{name: changed})
    setattr(module, name, torch.nn.Parameter(torch.tensor(1.5, dtype=torch.float64)))
    assert as_new(module, **{name: 1.5})
    assert [n for n, _ in module.named_parameters()] == [name]
    with torch.no_grad():
        getattr(module, name).mul_(2)
    assert as_new(module, **{name: 3.0})


def test_the_reset_value_may_be_changed_too():
    module = fresh(v_threshold=0.5, v_reset=0.1)
    assert as_new(module, v_threshold=0.5, v_reset=0.1)
    module.v_reset.fill_(0.3)
    assert as_new(module, v_threshold=0.5, v_reset=0.3)
    assert not as_new(module, v_threshold=0.5, v_reset=0.1)


COPIES = {
    "copy.deepcopy": copy.deepcopy,
    "pickle": lambda module: pickle.loads(pickle.dumps(module)),
    "state_dict": lambda module: _loaded(module),
    "to(float64)": lambda module: copy.deepcopy(module).to(torch.float64),
    "half and back": lambda module: copy.deepcopy(module).half().float(),
    "bfloat16": lambda module: copy.deepcopy(module).bfloat16(),
}


def _loaded(module):
    other = LIFModule(np.full(7, 9.0), 9.0, 9.0, 9.0)
    as_new(other)  # so that coefficients of the old values are there to be wrong
    other.load_state_dict(module.state_dict())
    return other


@pytest.mark.parametrize("way", COPIES)
def test_copies_keep_what_was_set_and_go_their_own_way(way):
    tau = torch.linspace(1.1, 9.7, 7, dtype=torch.float64)  # float32 would not hold it
    module = fresh(tau=np.full(7, 2.0))
    # Loaded, used, changed, and copied without being used again.
    module.load_state_dict(fresh(tau=np.full(7, 3.0)).state_dict())
    assert as_new(module, tau=3.0)
    module.tau.copy_(tau)
    made = COPIES[way](module)
    assert as_new(made, tau=tau)
    assert as_new(module, tau=tau)
    assert torch.equal(made.tau, tau)
    made.tau.fill_(5.0)
    assert as_new(made, tau=5.0)
    assert as_new(module, tau=tau)


def test_a_learnable_module_can_be_copied_after_use():
    module = fresh()
    module.v_threshold.requires_grad_()
    module(torch.ones(1, 7))
    other = copy.deepcopy(module)
    assert other.v_threshold.requires_grad
    assert as_new(pickle.loads(pickle.dumps(module)))


def test_options_survive_copies():
    module = fresh(v_threshold=0.5, reset="subtract", reset_delay=True, fires_at="gt")
    for made in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        options = {"reset": "subtract", "reset_delay": True, "fires_at": "gt"}
        assert as_new(made, v_threshold=0.5, **options)
        assert not as_new(made, v_threshold=0.5)


def test_parameters_are_copies_of_the_arrays():
    arrays = [np.array([p]) for p in (2.0, 2.0, 0.0, 1.0)]
    node = ir.LIF(*arrays)
    module = bridge.node_to_module(node)
    assert isinstance(module, LIFModule)
    arrays[0][:] = 50.0
    assert module.tau.item() == 2.0
    module.r.fill_(9.0)
    assert node.r.item() == 2.0
