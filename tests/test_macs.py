"""Multiply-accumulates declared on primitives are those that torch's own counter counts."""

import numpy as np
import pytest
import torch
from hypothesis import event, given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from t1c import bridge, ir

from .strategies_executor import chain, networks
from .test_executor import some

pytestmark = pytest.mark.usefixtures("one_thread")
RNG = np.random.default_rng(0)


def weights(*shape):
    return RNG.normal(size=shape)


def counted(graph, batch=1):
    """Multiply-accumulates of one step, by torch: it counts two operations for each."""
    executor = bridge.ir_to_torch(graph, kernels="torch", events=False)
    xs = {name: torch.ones(batch, *node.shape) for name, node in graph.inputs().items()}
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        executor(xs)
    flops = counter.get_total_flops()
    assert flops % 2 == 0
    return flops // 2


LAYERS = {
    "Affine": (ir.Affine(weights(5, 7), weights(5)), (7,)),
    "Affine of several vectors": (ir.Affine(weights(5, 7), weights(5)), (3, 2, 7)),
    "SpikingAffine": (ir.SpikingAffine(weights(4, 6), weights(4)), (6,)),
    "Linear": (ir.Linear(weights(3, 8)), (2, 8)),
    "Conv1d": (ir.Conv1d(weights(6, 2, 3), weights(6), 2, 1, 2, 2), (4, 17)),
    "Conv2d": (ir.Conv2d(weights(6, 3, 3, 5), weights(6), (2, 1), (1, 2), (1, 2)), (3, 11, 13)),
    "Conv2d, depthwise": (ir.Conv2d(weights(4, 1, 3, 3), weights(4), groups=4), (4, 8, 6)),
    "Conv2d, same": (ir.Conv2d(weights(4, 2, 3, 3), weights(4), padding="same"), (2, 5, 6)),
    "Conv3d": (ir.Conv3d(weights(4, 1, 2, 3, 2), weights(4), (1, 2, 1), groups=2), (2, 5, 7, 4)),
    "SepConv2d": (
        ir.SepConv2d(weights(3, 1, 3, 3), weights(7, 3, 1, 1), None, weights(7), (2, 2), (1, 1)),
        (3, 9, 8),
    ),
    "ConvTranspose1d": (ir.ConvTranspose1d(weights(4, 3, 5), weights(6), 2, 1, 1, 1, 2), (4, 9)),
    "ConvTranspose2d": (
        ir.ConvTranspose2d(weights(3, 2, 3, 2), weights(2), (2, 3), (1, 0)),
        (3, 4, 5),
    ),
}


@pytest.mark.parametrize(("node", "shape"), LAYERS.values(), ids=LAYERS)
def test_a_layer_multiplies_as_often_as_torch_counts(node, shape):
    leaving = node.output_shape(shape)
    graph = chain(("input", ir.Input(shape)), ("layer", node), ("output", ir.Output(leaving)))
    assert node.macs([shape]) > 0
    assert graph.macs() == node.macs([shape]) == counted(graph)
    assert graph.nodes["layer"].macs() == node.macs([shape])
    assert counted(graph, 3) == 3 * graph.macs()


@pytest.mark.parametrize(
    ("a", "b"), [((3, 4), (4, 5)), ((2, 3, 4), (2, 4, 6)), ((2, 1, 3, 4), (1, 5, 4, 2))]
)
def test_a_product_of_two_inputs_multiplies_as_often_as_torch_counts(a, b):
    product = ir.MatMul()
    graph = ir.Graph(
        {
            "a": ir.Input(a),
            "b": ir.Input(b),
            "product": product,
            "output": ir.Output(product.combined([a, b])),
        },
        [("a", "product"), ("b", "product"), ("product", "output")],
    )
    assert graph.macs() == product.macs([a, b]) == counted(graph) > 0


def test_every_primitive_that_torch_counts_is_tried_here():
    tried = {type(node).__name__ for node, _ in LAYERS.values()} | {"MatMul", "Graph"}
    declared = {
        name for name in ir.list_primitives() if ir.str_to_node(name).macs is not ir.Node.macs
    }
    assert declared == tried


@some
@given(st.data())
def test_networks_multiply_as_often_as_torch_counts(data):
    graph = data.draw(networks(every=True, cyclic=data.draw(st.booleans())))
    event(f"multiplies: {graph.macs() > 0}")
    assert graph.macs() == counted(graph)
    assert sum(graph.node_macs().values()) == graph.macs()


def test_a_nested_graph_multiplies_as_what_it_holds():
    inner = chain(
        ("input", ir.Input((4,))),
        ("fc", ir.Affine(weights(6, 4), weights(6))),
        ("lif", ir.LIF(*map(np.array, (2.0, 2.0, 0.0, 0.5)))),
        ("output", ir.Output((6,))),
    )
    graph = chain(
        ("input", ir.Input((4,))),
        ("block", inner),
        ("fc", ir.Linear(weights(2, 6))),
        ("output", ir.Output((2,))),
    )
    assert graph.node_macs() == {"input": 0, "block": 24, "fc": 12, "output": 0}
    assert graph.macs() == counted(graph) == 36


def test_what_is_not_known_is_refused():
    with pytest.raises(ir.ShapeError, match="the shape of its input is not known"):
        ir.Conv2d(weights(2, 1, 3, 3), weights(2)).macs()
    with pytest.raises(ir.ShapeError, match="0 edges lead into it"):
        ir.MatMul().macs()
    with pytest.raises(ir.ShapeError, match="4 features"):
        ir.Linear(weights(3, 4)).macs([(5,)])
    assert ir.Linear(weights(3, 4)).macs() == 12
