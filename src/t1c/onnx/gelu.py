"""GELU as it was written before opset 20 had an operator for it: x/2 * (1 + erf(x / sqrt(2)))."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from .raw import OnnxModel, OnnxNode

CLOSE = 1e-4
"""How far constants that were rounded, to half precision at worst, may be from what they mean."""


def with_gelus(model: OnnxModel) -> OnnxModel:
    """The model with one Gelu in the place of the nodes that compute it; others stay.

    The product is written in any order, and divided or multiplied by the constants.
    """
    arithmetic = _Arithmetic(model)
    nodes, gone = {node.outputs[0]: node for node in model.nodes if node.outputs}, set[str]()
    for erf in [node for node in model.nodes if node.op == "Erf"]:
        found = arithmetic.gelu(erf)
        if found is not None:
            last, x, inner = found
            gone |= inner
            nodes[last.outputs[0]] = dataclasses.replace(
                last, op="Gelu", inputs=(x,), attributes={"approximate": "none"}
            )
    kept = (nodes.get(node.outputs[0], node) if node.outputs else node for node in model.nodes)
    return dataclasses.replace(
        model, nodes=tuple(n for n in kept if not gone.intersection(n.outputs))
    )


class _Arithmetic:
    """Who makes a value, and who reads it."""

    def __init__(self, model: OnnxModel) -> None:
        self.makers = {name: node for node in model.nodes for name in node.outputs}
        self.readers: dict[str, list[OnnxNode]] = {}
        for node in model.nodes:
            for name in node.inputs:
                self.readers.setdefault(name, []).append(node)
        self.outputs = set(model.outputs)
        self.constants = dict(model.constants)
        for node in model.nodes:
            if node.op == "Constant" and "value" in node.attributes:
                self.constants[node.outputs[0]] = node.attributes["value"]

    def gelu(self, erf: OnnxNode) -> tuple[OnnxNode, str, set[str]] | None:
        """The last node, what goes in, and all values between; None if it is no GELU."""
        share = self.makers.get(erf.inputs[0])
        scaled = None if share is None else self._scaled(share)
        if share is None or scaled is None or not _near(scaled[1], math.sqrt(0.5)):
            return None
        x = scaled[0]
        inner = {share.outputs[0], erf.outputs[0]}
        one_more = self._only_reader(erf.outputs[0])
        if one_more is None or one_more.op != "Add" or not _near(self._beside(one_more, erf), 1.0):
            return None
        inner.add(one_more.outputs[0])
        return self._product(x, one_more, inner)

    def _product(
        self, x: str, node: OnnxNode, inner: set[str]
    ) -> tuple[OnnxNode, str, set[str]] | None:
        """Follow products until x and 1/2 have both been multiplied with."""
        half = times_x = False
        while not (half and times_x):
            following = self._only_reader(node.outputs[0])
            if following is None:
                return None
            other = self._other(following, node.outputs[0])
            number = self._number(other)
            halved = self.makers.get(other)
            if following.op == "Mul" and other == x and not times_x:
                times_x = True
            elif following.op == "Mul" and _near(number, 0.5) and not half:
                half = True
            elif following.op == "Div" and _near(number, 2.0) and not half:
                if following.inputs[0] != node.outputs[0]:
                    return None
                half = True
            elif following.op == "Mul" and halved is not None and not (half or times_x):
                scaled = self._scaled(halved)
                if scaled is None or scaled[0] != x or not _near(scaled[1], 0.5):
                    return None
                half = times_x = True
            else:
                return None
            node = following
            if not (half and times_x):
                inner.add(node.outputs[0])
        return node, x, inner

    def _scaled(self, node: OnnxNode) -> tuple[str, float] | None:
        """What a node multiplies by a number, and the number."""
        if node.op not in ("Mul", "Div"):
            return None
        for place in (0, 1):
            number = self._number(node.inputs[1 - place])
            if number and node.op == "Mul":
                return node.inputs[place], number
            if number and place == 0:
                return node.inputs[0], 1 / number
        return None

    def _only_reader(self, name: str) -> OnnxNode | None:
        readers = self.readers.get(name, [])
        return readers[0] if len(readers) == 1 and name not in self.outputs else None

    def _beside(self, node: OnnxNode, other: OnnxNode) -> float | None:
        return self._number(self._other(node, other.outputs[0]))

    def _other(self, node: OnnxNode, name: str) -> str:
        return next((n for n in node.inputs if n != name), name)

    def _number(self, name: str) -> float | None:
        value = self.constants.get(name)
        one = value is not None and np.size(value) == 1
        return float(np.ravel(value)[0]) if one else None  # type: ignore[arg-type]


def _near(number: float | None, right: float) -> bool:
    return number is not None and abs(number - right) <= CLOSE * abs(right)
