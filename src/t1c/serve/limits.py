"""How much a service takes on: sizes, streams, waiting and time."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from t1c.ir.errors import InputError, Problem


@dataclass(frozen=True)
class Limits:
    """What a service takes on at most; what goes beyond is refused, and told why.

    Attributes:
        streams: open at once.
        queue: messages of one stream that are not answered yet; more wait in the connection.
        message: bytes of one message of a stream, as it is sent, and as the numbers of its steps
            take, those that enter and those that leave.
        calls: at work at once.
        call: bytes of one call, likewise; and of the numbers that are worked as one.
        batch: streams, or samples of calls, that are worked as one.
        chunk: steps of them that are worked as one; a power of two.
        idle: seconds that a stream is kept without a message.
        patience: seconds for a client to send a head or a body, or to take an answer.
        work: seconds from a call's last byte to its answer.
        grace: seconds for what was accepted, once the service is told to stop.

    Example:
        >>> Limits(streams=8).streams
        8
    """

    streams: int = 256
    queue: int = 8
    message: int = 2**20
    calls: int = 16
    call: int = 2**24
    batch: int = 256
    chunk: int = 16
    idle: float = 300.0
    patience: float = 30.0
    work: float = 60.0
    grace: float = 10.0

    def __post_init__(self) -> None:
        """Refuse what limits nothing, or lets nothing through.

        Raises:
            InputError: a limit is not positive, a count is not whole, or ``chunk`` is no power of
                two.
        """
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            whole = field.type == "int"
            if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
                raise _no_limit(field.name, value, whole)
            if not (value > 0 and math.isfinite(value)):
                raise _no_limit(field.name, value, whole)
        if self.chunk & (self.chunk - 1):
            raise InputError(Problem(f"chunk={self.chunk}", "a power of two", field="chunk"))


def _no_limit(name: str, value: object, whole: bool) -> InputError:
    expected = "a whole number of at least 1" if whole else "a number of seconds above 0"
    return InputError(Problem(f"{name}={value!r}", expected, field=name))
