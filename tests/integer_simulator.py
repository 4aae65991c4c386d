"""A network of integers by hand: int64 and >>, after docs/meaning.md, "Integers".

Only the numbers are read from the graph; which reset a neuron has comes from the network of real
numbers that it was made of.
"""

import numpy as np

from t1c import ir


def saturate(x, bits):
    return np.clip(x, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def whole(array):
    found = np.asarray(array, np.float64)
    assert (found == np.rint(found)).all()
    return found.astype(np.int64)


def over(value, x):
    """A parameter over features (B, *features)."""
    value = whole(value)
    return value if value.ndim in (0, x.ndim - 1) else value.reshape(-1, *[1] * (x.ndim - 2))


class Neuron:
    """One step of the formula, in the order of the real neuron's options."""

    def __init__(self, graph, real, shape, accumulator_bits, state_bits):
        n = self.nodes = graph.nodes
        self.real, self.accumulator, self.state = real, accumulator_bits, state_bits
        self.v = np.zeros(shape, np.int64)
        self.i = np.zeros(shape, np.int64)
        self.theta = whole(n["spikes"].threshold) if "spikes" in n else None

    def decayed(self, value, variable):
        if not hasattr(self.real, "tau") and not hasattr(self.real, "tau_mem"):
            return value
        if f"{variable}_times" not in self.nodes:
            return value * 0
        k = int(-np.log2(float(self.nodes[f"{variable}_shifted"].scale)))
        return (over(self.nodes[f"{variable}_times"].scale, value) * value) >> k

    def raised(self, value, variable):
        if f"{variable}_lowered" in self.nodes:
            return value >> int(-np.log2(float(self.nodes[f"{variable}_lowered"].scale)))
        node = self.nodes.get(f"{variable}_raised")
        return value if node is None else value << int(np.log2(int(node.scale)))

    def amount(self, spikes):
        node = self.nodes.get("taken") or self.nodes.get("due_taken")
        return -over(node.scale, spikes) * spikes

    def target(self, name, x):
        node = self.nodes.get(f"{name}_value")
        return np.zeros_like(x) if node is None else np.zeros_like(x) + over(node.shift, x)

    def step(self, x):
        real, x = self.real, saturate(x, self.accumulator)
        if hasattr(real, "tau_syn"):
            self.i = saturate(self.decayed(self.i, "i") + self.raised(x, "i"), self.state)
            x = self.i
        x = self.raised(x, "v")
        leak = getattr(self.nodes["u"], "shift", None)
        leak = 0 if leak is None else over(leak, x)
        if self.theta is None:
            self.v = saturate(self.decayed(self.v, "v") + x + leak, self.state)
            return self.v
        theta, mode, v = over(self.theta, x), real.reset_mode, self.v
        due = (v >= theta).astype(np.int64)
        if real.reset_delay and mode in ("zero", "value"):
            v = np.where(due > 0, self.target("started", v), v)
        u = self.decayed(v, "v") + x + leak
        if (real.reset_delay and mode == "subtract") or mode == "carry":
            u = u - self.amount(due)
        if mode == "hold":
            u = np.where(due > 0, 0, u)
        s = (u >= theta).astype(np.int64)
        after = u
        if mode == "carry":
            after = u - self.amount(s) + self.amount(due)
        elif not real.reset_delay and mode == "subtract":
            after = u - self.amount(s)
        elif not real.reset_delay and mode in ("zero", "value"):
            after = np.where(s > 0, self.target("after", u), u)
        low = over(self.nodes["kept"].low, x)
        self.v = np.minimum(np.maximum(after, low), 2 ** (self.state - 1) - 1)
        return s


def convolve(x, node):
    """A convolution of stride 1 and one group, tap by tap."""
    w, (p, q) = whole(node.weight), node.padding
    padded = np.pad(x, [(0, 0), (0, 0), (p, p), (q, q)])
    rows, columns = padded.shape[2] - w.shape[2] + 1, padded.shape[3] - w.shape[3] + 1
    total = np.zeros((len(x), len(w), rows, columns), np.int64) + whole(node.bias)[:, None, None]
    for c in range(w.shape[1]):
        for i in range(w.shape[2]):
            for j in range(w.shape[3]):
                window = padded[:, c, i : i + rows, j : j + columns]
                total += w[:, c, i, j][:, None, None] * window[:, None]
    return total


def pool(x, how):
    b, c, h, w = x.shape
    return getattr(x.reshape(b, c, h // 2, 2, w // 2, 2), how)(axis=(3, 5))


class Simulator:
    """Runs the nodes that the networks of these tests are made of."""

    def __init__(self, graph, real, batch):
        self.graph, self.note = graph, graph.metadata["quantized"]
        self.neurons, self.late = {}, {}
        for name, node in graph.nodes.items():
            shape = (batch, *tuple(node.output_type["output"]))
            if isinstance(node, ir.Graph):
                bits = self.note["accumulator_bits"], self.note["state_bits"]
                self.neurons[name] = Neuron(node, real.nodes[name], shape, *bits)
            elif isinstance(node, ir.Delay):
                self.late[name] = np.zeros(shape, np.int64)
        self.before = graph.topology().before
        forward = [e for e in graph.edges if e[1] not in self.late]
        self.order = ir.topology.Topology(graph.nodes, forward).order()

    def step(self, x):
        """What every node sends, for an input (B, *shape) of floats."""
        sent = dict(self.late)
        for name in self.order:
            node = self.graph.nodes[name]
            if name in sent:
                continue
            if isinstance(node, ir.Input):
                sent[name] = x
                continue
            sources = self.before[name]
            arriving = sent[sources[0]] if len(sources) == 1 else sum(sent[s] for s in sources)
            sent[name] = self.node(name, node, arriving)
        self.late = {name: sum(sent[s] for s in self.before[name]) for name in self.late}
        return sent

    def node(self, name, node, x):
        if name in self.neurons:
            return self.neurons[name].step(x)
        if name.endswith(".counted"):
            return x * float(node.scale)  # the one float: the input, by a power of two
        if name.endswith(".clipped"):
            return np.clip(x, int(node.low), int(node.high))
        if name.endswith(".rounded"):
            return np.rint(x).astype(np.int64)
        if isinstance(node, ir.SpikingAffine):
            return x @ whole(node.weight).T + whole(node.bias)
        if isinstance(node, ir.Conv2d):
            return convolve(x, node)
        if isinstance(node, ir.Clip):
            return np.clip(x, int(node.low), int(node.high))
        if isinstance(node, ir.MaxPool2d | ir.SumPool2d):
            return pool(x, "max" if isinstance(node, ir.MaxPool2d) else "sum")
        if isinstance(node, ir.Flatten):
            return x.reshape(len(x), -1)
        if isinstance(node, ir.Scale) and not name.endswith(".real"):
            if name.endswith(".times"):
                return x * over(node.scale, x)
            return x, int(-np.log2(float(node.scale)))  # a shift, that the floor behind it does
        if isinstance(node, ir.Shift):
            return x + over(node.shift, x)
        if isinstance(node, ir.Unary):
            value, k = x
            return value >> k
        assert isinstance(node, ir.Identity | ir.Output | ir.Skip), name
        return x
