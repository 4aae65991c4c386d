"""What a NIR file leaves open, settled: the time step, the integrator, the reset, the comparison.

A graph that comes from NIR carries its conventions in ``metadata['nir']``, so that it can be
exported again with the same ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from t1c.ir.errors import Problem, T1CError
from t1c.ir.fields import show

KEY = "nir"
"""Where a graph or node that came from NIR keeps in its metadata what NIR needs again."""

INTEGRATORS = ("euler", "exponential")
RESETS = ("zero", "value", "subtract", "none")


class ResetWarning(UserWarning):
    """A file's name, or who wrote it, suggests another reset than the one that it is read with."""


class ConventionError(T1CError, ValueError):
    """What a NIR file leaves open was not said, or cannot be told from the file."""


@dataclass(frozen=True)
class Gain:
    """How a producer writes an input weight (r, w_in), and what its neuron does.

    Attributes:
        written: 'tau/dt', '1', 'tau/dt - 1', '1 - dt/tau' or 'tau/dt * exp(-dt/tau)'; a value that
            is none of these is taken as NIR defines it.
        meant: 'unit', the input is added as it is; 'decay', it is added and decays in the same
            step; 'step', the value is a weight for each step, not for each second.
    """

    written: str
    meant: str


@dataclass(frozen=True)
class Conventions:
    """How a graph in continuous time becomes steps.

    Attributes:
        dt: seconds in a step.
        integrator: 'euler' (beta = 1 - dt/tau) or 'exponential' (beta = exp(-dt/tau)).
        reset: 'zero', 'subtract' or 'none' whatever the file says; '' to jump to v_reset, which
            is NIR. What 'subtract' takes off brings a membrane at its threshold to v_reset.
        fires_at: 'gt' as NIR has it, or 'ge'.
        delayed: the types whose reset happens at the start of the next step.
        gains: 'type.field' -> how a weight is to be read; NIR's way where there is none.
        tau_unit: seconds in the unit of the file's time constants; 1 in NIR.
        leading: how many dimensions (batch, time) an Input's shape may have too many.
        spikes: 'binary', or 'multiple' for as many as the membrane holds thresholds.
        floors: the types whose membrane is kept from falling below -v_threshold.
        ignores_v_reset: a v_reset in the file has no meaning.
        dialect: the producer whose conventions these are, or ''.
        remarks: what the reader of the graph should know.
    """

    dt: float
    integrator: str = "euler"
    reset: str = ""
    fires_at: str = "gt"
    delayed: tuple[str, ...] = ()
    gains: Mapping[str, Gain] = field(default_factory=dict)
    tau_unit: float = 1.0
    leading: int = 0
    spikes: str = "binary"
    floors: tuple[str, ...] = ()
    ignores_v_reset: bool = False
    dialect: str = ""
    remarks: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """The conventions as metadata, as short as it can be while it says all."""
        entries = {
            "dt": self.dt,
            "integrator": self.integrator,
            "dialect": self.dialect,
            "reset": self.reset or "as the file says",
            "fires_at": self.fires_at,
            "delayed": list(self.delayed),
            "gains": {name: [gain.written, gain.meant] for name, gain in self.gains.items()},
            "tau_unit": None if self.tau_unit == 1 else self.tau_unit,
            "spikes": "" if self.spikes == "binary" else self.spikes,
            "floors": list(self.floors),
            "ignores_v_reset": self.ignores_v_reset or None,
            "remarks": list(self.remarks),
        }
        return {name: value for name, value in entries.items() if value not in (None, "", [], {})}

    @classmethod
    def recorded(cls, metadata: Mapping[str, Any]) -> Conventions | None:
        """The conventions in a graph's metadata, or None if there are none.

        Raises:
            ConventionError: there are, but somebody broke them.
        """
        entries = metadata.get(KEY)
        if not isinstance(entries, Mapping) or "dt" not in entries:
            return None
        reset = entries.get("reset", "")
        try:
            return cls(
                dt=checked_dt(entries["dt"]),
                integrator=checked_word("integrator", entries["integrator"], INTEGRATORS),
                reset=reset if reset in RESETS else "",
                fires_at=checked_word("fires_at", entries["fires_at"], ("gt", "ge")),
                delayed=tuple(entries.get("delayed", ())),
                gains={n: Gain(*pair) for n, pair in entries.get("gains", {}).items()},
                tau_unit=float(entries.get("tau_unit", 1.0)),
                spikes=checked_word(
                    "spikes", entries.get("spikes", "binary"), ("binary", "multiple")
                ),
                floors=tuple(entries.get("floors", ())),
                ignores_v_reset=bool(entries.get("ignores_v_reset", False)),
                dialect=str(entries.get("dialect", "")),
                remarks=tuple(entries.get("remarks", ())),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as cause:
            raise ConventionError(
                Problem(
                    f"the record of how the graph was imported is damaged ({cause})",
                    remedy="Drop metadata['nir'] and pass dt.",
                    where="graph, metadata['nir']",
                )
            ) from cause


def checked_dt(dt: Any) -> float:
    """``dt`` as a float.

    Raises:
        ConventionError: it is not a positive number.
    """
    number = isinstance(dt, int | float | np.integer | np.floating) and not isinstance(dt, bool)
    if not number or not (dt > 0 and math.isfinite(dt)):
        raise ConventionError(
            Problem(show(dt), "a positive number of seconds, such as 1e-4", field="dt")
        )
    return float(dt)


def checked_word(name: str, word: Any, words: tuple[str, ...]) -> str:
    """``word``, if it is one of ``words``.

    Raises:
        ConventionError: it is not.
    """
    if not isinstance(word, str) or word not in words:
        raise ConventionError(
            Problem(show(word), f"one of {', '.join(map(repr, words))}", field=name)
        )
    return word
