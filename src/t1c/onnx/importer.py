"""From a model to a graph: every node understood, or every problem told at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from t1c import ir
from t1c.ir.errors import Problem, T1CError, UnsupportedError
from t1c.ir.naming import unique
from t1c.ir.shapes import Shape

from .building import Building, tidy
from .folding import folded
from .gelu import with_gelus
from .operators import OPERATORS
from .operators.call import Call
from .raw import OnnxInput, OnnxModel, OnnxNode
from .values import Batch, Signal, Sizes, Value

MISFITS = (ValueError, TypeError, IndexError, KeyError, AttributeError, ArithmeticError)
FLOATS = ("FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16")


class Importer:
    """Makes a graph of a model.

    Args:
        model: the model.
        opset: the version of ONNX's operators that it uses.
        shapes: input -> its shape without batch, where the file leaves it open.
    """

    def __init__(self, model: OnnxModel, opset: int, shapes: Mapping[str, Shape]) -> None:
        model = with_gelus(model)
        self.model, self.opset, self.shapes = model, opset, shapes
        self.values: dict[str, Value] = dict(model.constants)
        self.nodes = _needed(model)
        self.unknown: list[Problem] = []
        self.readers: dict[str, int] = {}
        for name in [*(n for node in self.nodes for n in node.inputs), *model.outputs]:
            self.readers[name] = self.readers.get(name, 0) + 1
        self.outputs = _output_names(model)
        firsts = {entry.sizes[0] if entry.sizes else None for entry in model.inputs}
        first = firsts.pop() if len(firsts) == 1 else None
        self.batch = first if isinstance(first, int) else None
        self.building = Building(self.outputs.values())

    def run(self) -> ir.Graph:
        """The graph.

        Raises:
            UnsupportedError: listing all operators that are not known, or the first node that
                cannot be said exactly.
        """
        for entry in self.model.inputs:
            self.values[entry.name] = self._input(entry)
        for node in self.nodes:
            try:
                self._node(node)
            except T1CError as error:
                where = f"node {node.name!r} ({node.op})"
                raise UnsupportedError([p.at(where) for p in error.problems]) from error
            except MISFITS as cause:
                # Files may state weights, axes and sizes that do not belong together.
                found = f"what arrives does not fit it ({type(cause).__name__}: {cause})"
                raise UnsupportedError(Problem(found, where=node.name)) from cause
        if self.unknown:
            raise UnsupportedError(self.unknown, "the model cannot be imported")
        for value in self.model.outputs:
            self._output(value)
        return ir.Graph(self.building.nodes, self.building.edges)

    def _input(self, entry: OnnxInput) -> Signal:
        where = f"input {entry.name!r}"
        if entry.dtype not in FLOATS:
            raise UnsupportedError(
                Problem(f"it holds {entry.dtype}", "numbers with a fraction", where=where)
            )
        shape = self.shapes.get(entry.name)
        sizes = entry.sizes
        if shape is None:
            if sizes is None or any(not isinstance(n, int) or n < 1 for n in sizes[1:]):
                told = "no shape" if sizes is None else f"the shape {list(sizes)}"
                raise UnsupportedError(
                    Problem(
                        f"{told} in the file",
                        "sizes of all axes but the first, the batch",
                        f"Pass input_shapes={{{entry.name!r}: (...)}}, without the batch.",
                        where,
                    )
                )
            shape = tuple(int(n) for n in sizes[1:])  # type: ignore[arg-type]
        if not shape:
            raise UnsupportedError(
                Problem("only a batch axis", "an axis of features behind it", where=where)
            )
        node = ir.Input(shape)
        return self.building.add(entry.name, node)

    def _node(self, node: OnnxNode) -> None:
        if any(name and name not in self.values for name in node.inputs):
            return  # behind an operator that is not known
        inputs = [self.values[name] if name else None for name in node.inputs]
        known = folded(node, inputs, self.model.opsets)
        if known is not None:
            self.values.update(zip(node.outputs, known, strict=False))
            return
        if node.domain or node.op not in OPERATORS:
            self.unknown.append(_unknown(node))
            return
        wanted = [i for i, name in enumerate(node.outputs) if name and self.readers.get(name)]
        alone = [self.readers.get(name) == 1 for name in node.inputs]
        alone = [self.readers.get(name) == 1 for name in node.inputs]
        call = Call(node, inputs, wanted, self.opset, self.building, self.batch, alone)
        made = OPERATORS[node.op](call)
        unread = list(call.attributes.unread())
        if unread:
            raise UnsupportedError(
                Problem(
                    f"the attributes {', '.join(unread)}, which are not understood",
                    "attributes that opsets 7 to 23 know",
                    "Export the model with another opset.",
                )
            )
        results = made if isinstance(made, list) else [made]
        for i in wanted:
            if i >= len(results):
                raise UnsupportedError(
                    Problem(
                        f"its output {i + 1}, {node.outputs[i]!r}, is used",
                        "only the first" if len(results) == 1 else f"the first {len(results)}",
                    )
                )
            self.values[node.outputs[i]] = _settled(results[i])

    def _output(self, value: str) -> None:
        name, signal = self.outputs[value], self.values.get(value)
        if not isinstance(signal, Signal):
            raise UnsupportedError(
                Problem(
                    "it does not depend on an input",
                    "what the network computes",
                    "Drop it from the model's outputs.",
                    f"output {value!r}",
                )
            )
        self.building.taken.discard(name)
        self.building.add(name, ir.Output(signal.shape), signal)


def _settled(value: Value) -> Value:
    """Sizes as numbers, where the batch is not among them."""
    if isinstance(value, Sizes) and Batch.SIZE not in value.values:
        numbers = np.array(value.values, dtype=np.int64)
        return numbers.reshape(()) if value.scalar else numbers
    return value


def _needed(model: OnnxModel) -> tuple[OnnxNode, ...]:
    """The nodes that lead to an output, in order."""
    wanted = set(model.outputs)
    kept: list[OnnxNode] = []
    for node in reversed(model.nodes):
        if wanted.intersection(node.outputs):
            wanted.update(node.inputs)
            kept.append(node)
    return tuple(reversed(kept))


def _output_names(model: OnnxModel) -> dict[str, str]:
    """Output value -> the name of its Output, which no Input has."""
    taken = {tidy(entry.name) for entry in model.inputs}
    names: dict[str, str] = {}
    for value in model.outputs:
        names[value] = unique(tidy(value), taken)
        taken.add(names[value])
    return names


def _unknown(node: OnnxNode) -> Problem:
    named = f"{node.domain}.{node.op}" if node.domain else node.op
    return Problem(
        f"the operator {named}",
        "one that a graph can say",
        "Export the model without it; t1c.onnx.OPERATORS lists what is known.",
        f"node {node.name!r}",
    )


def checked_shapes(model: OnnxModel, shapes: Mapping[str, Sequence[int]]) -> dict[str, Shape]:
    """The shapes that a caller gives, of inputs that there are.

    Raises:
        UnsupportedError: there is no such input, or the file says another shape.
    """
    sizes = {entry.name: entry.sizes for entry in model.inputs}
    checked: dict[str, Shape] = {}
    for name, shape in shapes.items():
        if name not in sizes:
            raise UnsupportedError(
                Problem(f"a shape for {name!r}", f"inputs: {list(sizes)}", field="input_shapes")
            )
        said = (sizes[name] or (None,) * (1 + len(shape)))[1:]
        fits = len(said) == len(shape) and all(
            a == b or not isinstance(a, int) for a, b in zip(said, shape, strict=False)
        )
        if not fits:
            raise UnsupportedError(
                Problem(
                    f"{tuple(shape)} for {name!r}, of which the file says {list(said)}",
                    "the file's sizes, and a number for each that it leaves open",
                    "The batch is not counted.",
                    field="input_shapes",
                )
            )
        checked[name] = tuple(int(n) for n in shape)
    return checked
