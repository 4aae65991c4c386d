"""Norse's neurons keep their meaning: against Norse itself, over 32 steps."""

import pytest
import torch
from torch import nn

from t1c.ir.errors import UnsupportedError

from .export_helpers import bridge, ir, spikes, types_of
from .export_helpers import equal as held_equal
from .peers import HIDDEN, IN, agree, at_once, equal, handing_on, peer, with_states

norse = peer("norse.torch")
lif, lif_box, reset, iaf, leaky, leaky_box = peer(
    *(
        f"norse.torch.functional.{n}"
        for n in ("lif", "lif_box", "reset", "iaf", "leaky_integrator", "leaky_integrator_box")
    )
)
ExpFilter = peer("norse.torch.module.exp_filter").ExpFilter


def numbers(**values):
    return {name: torch.tensor(value) for name, value in values.items()}


LIF = {"tau_syn_inv": 0.5, "tau_mem_inv": 0.25, "v_th": 0.5}
PLAIN = norse.LIFParameters(**numbers(**LIF))
MOVED = norse.LIFParameters(**numbers(**LIF, v_leak=0.25, v_reset=-0.5))
EACH = norse.LIFParameters(**numbers(**{**LIF, "v_th": [0.25, 0.5, 1.0, 2.0] * 2}))
CELLS = {
    "LIFCell": lambda: norse.LIFCell(PLAIN, dt=1.0),
    "LIFCell, v_leak and v_reset": lambda: norse.LIFCell(MOVED, dt=1.0),
    "LIFCell, a threshold each": lambda: norse.LIFCell(EACH, dt=1.0),
    "LIFCell, defaults": lambda: norse.LIFCell(),
    "LIFBoxCell": lambda: norse.LIFBoxCell(
        lif_box.LIFBoxParameters(**numbers(tau_mem_inv=0.25)), dt=1.0
    ),
    "LIFBoxCell, v_leak and v_reset": lambda: norse.LIFBoxCell(
        lif_box.LIFBoxParameters(**numbers(tau_mem_inv=0.25, v_leak=0.25, v_reset=0.5)), dt=1.0
    ),
    "LIFBoxCell, subtracting": lambda: norse.LIFBoxCell(
        lif_box.LIFBoxParameters(reset_method=reset.reset_subtract, **numbers(tau_mem_inv=0.5)),
        dt=1.0,
    ),
    "IAFCell": lambda: norse.IAFCell(),
    "IAFCell, v_reset": lambda: norse.IAFCell(iaf.IAFParameters(**numbers(v_reset=-0.5))),
    "LICell": lambda: norse.LICell(
        leaky.LIParameters(**numbers(tau_syn_inv=0.5, tau_mem_inv=0.25)), dt=1.0
    ),
    "LIBoxCell": lambda: norse.LIBoxCell(
        leaky_box.LIBoxParameters(**numbers(tau_mem_inv=0.25)), dt=1.0
    ),
}


@pytest.mark.parametrize("name", CELLS)
def test_cell(name, tmp_path):
    """Called step by step, with its NamedTuple of states handed back."""
    model = norse.SequentialState(nn.Linear(IN, HIDDEN), CELLS[name]())
    # v + dt * tau_mem_inv * ((v_leak - v) + i) rounds elsewhere than beta * v + (1 - beta) * i.
    graph = agree(model, lambda xs: xs[0], tmp_path, name.startswith("IAF"))
    assert list(graph.nodes) == ["input", "0", "1", "output"]


@pytest.mark.parametrize("name", CELLS)
def test_cell_in_a_loop(name, tmp_path):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.cell = nn.Linear(IN, HIDDEN), CELLS[name]()

        def forward(self, xs):
            state, out = None, []
            for x in xs:
                z, state = self.cell(self.fc(x), state)
                out.append(z)
            return torch.stack(out)

    agree(Net(), lambda xs: xs[:3], tmp_path, name.startswith("IAF"))


@pytest.mark.parametrize(
    "module",
    [
        lambda: norse.LIF(PLAIN, dt=1.0),
        lambda: norse.LIF(MOVED, dt=1.0),
        lambda: norse.IAF(),
        lambda: norse.LI(leaky.LIParameters(**numbers(tau_syn_inv=0.5, tau_mem_inv=0.25)), dt=1.0),
    ],
    ids=["LIF", "LIF, v_leak and v_reset", "IAF", "LI"],
)
def test_a_model_of_whole_sequences(module, tmp_path):
    model = norse.SequentialState(norse.Lift(nn.Linear(IN, HIDDEN)), module())
    graph = agree(model, lambda xs: xs[:4], tmp_path, False)
    assert list(graph.nodes) == ["input", "0.lifted_module", "1", "output"]


