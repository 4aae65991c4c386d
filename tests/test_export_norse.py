"""Norse's neurons keep their meaning: against Norse itself, over 200 steps."""

import pytest
import torch
from torch import nn

from t1c.ir.errors import UnsupportedError

from .export_helpers import bridge, ir, types_of
from .peers import HIDDEN, IN, agree, peer

norse = peer("norse.torch")
lif, lif_box, reset, iaf, leaky, leaky_box = peer(
    *(
        f"norse.torch.functional.{n}"
        for n in ("lif", "lif_box", "reset", "iaf", "leaky_integrator", "leaky_integrator_box")
    )
)


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


# Refusals --------------------------------------------------------------------------------------


def refused(cell):
    with pytest.raises(UnsupportedError) as error:
        bridge.to_ir(norse.SequentialState(cell), torch.rand(2, IN))
    return str(error.value)


@pytest.mark.parametrize("name", ["LIFAdExCell", "LIFExCell", "IzhikevichCell"])
def test_another_neuron_is_refused_by_name(name):
    behaviour = [norse.tonic_spiking] if name == "IzhikevichCell" else []
    assert f"Norse's {name}" in refused(getattr(norse, name)(*behaviour))


def test_recurrence_inside_of_a_neuron_is_refused():
    assert "Norse's LIFRecurrentCell" in refused(norse.LIFRecurrentCell(IN, 4))


def test_another_step_function_is_refused():
    def slow(x, state, p, dt):
        return x, state

    cell = norse.LIFCell()
    cell.activation = slow
    assert "the step function slow" in refused(cell)


def test_a_leak_of_an_integrator_is_refused():
    cell = norse.LICell(leaky.LIParameters(**numbers(v_leak=0.5)))
    assert "v_leak = 0.5" in refused(cell)


def test_a_step_that_is_too_long_is_refused():
    assert "dt * tau_mem_inv = 100" in refused(norse.LIBoxCell(dt=1.0))


def test_another_reset_method_is_refused():
    def half(z, v, target, threshold):
        return v - z * threshold / 2

    p = lif_box.LIFBoxParameters(reset_method=half)
    assert "reset_method=half" in refused(norse.LIFBoxCell(p))


def test_a_subtraction_from_a_leak_potential_is_refused():
    p = lif_box.LIFBoxParameters(reset_method=reset.reset_subtract, **numbers(v_leak=0.5))
    assert "reset_subtract in a neuron that starts at 0.5" in refused(norse.LIFBoxCell(p))


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
