"""What is said in a stream: steps or events to the network, and what it answers.

A text message is JSON: ``{"x": ...}`` with numbers (T, *shape), or (*shape) for one step, or an
object of them by Input name; or ``{"steps": T, "events": [[step, index], ...]}``. A binary message
is in the form that its stream was opened with:

    numbers   the steps one after another, each all features of all Inputs, in the network's dtype
    uint8     the same, in bytes; answers are numbers
    events    records of (step, index, value), of which the first holds (T, 0, 0)

All binary numbers are little-endian. An event adds its value, 1 where it is not said, to one
feature in one step; ``index`` counts the features of all Inputs in C order. An answer has the form
of what it answers, and its events are all numbers that are not zero. Nothing is rounded on the way
out.
"""

from __future__ import annotations

import json
from typing import Any, Literal, get_args

import numpy as np

from t1c.ir.errors import InputError, Problem
from t1c.ir.fields import Array

from .numbers import cast, dumped, finite, parsed, real
from .ports import Ports

Binary = Literal["numbers", "uint8", "events"]
"""What the binary messages of a stream hold."""


class Forms:
    """Reads and writes the messages of a stream.

    Args:
        inputs: what the network takes.
        outputs: what it gives.
        binary: what binary messages hold.
        steps: how many one message may bring.
        allow_nonfinite: take NaN and infinite numbers.

    Raises:
        InputError: there is no such form.
    """

    def __init__(
        self,
        inputs: Ports,
        outputs: Ports,
        binary: str = "numbers",
        *,
        steps: int,
        allow_nonfinite: bool = False,
    ) -> None:
        if binary not in get_args(Binary):
            raise InputError(Problem(repr(binary), ", ".join(get_args(Binary)), field="binary"))
        self.inputs, self.outputs, self.binary = inputs, outputs, binary
        self.steps, self.allow_nonfinite = steps, allow_nonfinite

    def read(self, message: str | bytes) -> tuple[Array, Form]:
        """The steps of a message as rows (T, width), and the form of its answer.

        Raises:
            InputError: it is not one, or has too many steps.
        """
        if isinstance(message, str):
            rows, form = self._text(message)
        elif self.binary == "events":
            rows, form = self._records(message), "records"
        else:
            rows, form = self._raw(message), "raw"
        if not len(rows):
            raise InputError(Problem("no steps", "at least one", where="message"))
        self._refuse_many(len(rows))
        finite(rows, self.allow_nonfinite, "message")
        return rows, form

    def write(self, rows: Array, form: Form) -> str | bytes:
        """What comes out at each step, rows (T, width), as the answer to a message."""
        if form == "raw":
            raw: bytes = rows.astype(self._little(self.outputs), copy=False).tobytes()
            return raw
        if form == "records":
            step, index = np.nonzero(rows)
            records = np.zeros(1 + len(step), _record(self.outputs))
            records[0]["step"] = len(rows)
            records["step"][1:], records["index"][1:] = step, index
            records["value"][1:] = rows[step, index]
            return records.tobytes()
        if form == "events":
            step, index = np.nonzero(rows)
            values = rows[step, index].tolist()
            events = list(zip(step.tolist(), index.tolist(), values, strict=True))
            return dumped({"steps": len(rows), "events": events})
        arrays = self.outputs.split(rows)
        named = {n: (y[0] if form == "step" else y).tolist() for n, y in arrays.items()}
        out = named if len(named) > 1 else next(iter(named.values()))
        return dumped({"steps": len(rows), "out": out})

    # What is read ------------------------------------------------------------------------------

    def _text(self, message: str) -> tuple[Array, Form]:
        said = parsed(message, "message")
        if not isinstance(said, dict) or len({"x", "events"} & set(said)) != 1:
            found = f"keys {sorted(said)}" if isinstance(said, dict) else "no object"
            raise InputError(
                Problem(found, '{"x": ...} or {"steps": T, "events": [...]}', "", "message")
            )
        strange = set(said) - ({"x"} if "x" in said else {"steps", "events"})
        if strange:
            raise InputError(Problem(f"keys {sorted(strange)}", "none of them", "", "message"))
        if "events" in said:
            return self._events(said), "events"
        return self._dense(said["x"])

    def _dense(self, x: Any) -> tuple[Array, Form]:
        names = [port.name for port in self.inputs.ports]
        given = x if isinstance(x, dict) else {names[0]: x} if len(names) == 1 else {}
        if set(given) != set(names):
            found = f"inputs {sorted(given)}" if isinstance(x, dict) else "one array"
            raise InputError(Problem(found, f"one for each of {names}", where="x"))
        arrays, ranks = {}, set()
        for port in self.inputs.ports:
            array = real(given[port.name], f"input {port.name!r}", self.inputs.dtype)
            ranks.add(array.ndim - len(port.shape))
            if array.shape == port.shape:
                array = array[None]
            if array.shape[1:] != port.shape or not array.ndim:
                raise InputError(
                    Problem(
                        f"shape {array.shape}",
                        f"(T, *shape), or (*shape) for one step, with shape {port.shape}",
                        where=f"input {port.name!r}",
                    )
                )
            arrays[port.name] = array
        lengths = {name: len(array) for name, array in arrays.items()}
        if len(set(lengths.values())) > 1 or len(ranks) > 1:
            raise InputError(Problem(f"different numbers of steps: {lengths}", "the same for all"))
        return self.inputs.join(arrays), "step" if ranks == {0} else "steps"

    def _events(self, said: dict[str, Any]) -> Array:
        steps, events = said.get("steps"), said["events"]
        if isinstance(steps, bool) or not isinstance(steps, int):
            raise InputError(Problem(f"steps {steps!r}", "how many the message has", field="steps"))
        self._refuse_many(steps)
        if not isinstance(events, list):
            raise InputError(Problem("no list", "[[step, index], ...]", field="events"))
        if not events:
            nowhere = np.zeros(0, np.int64)
            return self._added(steps, nowhere, nowhere, np.ones(0))
        for event in events:
            if not isinstance(event, list) or len(event) not in (2, 3):
                raise InputError(
                    Problem(
                        json.dumps(event)[:40],
                        "[step, index] or [step, index, value]",
                        field="events",
                    )
                )
        table = real([[*event, 1][:3] for event in events], "events", np.float64)
        if table.ndim != 2:
            raise InputError(Problem("lists in an event", "numbers", field="events"))
        places = table[:, :2]
        if not (np.isfinite(places).all() and (places == np.floor(places)).all()):
            raise InputError(Problem("steps or indices that are not whole", "whole", "", "events"))
        step, index = places.clip(-1, 2**53).astype(np.int64).T
        return self._added(steps, step, index, table[:, 2])

    def _records(self, message: bytes) -> Array:
        record = _record(self.inputs)
        if not message or len(message) % record.itemsize:
            raise InputError(
                Problem(
                    f"{len(message)} bytes",
                    f"records of {record.itemsize}: step, index (uint32), value "
                    f"({self.inputs.dtype.name}), the first of them (T, 0, 0)",
                    where="message",
                )
            )
        records = np.frombuffer(message, record)
        head, rest = records[0], records[1:]
        if head["index"] or head["value"]:
            raise InputError(
                Problem(f"a first record of {head.tolist()}", "(T, 0, 0)", where="message")
            )
        steps = int(head["step"])
        self._refuse_many(steps)
        step, index = rest["step"].astype(np.int64), rest["index"].astype(np.int64)
        return self._added(steps, step, index, rest["value"])

    def _added(self, steps: int, step: Array, index: Array, value: Array) -> Array:
        for name, found, size in (("step", step, steps), ("index", index, self.inputs.width)):
            outside = (found < 0) | (found >= size)
            if outside.any():
                worst = int(found[outside][0])
                problem = Problem(f"{name} {worst}", f"0 to {size - 1}", where="events")
                raise InputError(problem)
        finite(value, self.allow_nonfinite, "events")
        rows = np.zeros((steps, self.inputs.width), self.inputs.dtype)
        np.add.at(rows, (step, index), cast(value, self.inputs.dtype))
        return rows

    def _raw(self, message: bytes) -> Array:
        sent = np.dtype(np.uint8) if self.binary == "uint8" else self._little(self.inputs)
        size = self.inputs.width * sent.itemsize
        if len(message) % size:
            raise InputError(
                Problem(
                    f"{len(message)} bytes",
                    f"steps of {size}: {self.inputs.width} numbers of {sent.name}",
                    where="message",
                )
            )
        rows = np.frombuffer(message, sent).reshape(-1, self.inputs.width)
        return rows.astype(self.inputs.dtype)

    def _refuse_many(self, steps: int) -> None:
        if steps > self.steps:
            raise InputError(
                Problem(
                    f"{steps} steps",
                    f"at most {self.steps} in one message",
                    "Send them in several messages: the state is kept from one to the next.",
                    "message",
                )
            )
        if steps < 0:
            raise InputError(Problem(f"{steps} steps", "at least one", where="message"))

    @staticmethod
    def _little(ports: Ports) -> np.dtype[Any]:
        little: np.dtype[Any] = ports.dtype.newbyteorder("<")
        return little


Form = Literal["raw", "records", "events", "step", "steps"]
"""How a message was written, and so its answer."""


def _record(ports: Ports) -> np.dtype[Any]:
    """An event as binary messages hold it."""
    value = ports.dtype.newbyteorder("<")
    return np.dtype([("step", "<u4"), ("index", "<u4"), ("value", value)])