def test_a_convolutional_network(tmp_path):
    """The form of Norse's MNIST example."""

    class ConvNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3)
            self.fc1 = nn.Linear(16, 10)
            self.lif0, self.lif1 = norse.LIFCell(PLAIN, dt=1.0), norse.LIFCell(PLAIN, dt=1.0)
            self.out = norse.LICell()

        def forward(self, x):
            s0 = s1 = so = None
            voltages = []
            for x_t in x:
                z = self.conv1(x_t)
                z, s0 = self.lif0(z, s0)
                z = torch.nn.functional.max_pool2d(z, 2, 2)
                z = 10 * self.conv2(z)
                z, s1 = self.lif1(z, s1)
                z = z.view(-1, 16)
                z = torch.nn.functional.relu(self.fc1(z))
                v, so = self.out(z, so)
                voltages.append(v)
            return torch.stack(voltages)

    model = ConvNet()
    graph = agree(model, lambda xs: xs[:2], tmp_path, False, features=(1, 10, 10))
    assert list(types_of(graph).values()) == [
        *("Input", "Conv2d", "CubaLIF", "MaxPool2d", "Conv2d", "Scale", "CubaLIF", "Flatten"),
        *("Affine", "ReLU", "CubaLI", "Output"),
    ]


def test_one_membrane_by_hand():
    """The current jumps first, drives the membrane at once, and decays behind it."""
    cell = norse.LIFCell(norse.LIFParameters(**numbers(**LIF)), dt=1.0)
    graph = bridge.to_ir(norse.SequentialState(cell), torch.zeros(1, 1))
    node = graph.nodes["0"]
    assert (node.tau_syn, node.tau_mem, node.w_in) == (2, 4, 2)
    out, state = bridge.ir_to_torch(graph, return_state=True)(torch.tensor([[2.0]]))
    # i = 2, v = 0.25 * 2 = 0.5: on the threshold, and no spike.
    assert out.item() == 0
    assert [s.item() for s in state["0"]] == [2.0, 0.5]


# Cells that no primitive says: followed through their own code --------------------------------


def half(z, v, target, threshold):
    return v - z * threshold / 2


def passing(x, state, p, dt):
    """Another step function: fires with its input, and counts in the state."""
    return x + state.v, state._replace(v=0.5 * state.v + dt * x)


def stepping(cell, function):
    cell.activation = function
    return cell


class User(nn.Module):
    """A user's own, with Norse's protocol: the state goes in and out."""

    def forward(self, x, state=None):
        v, a = (torch.zeros_like(x), torch.zeros_like(x)) if state is None else state
        v = 0.5 * v + x
        z = (v > 1 + a).float()
        return z, (v - z, 0.5 * a + z)


class UserZero(nn.Module):
    """One tensor as state, and 0 before the first step."""

    def forward(self, x, state=0.0):
        v = 0.75 * (0.0 if state is None else state) + x
        z = torch.ge(v, 2.0).to(x.dtype)
        return z, v * (1 - z)


