"""What the tests of the export share: dyadic models, and the way there and back."""

from typing import Any

import numpy as np
import torch
from torch import nn

import t1c.bridge
import t1c.ir

# Tests look into nodes and modules whose types they know: seen through these, all are Any.
bridge: Any = t1c.bridge
ir: Any = t1c.ir


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
