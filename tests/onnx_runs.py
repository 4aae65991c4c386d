"""ONNX models run by onnxruntime, beside the reference."""

import warnings

import numpy as np

from t1c import deploy, ir

from .peers import peer

onnx, ort = peer("onnx", "onnxruntime")


class Model:
    """A graph as an ONNX model in onnxruntime, run as its user would."""

    def __init__(self, graph, folder, **options):
        self.graph = graph
        path = folder / "model.onnx"
        self.report = deploy.to_onnx(graph, path, **options)
        self.session = session(path)
        self.outputs = list(graph.outputs())
        self.states = {p.name: f"next/{p.name[6:]}" for p in self.report.states}

    def __call__(self, inputs, states=None):
        """Outputs by name, and the states for the next call."""
        names = [*self.outputs, *self.states.values()]
        found = dict(zip(names, self.session.run(names, {**inputs, **(states or {})}), strict=True))
        return (
            {name: found[name] for name in self.outputs},
            {name: found[after] for name, after in self.states.items()},
        )

    def steps(self, inputs):
        """All steps of a sequence, one call for each."""
        states, sent = {}, []
        for t in range(len(next(iter(inputs.values())))):
            out, states = self({name: x[t] for name, x in inputs.items()}, states)
            sent.append(out)
        last = {name for name, node in self.graph.outputs().items() if node.final}
        outs = {n: sent[-1][n] if n in last else np.stack([o[n] for o in sent])
                for n in self.outputs}  # fmt: skip
        return outs, states


def session(path):
    options = ort.SessionOptions()
    # States that need not be given are no constants: of this, onnxruntime warns.
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def reference(graph, inputs, dtype="float32", **options):
    """Outputs by name, and the states as a model names them."""
    runner = ir.Reference(graph, dtype)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        out, state = runner.run(inputs, **options)
    outs = out if isinstance(out, dict) else {next(iter(graph.outputs())): out}
    named = {}
    for name, values in state.items():
        words = list(runner.nodes[name].state_names)
        words += ["sent"] if name in runner.plan.fed_back else []
        named |= {f"state/{name}/{w}": v for w, v in zip(words, values, strict=True) if v.size}
    return outs, named


def differing(found, expected):
    """How many numbers differ, NaN being equal to NaN."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].shape == value.shape, name
        assert found[name].dtype == value.dtype, name
    return sum(
        int((~((found[n] == v) | ((found[n] != found[n]) & (v != v)))).sum())
        for n, v in expected.items()
    )
