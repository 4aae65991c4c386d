"""Small ONNX models, what onnxruntime gives of them, and what their graphs give."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from t1c import ir
from t1c.onnx import from_onnx


def made(nodes, shape, constants=None, opset=17, outputs=("y",), batch="batch", inputs=("x",),
    gives=None):  # fmt: skip
    """A model of nodes, with inputs of one shape and arrays by name.

    ``gives`` is the shape of its outputs, where the onnx package cannot infer it.
    """
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "model",
        [value(name, TensorProto.FLOAT, [batch, *shape]) for name in inputs],
        [value(name, TensorProto.FLOAT, gives and [batch, *gives]) for name in outputs],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in (constants or {}).items()],
    )
    versions = [helper.make_opsetid("", opset)]
    model = helper.make_model(graph, opset_imports=versions, ir_version=min(10, 3 + opset // 2))
    return onnx.shape_inference.infer_shapes(model)


def node(op, inputs="x", outputs="y", name=None, **attributes):
    return helper.make_node(
        op, inputs.split(), outputs.split(), name=name or f"/{op.lower()}/{op}", **attributes
    )


def runtime(model, *xs):
    """What onnxruntime gives: all outputs."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return session.run(None, dict(zip([i.name for i in session.get_inputs()], xs, strict=True)))


def given(graph, *xs):
    """What the graph gives for one step: all outputs."""
    names = list(graph.inputs())
    fed = {name: x[None] for name, x in zip(names, xs, strict=True)}
    out = ir.Reference(graph).run(fed if len(names) > 1 else xs[0][None])[0]
    return [o[0] for o in (out.values() if isinstance(out, dict) else [out])]


def same(model, *xs, rtol=1e-5, atol=1e-5):
    """The graph of a model, after it gave what onnxruntime gives."""
    graph = from_onnx(model)
    theirs, mine = runtime(model, *xs), given(graph, *xs)
    assert len(theirs) == len(mine)
    for a, b in zip(mine, theirs, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)
        assert np.ptp(b) > 0  # something was computed
    return graph


def signal(shape, seed=0, batch=3):
    return np.random.default_rng(seed).normal(0, 1.5, (batch, *shape)).astype(np.float32)
