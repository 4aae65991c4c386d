"""reset='hold' and reset='carry': what they mean, where they go, how they travel."""

from typing import Any

import numpy as np
import pytest
import torch

from t1c.ir.errors import NodeError

from .export_helpers import bridge, ir


def lif(**options):
    return ir.LIF([2.0], [2.0], [0.0], [1.0], **options)


def graph_of(node):
    return ir.Graph(
        {"input": ir.Input((1,)), "n": node, "output": ir.Output((1,))},
        [("input", "n"), ("n", "output")],
    )


def run(node, inputs):
    xs = np.asarray(inputs, dtype=float).reshape(-1, 1, 1)
    states: list[float] = []
    state: Any = {}
    reference = ir.Reference(graph_of(node))
    out = []
    for x in xs:
        y, state = reference.step(x, state)
        out.append(float(y.item()))
        states.append(float(state["n"][-1].item()))
    executor = bridge.ir_to_torch(graph_of(node), dtype=torch.float64)
    spikes, last = executor.run(torch.from_numpy(xs))
    assert spikes.ravel().tolist() == out
    assert last["n"][0].item() == states[-1]
    return out, states


def test_hold_loses_the_input_of_the_step_after_a_spike():
    spikes, membrane = run(lif(reset="hold", reset_delay=True), [2, 4, 0.5, 3])
    assert membrane == [2, 0, 0.5, 3.25]
    assert spikes == [1, 0, 0, 1]


def test_carry_pays_a_second_reset_in_the_next_step():
    """Input 4 leaves 3 after its reset: still firing, so that the next step pays first."""
    spikes, membrane = run(lif(reset="carry"), [4, 0, 0, 0])
    # u = 4, s = 1, v = 3; u = 1.5 - 1 = 0.5, s = 0, v = 0.5 + 1 = 1.5; u = 0.75 - 1, v = 0.75
    assert spikes == [1, 0, 0, 0]
    assert membrane == [3, 1.5, 0.75, 0.375]


def test_carry_is_subtract_where_no_reset_leaves_a_firing_membrane():
    inputs = [0.75, 0.5, 1, 0.25, 1.25]
    assert run(lif(reset="carry"), inputs) == run(lif(reset="subtract"), inputs)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"reset": "hold"}, "reset_delay=True beside reset='hold'"),
        ({"reset": "carry", "reset_delay": True}, "reset_delay=False beside reset='carry'"),
        ({"reset": "hold", "reset_delay": True, "v_reset": [1.0]}, "does not use it"),
    ],
)
def test_options_that_do_not_go_together(options, words):
    with pytest.raises(NodeError, match=words):
        lif(**options)


@pytest.mark.parametrize("options", [{"reset": "carry"}, {"reset": "hold", "reset_delay": True}])
def test_they_travel_under_a_name_that_old_readers_refuse(options, tmp_path):
    graph = graph_of(lif(**options))
    ir.write(tmp_path / "a.t1c", graph)
    assert ir.read(tmp_path / "a.t1c").equals(graph)
    assert ir.read_version(tmp_path / "a.t1c") != "0.0.1"


def test_gradients_flow_through_what_is_sent():
    module = bridge.node_to_module(lif(reset="carry"))
    x = torch.tensor([[1.5]], requires_grad=True)
    spikes, _ = module(x)
    spikes.sum().backward()
    assert x.grad is not None
    assert x.grad.item() > 0
