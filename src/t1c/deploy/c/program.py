"""A graph as the stages of a step, the arrays that these need, and the memory that this takes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from t1c import ir
from t1c.ir.errors import Problem, UnsupportedError
from t1c.ir.fields import Array
from t1c.ir.ranges import Ranges
from t1c.ir.step_plan import StepPlan

from .constants import Constants
from .element import Element
from .functions import dense, needed, source
from .loop import WORD, Loop, summed
from .names import Names, identifier
from .refs import Ref, Values
from .registry import block_writer, element_writer, has_writer, is_block
from .stage import Block, Stage
from .storage import Storage, share
from .tasks import RAW, Task, scheduled, tasks
from .term import Term
from .whole import Whole

RESERVED = ("s", "i", "j", "c", "k", "o")
"""Names that loops use themselves."""


class Program:
    """A step, written down.

    Args:
        graph: what is written.
        dtype: of the arithmetic.
        layout: of weights; see ``to_c``.
        ranges: in a program of integers, what is known of its numbers.

    Attributes:
        names: of arrays.
        constants: the constant arrays.
        inputs: Input name -> the argument of the step.
        outputs: Output name -> likewise.
        states: the arrays that last, in the order of the state.
        rests: state -> the constant array of what it holds at rest, where that is several numbers.
        scratches: type -> how many elements are shared.
        stages: the lines of each stage.
    """

    def __init__(
        self, graph: ir.Graph, dtype: np.dtype[Any], layout: str, ranges: Ranges | None = None
    ) -> None:
        self.graph, self.dtype, self.layout, self.ranges = graph, dtype, layout, ranges
        self.plan = StepPlan(graph)
        _check(self.plan)
        self.names = Names()
        for name in RESERVED:
            self.names.unique(name)
        self.constants = Constants(self.names)
        self.inputs = self._arguments(graph.inputs(), "in")
        self.outputs = self._arguments(graph.outputs(), "out")
        self._states: dict[tuple[str, str], Storage] = {}
        self._scratch: list[Storage] = []
        self._functions: dict[str, str] = {}
        self._values: dict[tuple[str, int], Storage] = {}
        self._spikes: set[tuple[str, int]] = set()
        self._refs = Values(self.plan)
        self._schedule = scheduled(tasks(self.plan, self._refs))
        self._place_values()
        written = [self._written(n, stage) for n, stage in enumerate(self._schedule)]
        written += self._kept(len(written))
        self.rests = {s: self._rest(s) for s in self.states if s.rest.size > 1}
        self.scratches = share(self._scratch)
        self.stages = [(title, [*s.pointers(), *s.lines]) for title, s in written]
        lines = [line for _, stage in self.stages for line in stage]
        self.constants.keep({*WORD.findall("\n".join(lines)), *self.rests.values()})

    # What stages ask for ----------------------------------------------------------------------

    def called(self, function: str) -> str:
        """Note that a helper function is needed; its name."""
        for name in needed(function):
            self._functions.setdefault(name, source(name, self.dtype == np.float64))
        return function

    def dense(self, weight: str, inputs: str, sums: str, spikes: bool) -> str:
        """The name of the helper that adds up rows of weights, for these types."""
        name, text = dense(weight, inputs, sums, spikes)
        self._functions.setdefault(name, text)
        return name

    @property
    def functions(self) -> Mapping[str, str]:
        """The helper functions that are needed and their sources, each after what it calls."""
        return self._functions

    def state(
        self, name: str, variable: str, size: int, rest: Array, form: Whole | None = None
    ) -> Storage:
        """The array of a state variable of a node, made when it is first asked for.

        Args:
            name: of the node.
            variable: of its state.
            size: how many elements.
            rest: what it holds at rest.
            form: what is known of its integers; None: real numbers.
        """
        key = name, variable
        if key not in self._states:
            called = self.names.unique(f"{identifier(name)}_{variable}")
            dtype = self.dtype if form is None else form.dtype
            if form is not None:
                rest = (rest.astype(np.float64) * 2.0**form.shift).astype(dtype)
            self._states[key] = Storage(called, dtype, size, "state", rest)
        return self._states[key]

    def form(self, value: tuple[str, int]) -> Whole | None:
        """What is known of the integers of a value; None: real numbers."""
        name, port = value
        if self.ranges is None or name in self.inputs:
            return None
        if name.endswith("+") and name not in self.plan.nodes:
            return Whole.of(self.ranges[name[:-1]].arriving)
        return Whole.of(self.ranges[name].sent[max(port, 0)])

    def state_form(self, name: str, variable: str) -> Whole | None:
        """What is known of the integers of a state variable."""
        names = self.plan.nodes[name].state_names
        if self.ranges is None or variable not in names:
            return None
        return Whole.of(self.ranges[name].state[names.index(variable)])

    def is_whole(self, name: str) -> bool:
        """Whether a node works with integers alone."""
        if self.ranges is None:
            return False
        known = self.ranges[name]
        return all(Whole.of(each) is not None for each in (known.arriving, *known.sent))

    def _value_dtype(self, value: tuple[str, int]) -> np.dtype[Any]:
        form = self.form(value)
        if form is None:
            return self.dtype
        name = value[0]
        node = self.plan.nodes.get(name)
        if node is not None and type(node).macs is not ir.Node.macs and value[1] != 0:
            return self.sum_dtype(name)
        if node is not None and is_block(node) and type(node).macs is not ir.Node.macs:
            return self.sum_dtype(name)
        return form.dtype

    def sum_dtype(self, name: str) -> np.dtype[Any]:
        """The type in which a node adds up: it holds all sums on the way."""
        if not self.is_whole(name):
            return self.dtype
        assert self.ranges is not None
        return np.dtype("int64" if self.ranges[name].span >= 2.0**31 else "int32")

    def _rest(self, storage: Storage) -> str:
        """The constant array of what a state holds at rest."""
        return self.constants.array(storage.rest, f"{storage.name}_rest")

    def counter(self, name: str, variable: str) -> Storage:
        """A state that counts, in whole numbers."""
        key = name, variable
        if key not in self._states:
            called = self.names.unique(f"{identifier(name)}_{variable}")
            self._states[key] = Storage(called, np.dtype("uint32"), 1, "state")
        return self._states[key]

    def scratch(self, name: str, size: int, dtype: np.dtype[Any] | None = None) -> Storage:
        """An array that does not last."""
        self._scratch.append(Storage(self.names.unique(name), dtype or self.dtype, size))
        return self._scratch[-1]

    def scratch_name(self, dtype: np.dtype[Any]) -> str:
        """What the shared array of a type is called in the state."""
        return "scratch" if self.ranges is None else f"scratch_{dtype.name}"

    @property
    def states(self) -> Sequence[Storage]:
        """The arrays that last."""
        return list(self._states.values())

    # Where values lie -------------------------------------------------------------------------

    def _arguments(self, nodes: Any, side: str) -> dict[str, Storage]:
        found = {}
        for name, node in nodes.items():
            called = self.names.unique(f"{side}_{identifier(name)}")
            found[name] = Storage(called, self.dtype, math.prod(node.shape), "caller")
        return found

    def _place_values(self) -> None:
        """Give every value that is read outside of its loop an array."""
        for name, storage in self.inputs.items():
            self._values[name, 0] = storage
        made = {value: n for n, s in enumerate(self._schedule) for t in s for value in t.sends}
        self._back = self._fed_back(made)
        for n, stage in enumerate(self._schedule):
            for task in stage:
                for ref in task.inputs:
                    if not ref.back and (not task.size or made.get(ref.value, n) != n):
                        self._hold(ref)
                if not task.size:
                    for value in task.sends:
                        self._hold(self._whole(value))
        for value, in_place in self._back.items():
            if not in_place:
                self._hold(self._whole(value))

    def _hold(self, ref: Ref) -> Storage:
        """The array of a value, made when it is first asked for."""
        if ref.value not in self._values:
            if self._back.get(ref.value):
                self._values[ref.value] = self._before(ref.value)
            else:
                self._values[ref.value] = self.scratch(
                    _called(ref.value), self._size(ref.value), self._value_dtype(ref.value)
                )
        return self._values[ref.value]

    def _size(self, value: tuple[str, int]) -> int:
        return self._whole(value).size

    def _whole(self, value: tuple[str, int]) -> Ref:
        name, port = value
        node = name.removesuffix("+") if name not in self.plan.nodes else name
        if node != name:
            return Ref(name, port, False, 0, math.prod(self.plan.arriving_shape(node)))
        shape = self.plan.sent_shapes(name)[max(port, 0)]
        return Ref(name, port, False, 0, math.prod(shape))

    def _fed_back(self, made: dict[tuple[str, int], int]) -> dict[tuple[str, int], bool]:
        """The values that are sent back, and whether each may overwrite what was sent before.

        It may where all that reads the latter is done by then, or reads it at the same element.
        """
        found = {}
        for name in self.plan.fed_back:
            value = self._refs.sent(name).value
            stage = made.get(value, -1)
            found[value] = stage >= 0 and all(
                n < stage or (n == stage and task.size > 0 and task.aligned(ref))
                for n, tasks_ in enumerate(self._schedule)
                for task in tasks_
                for ref in task.inputs
                if ref.back and ref.value == value
            )
        return found

    def _before(self, value: tuple[str, int]) -> Storage:
        """The array of what a node sent in the step before."""
        rest = np.zeros((), self.dtype)
        return self.state(value[0], "sent", self._size(value), rest, self.form(value))

    def _read(self, stage: Stage, ref: Ref) -> str:
        """The name of the array in which a value lies."""
        storage = self._before(ref.value) if ref.back else self._values[ref.value]
        return stage.array(storage)

    # Writing ----------------------------------------------------------------------------------

    def _written(self, number: int, together: Sequence[Task]) -> tuple[str, Stage]:
        stage = Stage(self, number)
        titles = [self._title(task) for task in together]
        if together[0].size:
            self._write_loop(stage, together)
        else:
            self._write_block(stage, together[0])
        return ", ".join(dict.fromkeys(titles)), stage

    def _title(self, task: Task) -> str:
        node = self.plan.nodes[task.name]
        return f"{_printable(task.name)} ({node.primitive})"

    def _write_block(self, stage: Stage, task: Task) -> None:
        node = self.plan.nodes[task.name]
        arriving = [self._shape(task, position) for position in range(len(task.inputs))]
        if node.adds_inputs:
            arriving = [self.plan.arriving_shape(task.name)]
        inputs = []
        for ref in task.inputs:
            array = self._read(stage, ref)
            inputs.append(f"({array} + {ref.offset})" if ref.offset else array)
        outputs = [stage.array(self._values[value], written=True) for value in task.sends]
        spikes = [ref.value in self._spikes for ref in task.inputs]
        sent = self.plan.sent_shapes(task.name)
        forms = [self.form(ref.value) for ref in task.inputs]
        dtypes = [
            (self._before(ref.value) if ref.back else self._values[ref.value]).dtype
            for ref in task.inputs
        ]
        to = [self._values[value].dtype for value in task.sends]
        block = Block(stage, task.name, arriving, sent, inputs, outputs, spikes, dtypes, to)
        self._check_block(task, forms)
        block_writer(node)(block, node)
        if block.moves and all(spikes):
            self._spikes.update(task.sends)

    def _shape(self, task: Task, position: int) -> tuple[int, ...]:
        """The shape in which an edge brings a value."""
        if task.inputs[position].source not in self.plan.nodes:
            return self.plan.arriving_shape(task.name)
        source = self.plan.sources[task.name][position]
        return self.plan.sent_shapes(source.name)[source.port]

    def _write_loop(self, stage: Stage, together: Sequence[Task]) -> None:
        loop = Loop(stage, together[0].size)
        inside: dict[tuple[str, int], Term] = {}
        for task in together:
            terms = [
                inside[ref.value]
                if not ref.back and ref.value in inside and task.aligned(ref)
                else self._element_of(loop, task, position, ref)
                for position, ref in enumerate(task.inputs)
            ]
            self._write_element(loop, task, terms, inside)
        stage.lines += loop.rendered()

    def _write_element(
        self, loop: Loop, task: Task, terms: list[Term], inside: dict[tuple[str, int], Term]
    ) -> None:
        node, shape = self.plan.nodes[task.name], self.plan.arriving_shape(task.name)
        if task.role in ("sum", "output", "plain"):
            sent = summed(terms)
        else:
            if not terms:
                terms = [loop.number(0)]
            element = Element(loop, task.name, shape, task.role)
            sent = element_writer(node)(element, node, terms)
        if task.role == "output":
            sent = loop.real(sent)
            array = loop.stage.array(self.outputs[task.name], written=True)
            loop.store(array, "i", sent)
        for value in task.sends:
            sent = loop.formed(sent, self.form(value)) if self.ranges is not None else sent
            inside[value] = sent
            if sent.spikes:
                self._spikes.add(value)
            if value in self._values or self._back.get(value):
                storage = self._hold(self._whole(value))
                array = loop.stage.array(storage, written=True)
                loop.store(array, "i", sent, storage.dtype)

    def _element_of(self, loop: Loop, task: Task, position: int, ref: Ref) -> Term:
        """The element of a value that lies in an array which the present element takes."""
        node = self.plan.nodes[task.name]
        if ref.port == RAW:
            channels, *rest = self.plan.sent_shapes(task.name)[0]
            index = loop.channels_last(channels, math.prod(rest))
        elif ref.size == task.size or node.adds_inputs:
            index = "i" if ref.size > 1 else "0"
        else:
            index = loop.index(self._shape(task, position), self.plan.arriving_shape(task.name))
        if ref.offset:
            index = f"{index} + {ref.offset}" if index != "0" else str(ref.offset)
        spikes = ref.value in self._spikes
        return loop.read(self._read(loop.stage, ref), index, spikes, self.form(ref.value))

    def _check_block(self, task: Task, forms: Sequence[Whole | None]) -> None:
        """What has loops of its own takes whole numbers, or real ones."""
        node = self.plan.nodes[task.name]
        if self.ranges is None or type(node).macs is not ir.Node.macs:
            wrong = any(form is not None and form.shift for form in forms)
        else:
            sent = [self.form(value) for value in task.sends]
            kinds = {None if form is None else form.shift for form in (*forms, *sent)}
            wrong = len(kinds) > 1
        if wrong:
            raise UnsupportedError(
                Problem(
                    "numbers of different kinds meet in it: integers of different units, or "
                    "integers and real numbers",
                    "one kind",
                    "Quantise the graph as a whole, without keep=.",
                    f"node {task.name!r} ({node.primitive})",
                )
            )

    def _kept(self, number: int) -> Iterator[tuple[str, Stage]]:
        """At the end of a step: what is sent back is kept."""
        for value, in_place in self._back.items():
            if not in_place:
                stage = Stage(self, number)
                source = stage.array(self._values[value])
                target = stage.array(self._before(value), written=True)
                stage.lines += [
                    f"for (size_t i = 0; i < {self._size(value)}; i++) {{",
                    f"    {target}[i] = {source}[i];",
                    "}",
                ]
                yield f"what {_printable(value[0])} sent, for the next step", stage


def _called(value: tuple[str, int]) -> str:
    name, port = value
    if name.endswith("+"):
        return f"{identifier(name[:-1])}_in"
    return f"{identifier(name)}_raw" if port < 0 else f"{identifier(name)}_out"


def _printable(name: str) -> str:
    """A name as a comment can hold it."""
    plain = "".join(ch if " " <= ch <= "~" else "?" for ch in name)
    return plain.replace("*/", "* /").replace("/*", "/ *")


def _check(plan: StepPlan) -> None:
    """Every node can be said in C."""
    problems = [
        Problem(
            "it has no form in C",
            "a primitive of t1c, or a graph of them",
            "Say it as a graph of primitives, which is a neuron in every way.",
            f"node {name!r} ({node.primitive})",
        )
        for name, node in plan.nodes.items()
        if not isinstance(node, ir.Input | ir.Output) and not has_writer(node)
    ]
    if problems:
        raise UnsupportedError(problems)