FOLLOWED = {
    "LIFAdExCell": lambda: norse.LIFAdExCell(),
    "LIFExCell": lambda: norse.LIFExCell(),
    "LIFRefracCell": lambda: norse.LIFRefracCell(),
    "LIFAdExRefracCell": lambda: norse.LIFAdExRefracCell(),
    "LSNNCell": lambda: norse.LSNNCell(),
    "IzhikevichCell": lambda: norse.IzhikevichCell(norse.tonic_spiking),
    "LIFBoxCell, another reset": lambda: norse.LIFBoxCell(
        lif_box.LIFBoxParameters(reset_method=half)
    ),
    "LIFBoxCell, subtracting, v_leak": lambda: norse.LIFBoxCell(
        lif_box.LIFBoxParameters(reset_method=reset.reset_subtract, **numbers(v_leak=0.5))
    ),
    "User": User,
    "UserZero": UserZero,
}
FOLLOWED_VALUES = {
    "LICell, v_leak": lambda: norse.LICell(leaky.LIParameters(**numbers(v_leak=0.5))),
    "LIBoxCell that swings": lambda: norse.LIBoxCell(dt=0.015),
    "LIFCell, another step function": lambda: stepping(norse.LIFCell(), passing),
}
RECURRENT = {
    "LIFRecurrentCell": lambda: norse.LIFRecurrentCell(IN, HIDDEN),
    "LIFRecurrentCell, autapses": lambda: norse.LIFRecurrentCell(IN, HIDDEN, autapses=True),
    "LIFAdExRecurrentCell": lambda: norse.LIFAdExRecurrentCell(IN, HIDDEN),
    "LIFExRecurrentCell": lambda: norse.LIFExRecurrentCell(IN, HIDDEN),
    "LIFRefracRecurrentCell": lambda: norse.LIFRefracRecurrentCell(IN, HIDDEN),
    "LIFAdExRefracRecurrentCell": lambda: norse.LIFAdExRefracRecurrentCell(IN, HIDDEN),
    "LSNNRecurrentCell": lambda: norse.LSNNRecurrentCell(IN, HIDDEN),
    "IzhikevichRecurrentCell": lambda: norse.IzhikevichRecurrentCell(
        IN, HIDDEN, norse.tonic_spiking
    ),
}
RECURRENT_VALUES = {"LILinearCell": lambda: norse.LILinearCell(IN, HIDDEN)}
LAYERS = {
    "LIFAdEx": lambda: norse.LIFAdEx(),
    "LIFEx": lambda: norse.LIFEx(),
    "LSNN": lambda: norse.LSNN(),
    "Izhikevich": lambda: norse.Izhikevich(norse.tonic_spiking),
}
RECURRENT_LAYERS = {
    "LIFRecurrent": lambda: norse.LIFRecurrent(IN, HIDDEN),
    "LIFAdExRecurrent": lambda: norse.LIFAdExRecurrent(IN, HIDDEN),
    "LIFExRecurrent": lambda: norse.LIFExRecurrent(IN, HIDDEN),
    "LIFRefracRecurrent": lambda: norse.LIFRefracRecurrent(IN, HIDDEN),
    "LSNNRecurrent": lambda: norse.LSNNRecurrent(IN, HIDDEN),
    "IzhikevichRecurrent": lambda: norse.IzhikevichRecurrent(IN, HIDDEN, norse.tonic_spiking),
}


def strong(model, scale=8.0):
    """Weights on the grid that make Norse's defaults fire, those of a recurrence too."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "weight" in name or name.endswith("bias"):
                size = scale if "recurrent" not in name else scale / 4
                p.copy_(torch.randint(-256, 257, p.shape, generator=generator) / 256 * size)
    return model


class InLoop(nn.Module):
    def __init__(self, fc, cell):
        super().__init__()
        self.fc, self.cell = fc, cell

    def forward(self, xs):
        state, out = None, []
        for x in xs:
            z, state = self.cell(self.fc(x), state)
            out.append(z)
        return torch.stack(out)


# What is followed is compared, not what a compiler makes of it, for half a minute.
@pytest.mark.grid(1)
@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("how", ["steps", "loop"])
@pytest.mark.parametrize("name", [*FOLLOWED, *FOLLOWED_VALUES, *RECURRENT, *RECURRENT_VALUES])
def test_a_cell_is_followed_through_its_own_code(name, how, tmp_path):
    cell = {**FOLLOWED, **FOLLOWED_VALUES, **RECURRENT, **RECURRENT_VALUES}[name]()
    own_weights = name in RECURRENT or name in RECURRENT_VALUES
    if how == "loop":
        model, call = InLoop(nn.Identity() if own_weights else nn.Linear(IN, HIDDEN), cell), at_once
    else:
        model, call = (
            norse.SequentialState(*[nn.Linear(IN, HIDDEN)][own_weights:], cell),
            handing_on,
        )
    # Izhikevich's cell fires by itself; the others are driven. A spike is the same or another.
    exact = name in FOLLOWED or name in RECURRENT
    xs = spikes(50, 5, IN)
    _, wanted = equal(strong(model), call, xs, tmp_path, exact=exact)
    assert 0 < wanted.count_nonzero() < wanted.numel() or not exact


@pytest.mark.parametrize("name", [*LAYERS, *RECURRENT_LAYERS])
def test_a_layer_of_whole_sequences_is_followed(name, tmp_path):
    if name in LAYERS:
        model = norse.SequentialState(norse.Lift(nn.Linear(IN, HIDDEN)), LAYERS[name]())
    else:
        model = norse.SequentialState(RECURRENT_LAYERS[name]())
    _, wanted = equal(strong(model), with_states, spikes(50, 5, IN), tmp_path)
    assert 0 < wanted.count_nonzero() < wanted.numel()


# Networks as Norse's examples write them ------------------------------------------------------


class Voltages(nn.Module):
    """Writes each step's voltage into a tensor made before."""

    def __init__(self, write, make=lambda: norse.LIFRecurrentCell(IN, HIDDEN)):
        super().__init__()
        self.l1, self.out, self.write = make(), norse.LILinearCell(HIDDEN, 4), write

    def forward(self, xs):
        steps, batch = xs.shape[:2]
        s1 = so = None
        voltages = torch.zeros(steps, batch, 4, device=xs.device, dtype=xs.dtype)
        for ts in range(steps):
            z, s1 = self.l1(xs[ts], s1)
            v, so = self.out(z, so)
            self.write(voltages, ts, v)
        return voltages


