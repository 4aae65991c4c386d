"""What the tests of the export share: dyadic models, and the way there and back."""

import copy
from typing import Any

import numpy as np
import snntorch as snn
import torch
from torch import nn

import t1c.bridge
import t1c.ir

# Tests look into nodes and modules whose types they know: seen through these, all are Any.
bridge: Any = t1c.bridge
ir: Any = t1c.ir

LENGTH, SAMPLES = 30, 3
"""Steps and samples of the inputs that a model and its graph are compared on."""


def dyadic(model, scale=2.0, seed=0):
    """Weights and biases k/256, so that sums are exact in any order."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.split(".")[-1] in ("weight", "bias", "V"):
                drawn = torch.randint(-256, 257, p.shape, generator=generator) / 256
                p.copy_(drawn * scale)
    return model


def spikes(*shape, seed=0, density=0.5):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(*shape, generator=generator) < density).float()


def drawn(*shape, seed=0):
    """Inputs k/4 between -1 and 3, which drive neurons and let them rest."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-4, 13, shape, generator=generator) / 4


def written(graph, tmp_path):
    """The graph as it comes back from a file."""
    path = tmp_path / "model.t1c"
    ir.write(path, graph)
    back = ir.read(path)
    assert back.equals(graph), back.difference(graph)
    return back


def there_and_back(model, sample, tmp_path, **options):
    """The executor of the exported, written, read and imported graph."""
    graph = bridge.to_ir(model, sample, **options)
    return bridge.ir_to_torch(written(graph, tmp_path))


def edges_of(graph):
    return [(str(a), str(b)) for a, b in graph.edges]


def types_of(graph):
    return {name: node.primitive for name, node in graph.nodes.items()}


def same(a, b):
    """Whether two tensors hold the same numbers, and something happens in them."""
    return a.shape == b.shape and bool((a == b).all())


class Wrapped(nn.Module):
    """A model whose forward is a function, with modules; or values, which it may overwrite."""

    def __init__(self, function, **members):
        super().__init__()
        self.function = function
        for name, member in members.items():
            setattr(self, name, member)

    def forward(self, *args):
        return self.function(self, *args)


def net(forward, features=6, **members):
    """A model of two layers around a neuron, of whatever ``forward(model, x)`` does with them."""
    torch.manual_seed(0)
    members = {"fc": nn.Linear(features, 8), "head": nn.Linear(8, 4), **members}
    return dyadic(Wrapped(forward, lif=snn.Leaky(0.5), **members), 1.0)


def fired(model, xs):
    """The spikes of every step, as a list."""
    mem, out = None, []
    for x in xs:
        spk, mem = model.lif(model.fc(x), mem)
        out.append(spk)
    return out


def stepped(model, xs):
    return torch.stack([model(x) for x in xs])


def whole(model, xs):
    return model(xs)


def equal(model, sample, xs, run=stepped, atol=0.0):
    """The graph of a model, once both have given the same for ``xs``.

    The graph runs, and steps, on ``xs`` (T, B, *shape), or (B, *shape) where its input is held;
    ``run(model, xs)`` is what the model gives from rest, time first. With dyadic weights the
    numbers are the same; ``atol`` is for those that are not.
    """
    model.eval()
    with torch.no_grad():
        wanted = run(copy.deepcopy(model), xs)
    graph = bridge.to_ir(model, sample)
    with torch.no_grad():
        again = run(copy.deepcopy(model), xs)
    assert torch.equal(again, wanted), "the export changed the model"
    executor = bridge.ir_to_torch(graph, return_state=True)
    (given,), (given_back,) = graph.inputs().values(), graph.outputs().values()
    state, turns = {}, []
    with torch.no_grad():
        found, _ = executor.run(xs)
        for t in range(given.hold or len(xs)):
            out, state = executor(xs if given.hold else xs[t], state)
            turns.append(out)
    steps = turns[-1] if given_back.final else torch.stack(turns)
    torch.testing.assert_close(found, wanted, rtol=0, atol=atol)
    torch.testing.assert_close(steps, wanted, rtol=0, atol=atol)
    assert wanted.count_nonzero() > wanted.numel() // 10, "next to nothing happens"
    assert (wanted != wanted.flatten()[0]).any(), "nothing differs"
    return graph


class Loop(nn.Module):
    """One neuron between two layers, stepped over time as snnTorch's tutorials do it."""

    def __init__(self, neuron, features=6, hidden=8, states=1):
        super().__init__()
        self.fc = nn.Linear(features, hidden)
        self.neuron = neuron
        self.states = states

    def forward(self, x):
        state = [None] * self.states
        out, last = [], []
        for x_t in x:
            result = self.neuron(self.fc(x_t), *state)
            # The recurrent ones take their spikes back too.
            state = result[-self.states :]
            out.append(result[0])
            last.append(state[-1])
        return torch.stack(out), torch.stack(last)


def reference(graph, xs):
    """What the graph means, in float32."""
    return ir.Reference(graph, np.float32).run(xs.numpy())
