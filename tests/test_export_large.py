"""Large models: activations are let go of while they are recorded, and nothing else changes."""

import gc
import importlib
import weakref

import pytest
import snntorch as snn
import torch
from torch import nn

from t1c.ir.errors import T1CError

from .export_helpers import Wrapped, bridge, drawn, dyadic, equal, same, spikes, whole

trace = importlib.import_module("t1c.bridge.tracing.trace")


@pytest.fixture
def all_large(monkeypatch):
    """Every model is taken for a large one."""
    monkeypatch.setattr(trace, "LARGE", 0)


class Leaky(nn.Module):
    """A readout whose first step is an exception, which only numbers explain."""

    def __init__(self):
        super().__init__()
        self.fc, self.v = nn.Linear(6, 4), None

    def forward(self, x):
        x = self.fc(x)
        self.v = x if self.v is None else 0.5 * self.v + x
        return (self.v > 1).float() + 0.25 * self.v


def test_a_first_step_is_explained_when_numbers_were_not_kept(all_large):
    model = dyadic(Leaky(), 1.0)
    graph = bridge.to_ir(model, drawn(2, 6))
    kinds = {node.primitive for node in graph.nodes.values()}
    assert "LI" in kinds
    assert not kinds & {"Delay", "Where"}
    xs = drawn(30, 3, 6, seed=1)
    model.v = None
    want = torch.stack([model(x) for x in xs]).detach()
    assert 0 < int((want > 1).sum()) < want.numel()
    assert same(bridge.ir_to_torch(graph).run(xs)[0].detach(), want)


def test_what_is_let_go_of_during_the_run(all_large):
    alive = []

    def forward(model, x):
        seen = []
        for layer in model.layers:
            x = torch.relu(layer(x)) + 0.0
            seen.append(weakref.ref(x))
        gc.collect()
        alive.append([one() is not None for one in seen])
        return x

    torch.manual_seed(0)
    layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(6))
    gc.freeze()  # all that is there stays, and need not be looked through again and again
    bridge.to_ir(Wrapped(forward, layers=layers), torch.rand(2, 8), verify=False)
    assert alive
    assert all(seen == [False] * 5 + [True] for seen in alive)


def test_what_outlives_its_tensor_in_memory_is_no_constant(all_large):
    # Without the tensor, nothing but its memory tells that these numbers come from the input.
    def forward(model, x):
        hidden = model.fc(x)
        storage, shape, strides = hidden.untyped_storage(), hidden.shape, hidden.stride()
        offset = hidden.storage_offset()
        del hidden
        with torch._C.DisableTorchFunction(), torch.utils._python_dispatch._disable_current_modes():
            other = torch.empty(0).set_(storage, offset, shape, strides)
        return model.head(x) + other

    model = Wrapped(forward, fc=nn.Linear(6, 4), head=nn.Linear(6, 4))
    with pytest.raises(T1CError, match="a view of a value that was made where it cannot be follow"):
        bridge.to_ir(model, torch.rand(2, 6), verify=False)


def test_the_same_graph_as_of_a_small_model(monkeypatch):
    def forward(model, x):
        mem, out = model.lif.init_leaky(), []
        for x_t in x:
            spk, mem = model.lif(model.fc(x_t), mem)
            out.append(spk)
        return torch.stack(out).mean(0)

    model = dyadic(Wrapped(forward, fc=nn.Linear(5, 7), lif=snn.Leaky(0.5)))
    small = bridge.to_ir(model, spikes(4, 2, 5))
    monkeypatch.setattr(trace, "LARGE", 0)
    large = bridge.to_ir(model, spikes(4, 2, 5))
    assert large.equals(small), large.difference(small)
    equal(model, spikes(4, 2, 5), spikes(30, 3, 5, seed=2), run=whole)