def write_slice(voltages, ts, v):
    voltages[ts, :, :] = v


def write_step(voltages, ts, v):
    voltages[ts] = v


class Decoded(nn.Module):
    """The model of Norse's MNIST example: a decoder behind what a network says over time."""

    def __init__(self, network, decode):
        super().__init__()
        self.network, self.decode = network, decode

    def forward(self, xs):
        return self.decode(self.network(xs))


def max_decode(xs):
    found, _ = torch.max(xs, 0)
    return nn.functional.log_softmax(found, dim=1)


DECODERS = {
    "max": max_decode,
    "sum": lambda xs: torch.log_softmax(torch.sum(xs, 0), dim=1),
    "last": lambda xs: torch.log_softmax(xs[-1], dim=1),
}


@pytest.mark.parametrize("write", [write_slice, write_step])
def test_voltages_written_step_by_step(write, tmp_path):
    model = strong(Voltages(write))
    _, wanted = equal(model, at_once, spikes(50, 5, IN), tmp_path, exact=False)
    assert wanted.shape == (50, 5, 4)
    assert wanted[1:].any()


def test_an_exponential_filter(tmp_path):
    """Its first value is its input, as memory that starts from zeros gives it."""
    model = strong(ExpFilter(IN, HIDDEN, tau_filter_inv=200.0), 1.0)
    graph, _ = equal(model, at_once, spikes(50, 5, IN), tmp_path, exact=False)
    assert list(types_of(graph).values()) == ["Input", "Affine", "LI", "Output"]


@pytest.mark.parametrize("name", DECODERS)
def test_a_decoder_behind_the_voltages(name, tmp_path):
    model = Decoded(strong(Voltages(write_step)), DECODERS[name])
    graph, wanted = equal(model, at_once, spikes(50, 5, IN), tmp_path, exact=False, final=True)
    assert graph.outputs()["output"].final
    torch.testing.assert_close(wanted.exp().sum(-1), torch.ones(5))


def test_a_state_that_is_handed_through_a_whole_sequential(tmp_path):
    """User cells, Norse's cells and plain layers in one SequentialState."""
    model = norse.SequentialState(
        nn.Linear(IN, HIDDEN), User(), nn.Linear(HIDDEN, HIDDEN), norse.LIFCell(PLAIN, dt=1.0)
    )
    _, wanted = equal(strong(model, 2.0), handing_on, spikes(50, 5, IN), tmp_path)
    assert 0 < wanted.count_nonzero() < wanted.numel()


def test_a_sequential_that_is_recurrent(tmp_path):
    model = norse.RecurrentSequential(
        nn.Linear(IN, IN), norse.LIFCell(PLAIN, dt=1.0), output_modules=1
    )
    _, wanted = equal(strong(model, 2.0), handing_on, spikes(50, 5, IN), tmp_path)
    assert 0 < wanted.count_nonzero() < wanted.numel()


