"""Random NIR graphs, and what they compute by NIR's own equations, in seconds.

``nir_graphs()`` draws graphs as a ``.nir`` file holds them: every type, parameters in several
precisions and shapes, fields left out where NIR allows it, branches that meet, loops, delays,
subgraphs, metadata. ``by_definition`` runs one without ``t1c``: forward Euler on the fields.
"""

import dataclasses
import itertools
from typing import Any

import numpy as np
from hypothesis import strategies as st

from t1c import nir
from t1c.nir.file_read import read_raw
from t1c.nir.raw import NirGraph, NirNode

FLOATS = ("float32", "float64", "float16")
DTS = (1e-4, 1e-3, 0.02, 1.0)


def read(path: Any, **options: Any) -> Any:
    """``t1c.nir.read``, for tests that look into nodes of types they know."""
    return nir.read(path, **options)


def raw_at(path: Any) -> Any:
    """The plain values in a file, likewise."""
    return read_raw(path)


@dataclasses.dataclass
class Drawn:
    """A NIR graph, a dt that fits its time constants, and the edges that run back."""

    raw: NirGraph
    dt: float
    back: list[tuple[str, str]]


@dataclasses.dataclass
class _Draw:
    draw: Any
    rng: np.random.Generator
    dt: float

    def choice(self, *options: Any) -> Any:
        return self.draw(st.sampled_from(options))

    def odds(self, one_in: int) -> bool:
        one: int = self.draw(st.integers(1, one_in))
        return one == 1

    def array(self, *shape: int, low: float = -1.0, high: float = 1.0) -> Any:
        values = low + (high - low) * self.rng.random(shape)
        return values.astype(self.choice(*FLOATS[:2]))

    def neuron(self, *shape: int) -> NirNode:
        """A neuron of ``shape``; now and then its parameters are single numbers."""
        kind = self.choice("IF", "I", "LIF", "LI", "CubaLIF", "CubaLI")
        form = self.choice((), (1,)) if self.odds(6) else shape
        dtype = self.choice(*FLOATS)
        # In half precision a time constant of a ten-thousandth of a second has few digits.
        longest = 1.0 if dtype == "float16" else 20.0
        tau = lambda: self.dt * (2 + longest * self.rng.random(form))  # noqa: E731
        fields: dict[str, Any] = {}
        if "LI" in kind:
            names = ("tau_syn", "tau_mem") if "Cuba" in kind else ("tau",)
            fields |= {name: tau() for name in names}
            fields["r"] = 1 + 3 * self.rng.random(form)
            fields["v_leak"] = self.choice(0.0, 0.3) * self.rng.random(form)
        else:
            fields["r"] = (0.5 + self.rng.random(form)) / self.dt
        if kind.endswith("F"):
            fields["v_threshold"] = 0.4 + self.rng.random(form)
            reset = self.choice("absent", "zero", "value")
            if reset != "absent":
                fields["v_reset"] = (
                    self.rng.random(form) - 0.5 if reset == "value" else np.zeros(form)
                )
        if "Cuba" in kind and not self.odds(4):
            fields["w_in"] = 1 + self.rng.random(form)
        if dtype == "float16" and self.dt < 1e-3:
            dtype = "float32"
        return NirNode(kind, {n: np.asarray(v).astype(dtype) for n, v in fields.items()})

    def vector(self, n: int) -> tuple[NirNode, int]:
        """A node that takes (n,), and how many it sends."""
        kind = self.choice("Affine", "Linear", "Scale", "Threshold", "Delay", "neuron", "neuron")
        if kind in ("Affine", "Linear"):
            out = self.draw(st.integers(1, 5))
            fields = {"weight": self.array(out, n)}
            return NirNode(
                kind, fields | ({"bias": self.array(out)} if kind == "Affine" else {})
            ), out
        if kind == "neuron":
            return self.neuron(n), n
        if kind == "Delay":
            steps = self.rng.integers(0, 4, n) + self.choice(0.0, 0.2)
            return NirNode(
                "Delay", {"delay": (steps * self.dt).astype(self.choice(*FLOATS[:2]))}
            ), n
        field = kind.lower()
        return NirNode(kind, {field: self.array(n)}), n

    def image(self) -> tuple[dict[str, NirNode], tuple[int, ...], int]:
        """A short convolutional stack: its nodes in order, what it takes, how many it sends."""
        size, channels = 8, self.draw(st.integers(1, 2))
        groups = channels if self.odds(3) else 1
        padding = self.choice("valid", (1, 0), np.array([0, 2]))
        weight = self.array(2 * channels, channels // groups, 3, 2)
        shape = (channels, size, size)
        fields = {"weight": weight, "bias": self.array(2 * channels), "groups": groups}
        fields |= {"stride": self.choice(1, (2, 1)), "padding": padding, "dilation": (1, 1)}
        if not self.odds(3):
            fields["input_shape"] = (size, size)
        stride = np.broadcast_to(fields["stride"], 2)
        pad = np.zeros(2, int) if isinstance(padding, str) else np.asarray(padding)
        high, wide = (size + 2 * pad - np.array([3, 2])) // stride + 1
        pool = self.choice("SumPool2d", "AvgPool2d")
        pairs = {n: np.array(v) for n, v in (("kernel_size", [2, 2]), ("stride", [2, 1]))}
        # A pool of 2 x 2 with a stride of (2, 1) and a padding of 1 all around.
        pooled = (2 * channels, high // 2 + 1, wide + 1)
        flat: dict[str, Any] = {"start_dim": 0, "end_dim": -1}
        if not self.odds(3):
            flat["input_type"] = np.array(pooled)
        nodes = {
            "conv": NirNode("Conv2d", fields),
            "spikes": self.neuron(2 * channels, int(high), int(wide)),
            "pool": NirNode(pool, {**pairs, "padding": np.array([1, 1])}),
            "flat": NirNode("Flatten", flat),
        }
        return nodes, shape, int(np.prod(pooled))

    def metadata(self) -> dict[str, Any]:
        if not self.odds(3):
            return {}
        return {"note": "é", "gain": np.float32(0.1), "n": np.int16(3), "dt": 0.5, "yes": True,
                "deep": {"a": np.arange(3), "b": np.float16(2.5), "names": ["x", "y"]},
                "m": np.ones((2, 2), np.float32)}  # fmt: skip


@st.composite
def nir_graphs(draw: Any, depth: int = 0, features: int | None = None) -> Drawn:
    """A NIR graph with one Input, and Outputs at every end."""
    d = _Draw(
        draw, np.random.default_rng(draw(st.integers(0, 2**32 - 1))), draw(st.sampled_from(DTS))
    )
    return _graph(d, depth, features)


def _graph(d: _Draw, depth: int, features: int | None) -> Drawn:
    nodes: dict[str, Any] = {}
    edges: list[tuple[str, str]] = []
    back: list[tuple[str, str]] = []
    sends: dict[str, int] = {}
    if features is None and d.odds(4):
        stack, shape, out = d.image()
        nodes["in"] = NirNode("Input", {"shape": np.array(shape)})
        nodes |= stack
        names = list(nodes)
        edges += itertools.pairwise(names)
        sends["flat"] = out
    else:
        n = features or d.draw(st.integers(1, 5))
        nodes["in"] = NirNode("Input", {"shape": np.array([n])})
        sends["in"] = n
    for k in range(d.draw(st.integers(1, 6))):
        name = f"{d.choice('b', 'a', 'layer.', 'ñ ')}{k}"
        source = d.choice(*sends)
        n = sends[source]
        if depth == 0 and d.odds(6):
            inner = _graph(d, depth + 1, n)
            last: Any = list(inner.raw.nodes.values())[-1]
            nodes[name], out = inner.raw, int(last.fields["shape"][0])
        else:
            nodes[name], out = d.vector(n)
        edges.append((source, name))
        others = [s for s in sends if sends[s] == n and s != source]
        if others and d.odds(3):
            edges.append((d.choice(*others), name))
        if isinstance(nodes[name], NirNode) and nodes[name].type.endswith("IF") and d.odds(3):
            # A loop through a linear node; the neuron's own edges run back.
            nodes[f"{name}.rec"] = NirNode("Linear", {"weight": d.array(n, n)})
            edges += [(name, f"{name}.rec"), (f"{name}.rec", name)]
            back.append((name, f"{name}.rec"))
        sends[name] = out
    ends = [s for s in sends if s not in {a for a, _ in edges} - {a for a, _ in back}]
    ends = ends if depth == 0 else ends[-1:]
    for k, end in enumerate(ends):
        nodes[f"out{k}"] = NirNode("Output", {"shape": np.array([sends[end]])})
        edges.append((end, f"out{k}"))
    dead = _dead(nodes, edges)
    nodes = {name: node for name, node in nodes.items() if name not in dead}
    edges = [e for e in edges if not dead & set(e)]
    for node in nodes.values():
        node.metadata = d.metadata()
    names = d.draw(st.permutations(list(nodes)))
    if depth:
        names.sort(key=lambda name: name.startswith("out"))
    raw = NirGraph(
        {name: nodes[name] for name in names}, d.draw(st.permutations(edges)), d.metadata()
    )
    return Drawn(raw, d.dt, [e for e in back if e in edges])


def _dead(nodes: dict[str, Any], edges: list[tuple[str, str]]) -> set[str]:
    useful = {name for name in nodes if name.startswith("out")}
    while True:
        more = {a for a, b in edges if b in useful} | useful
        if more == useful:
            return set(nodes) - useful
        useful = more


# What a graph computes, by NIR's equations -------------------------------------------------------


class ByDefinition:
    """Runs a NIR graph without loops through subgraphs, one step of forward Euler after another."""

    def __init__(self, raw: NirGraph, dt: float, back: list[tuple[str, str]]) -> None:
        self.raw, self.dt, self.back = raw, dt, back
        self.state: dict[str, Any] = {}
        self.inner: dict[str, ByDefinition] = {}
        self.order = self._order()

    def _order(self) -> list[str]:
        done: list[str] = []
        ahead = [e for e in self.raw.edges if e not in self.back]
        while len(done) < len(self.raw.nodes):
            done += [
                n
                for n in self.raw.nodes
                if n not in done and all(a in done for a, b in ahead if b == n)
            ]
        return done

    def step(self, x: Any) -> dict[str, Any]:
        """What every node sends in a step."""
        sent: dict[str, Any] = {}
        before = self.state.get("", {})
        for name in self.order:
            node = self.raw.nodes[name]
            total: Any = None
            for a, b in self.raw.edges:
                if b == name:
                    value = before.get(a, 0.0) if (a, b) in self.back else sent[a]
                    total = value if total is None else total + value
            if isinstance(node, NirGraph):
                runner = self.inner.setdefault(name, ByDefinition(node, self.dt, _self_loops(node)))
                sent[name] = next(v for n, v in runner.step(total).items() if n.startswith("out"))
            elif node.type == "Input":
                sent[name] = x
            else:
                sent[name] = self._node(name, node, np.asarray(total, np.float64))
        self.state[""] = sent
        return sent

    def _node(self, name: str, node: NirNode, x: Any) -> Any:
        f: dict[str, Any] = {
            k: v if isinstance(v, str) else _wide(np.asarray(v)) for k, v in node.fields.items()
        }
        if node.type in ("Affine", "Linear"):
            if x.ndim == 0:  # nothing came back yet
                x = np.zeros((1, f["weight"].shape[1]))
            return x @ f["weight"].T + f.get("bias", 0.0)
        if node.type == "Scale":
            return x * f["scale"]
        if node.type == "Threshold":
            return (x > f["threshold"]).astype(float)
        if node.type == "Output":
            return x
        if node.type == "Flatten":
            return x.reshape(len(x), -1)
        if node.type == "Delay":
            line = self.state.setdefault(name, [])
            line.append(x)
            steps = [round(float(v) / self.dt) for v in np.ravel(f["delay"])]
            past = [
                line[-1 - k][:, i] if k < len(line) else 0 * x[:, i] for i, k in enumerate(steps)
            ]
            return np.stack(past, axis=1)
        if node.type in ("Conv2d", "SumPool2d", "AvgPool2d"):
            return _spatial(node.type, f, x)
        return self._neuron(name, node.type, f, x)

    def _neuron(self, name: str, kind: str, f: dict[str, Any], x: Any) -> Any:
        dt, zero = self.dt, np.zeros_like(x)
        i, v = self.state.get(name, (zero, zero))
        if kind.startswith("Cuba"):
            i = i + dt / f["tau_syn"] * (f.get("w_in", 1.0) * x - i)
            x = i
        tau = f.get("tau", f.get("tau_mem"))
        v = v + (dt * f["r"] * x if tau is None else dt / tau * (f["v_leak"] - v + f["r"] * x))
        out = v
        if "v_threshold" in f:
            out = (v > f["v_threshold"]).astype(float)
            v = np.where(out > 0, f.get("v_reset", 0.0), v)
        self.state[name] = (i, v)
        return out


def _wide(value: Any) -> Any:
    return value.astype(np.float64) if value.dtype.kind == "f" else value


def _self_loops(raw: NirGraph) -> list[tuple[str, str]]:
    return [(a, b) for a, b in raw.edges if b == f"{a}.rec"]


def _spatial(kind: str, f: dict[str, Any], x: Any) -> Any:
    """Convolution and pooling by their sums, window by window."""
    pad = np.zeros(2, int) if isinstance(f["padding"], str) else f["padding"]
    stride = np.broadcast_to(f["stride"], 2)
    padded = np.pad(x, [(0, 0), (0, 0), (pad[0],) * 2, (pad[1],) * 2])
    kernel = f["weight"].shape[2:] if kind == "Conv2d" else tuple(f["kernel_size"])
    counts = [(padded.shape[2 + a] - kernel[a]) // stride[a] + 1 for a in (0, 1)]
    rows = []
    for i in range(counts[0]):
        row = []
        for j in range(counts[1]):
            h, w = i * stride[0], j * stride[1]
            window = padded[:, :, h : h + kernel[0], w : w + kernel[1]]
            if kind == "Conv2d":
                groups = int(f["groups"])
                parts = [
                    np.einsum("bchw,ochw->bo", a, b)
                    for a, b in zip(
                        np.split(window, groups, 1), np.split(f["weight"], groups), strict=True
                    )
                ]
                row.append(np.concatenate(parts, axis=1) + f["bias"])
            else:
                total = window.sum((2, 3))
                row.append(total / np.prod(kernel) if kind == "AvgPool2d" else total)
        rows.append(np.stack(row, -1))
    return np.stack(rows, -2)


def by_definition(drawn: Drawn, xs: Any) -> dict[str, Any]:
    """Output name -> (T, B, ...), for ``xs`` (T, B, ...)."""
    runner = ByDefinition(drawn.raw, drawn.dt, drawn.back)
    steps = [runner.step(np.asarray(x, np.float64)) for x in xs]
    outputs = [n for n, node in drawn.raw.nodes.items() if getattr(node, "type", "") == "Output"]
    return {name: np.stack([step[name] for step in steps]) for name in outputs}
