"""Random neurons that no primitive says: elementwise nodes around Delays, with or without loops."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from t1c import ir

EXACT = ("abs", "neg", "floor", "round", "sign", "reciprocal")
BINARY = ("subtract", "multiply", "divide", "minimum", "maximum", "greater", "greater_or_equal",
          "equal")  # fmt: skip


@st.composite
def neurons(draw: Any, smooth: bool = False, shapes: Any = ((3,), (2, 3), (2, 1, 2))) -> Any:
    """A graph with one or two Inputs, Delays as memory, and two Outputs.

    Args:
        smooth: values stay bounded, so that gradients can be compared.
        shapes: of which all values have one.
    """
    shape = draw(st.sampled_from(shapes))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def parameter(low: float = -2.0, high: float = 2.0) -> Any:
        forms = [(), (1,), (shape[0],), shape]
        over = forms[draw(st.integers(0, 3))]
        return rng.integers(int(low * 256), int(high * 256) + 1, over) / 256

    nodes: dict[str, ir.Node] = {"x": ir.Input(shape)}
    edges: list[tuple[str, str]] = []
    if draw(st.booleans()):
        nodes["x2"] = ir.Input(shape)
    known = list(nodes)
    memories = [f"m{n}" for n in range(draw(st.integers(1, 3)))]
    for name in memories:
        delay, rest = np.array(draw(st.integers(1, 3))), parameter(-1, 1)
        nodes[name] = ir.Delay(delay, rest, input_type={"input": np.array(shape)})
    known += memories

    def put(name: str, node: ir.Node, count: int = 1) -> str:
        nodes[name] = node
        chosen = draw(st.lists(st.sampled_from(known), min_size=count, max_size=count, unique=True))
        edges.extend((source, name) for source in chosen)
        known.append(name)
        return name

    for n in range(draw(st.integers(2, 7))):
        kind = draw(st.sampled_from(KINDS))
        name = f"{kind}{n}"
        if kind == "scale":
            put(name, ir.Scale(parameter(-1, 1)))
        elif kind == "shift":
            put(name, ir.Shift(parameter()))
        elif kind == "clip":
            low = parameter(-2, 0) if draw(st.booleans()) else None
            put(name, ir.Clip(low, parameter(0, 2) if low is None or draw(st.booleans()) else None))
        elif kind == "power":
            put(
                name,
                ir.Power(np.array(draw(st.sampled_from([2.0] if smooth else [2.0, 3.0, -1.0])))),
            )
        elif kind == "unary":
            put(name, ir.Unary(draw(st.sampled_from(("abs", "neg", "floor") if smooth else EXACT))))
        elif kind == "threshold":
            fires_at = draw(st.sampled_from(["ge", "gt"]))
            put(name, ir.Threshold(parameter(-1, 1), fires_at))
        elif kind == "sum":
            put(name, ir.Identity(), min(2, len(known)))
        elif kind == "relu":
            put(name, ir.ReLU(shape[0], negative_slope=draw(st.sampled_from([0.0, 0.25]))))
        elif kind == "lif":
            put(name, lif(draw, parameter))
        elif kind == "where" and len(known) >= 3:
            put(name, ir.Where(), 3)
        else:
            ops = [op for op in BINARY if not (smooth and op == "divide")]
            put(name, ir.Binary(draw(st.sampled_from(ops))), 2)
        if smooth:
            edges.append((name, f"{name}in"))
            nodes[f"{name}in"] = ir.Clip(np.array(-1.5), np.array(1.5))
            known[-1] = f"{name}in"
    edges += [(draw(st.sampled_from(known)), name) for name in memories]
    nodes |= {"y": ir.Output(shape), "rest": ir.Output(shape)}
    edges.append((known[-1], "y"))
    # What leads nowhere would have no effect; a memory may only lead to itself.
    ends = {name for name in nodes if name not in {source for source, _ in edges}}
    edges += [(name, "rest") for name in nodes if name in ends - {"y", "rest"} or name in memories]
    return ir.Graph(nodes, edges, allow_cycles=True)


KINDS = ("scale", "shift", "clip", "power", "unary", "threshold", "sum", "relu", "lif", "where",
         "binary", "binary", "binary")  # fmt: skip


def lif(draw: Any, parameter: Any) -> ir.Node:
    """A primitive neuron among them."""
    kind = draw(st.sampled_from(["LIF", "IF", "CubaLIF", "LI"]))
    reset = draw(st.sampled_from(["zero", "value", "subtract", "lower", "none", "hold", "carry"]))
    late = reset == "hold" or (reset != "carry" and draw(st.booleans()))
    many = draw(st.booleans())
    options: dict[str, Any] = {
        "reset": reset,
        "v_reset": parameter(-1, 0) if reset in ("value", "lower") else None,
        "reset_delay": late,
        "fires_at": "ge" if many else draw(st.sampled_from(["ge", "gt"])),
        "spikes": "multiple" if many else "binary",
        "v_min": parameter(-1, 0) if draw(st.booleans()) else None,
    }
    tau, r, leak, threshold = parameter(1, 4), parameter(), parameter(-1, 1), parameter(0.25, 1)
    if kind == "LI":
        return ir.LI(tau, r, leak)
    if kind == "IF":
        return ir.IF(threshold, r, **options)
    if kind == "CubaLIF":
        return ir.CubaLIF(tau, tau, r, leak, threshold, **options)
    return ir.LIF(tau, r, leak, threshold, **options)