class Encoded(nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder, self.fc, self.cell = (
            encoder,
            nn.Linear(IN, HIDDEN),
            norse.LIFCell(PLAIN, dt=1.0),
        )

    def forward(self, x):
        state, out = None, []
        for x_t in self.encoder(x):
            z, state = self.cell(self.fc(x_t), state)
            out.append(z)
        return torch.stack(out)


@pytest.mark.parametrize("behind", ["steps", "sequences"])
@pytest.mark.parametrize(
    ("encoder", "accumulates"),
    [(norse.ConstantCurrentLIFEncoder, False), (norse.SpikeLatencyLIFEncoder, True)],
    ids=["constant current", "latency"],
)
def test_an_encoder_of_a_value_held_still(encoder, accumulates, behind):
    """Its neurons make the steps; a latency is the first spike of each, so their sum so far."""
    made = Encoded(encoder(30))
    if behind == "sequences":
        made = nn.Sequential(
            made.encoder, norse.SequentialState(nn.Linear(IN, HIDDEN), norse.LIF(PLAIN, dt=1.0))
        )
    model = strong(made, 4.0)
    xs = 3 * torch.rand(5, IN, generator=torch.Generator().manual_seed(1))
    sample = torch.rand(2, IN)

    def run(model, xs):
        out = model(xs)
        return out[0] if isinstance(out, tuple) else out

    graph = held_equal(model, sample, xs, run)
    assert graph.nodes["input"].hold == 30
    kinds = {type(node) for node in graph.flat().nodes.values()}
    assert (ir.Accumulate in kinds) == accumulates


# Refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize("behind", [[], [nn.Linear(HIDDEN, 5), norse.LICell()]])
def test_a_cell_that_forgets_its_input_is_refused(behind):
    """Norse's CobaLIFCell overwrites what the input adds to its conductances, at every step."""
    model = norse.SequentialState(norse.CobaLIFCell(IN, HIDDEN), *behind)
    with torch.no_grad():
        runs = [handing_on(model, k * torch.rand(9, 2, IN)) for k in (0, 1, 100)]
    assert torch.equal(runs[0], runs[1])
    assert torch.equal(runs[0], runs[2])
    assert runs[0].any()
    with pytest.raises(UnsupportedError) as error:
        bridge.to_ir(model, torch.rand(2, IN))
    assert "does not depend on the input" in str(error.value)


def test_random_encoders_are_refused():
    with pytest.raises(UnsupportedError) as error:
        bridge.to_ir(Encoded(norse.PoissonEncoder(20)), torch.rand(2, IN))
    assert "random" in str(error.value)
    assert "encoder" in str(error.value)


def test_an_encoder_that_looks_at_the_other_samples_is_refused():
    """Its scale is the largest value of the whole batch."""
    with pytest.raises(UnsupportedError) as error:
        bridge.to_ir(nn.Sequential(norse.PopulationEncoder(4)), torch.rand(2, IN))
    assert "across the batch" in str(error.value)
    assert "module '0'" in str(error.value)


def test_the_synapse_of_a_converter_that_lags_is_told():
    """The current of a step drives the membrane in it: a converter that waits gives another."""
    model = norse.SequentialState(norse.LIFCell(PLAIN, dt=1.0))
    graph = bridge.to_ir(model, torch.rand(1, IN))
    late = ir.Graph(
        {**graph.nodes, "wait": ir.Delay(delay=torch.ones(1).numpy())},
        [("input", "wait"), ("wait", "0"), ("0", "output")],
    )
    assert not bridge.verify(model, late, 4 * torch.rand(50, 2, IN))


@pytest.mark.parametrize("v", [0.25, 0.0])
def test_a_state_given_by_hand_is_at_rest_or_refused(v, tmp_path):
    """This neuron rests at its leak potential, 0.25."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.cell = nn.Linear(IN, HIDDEN), norse.LIFCell(MOVED, dt=1.0)

        def forward(self, xs):
            v = torch.full((xs.shape[1], HIDDEN), v_start)
            state = lif.LIFFeedForwardState(v=v, i=torch.zeros_like(v))
            out = []
            for x in xs:
                z, state = self.cell(self.fc(x), state)
                out.append(z)
            return torch.stack(out)

    v_start = v
    if v == 0.25:
        agree(Net(), lambda xs: xs[:3], tmp_path, False)
        return
    with pytest.raises(UnsupportedError, match=r"not its rest, 0\.25"):
        bridge.to_ir(Net(), torch.rand(3, 2, IN))
