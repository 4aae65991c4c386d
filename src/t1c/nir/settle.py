"""From what the caller says and what the file tells to the conventions it is read by."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from t1c.ir.errors import Problem
from t1c.ir.fields import Array

from .conventions import (
    INTEGRATORS,
    RESETS,
    ConventionError,
    Conventions,
    checked_dt,
    checked_word,
)
from .dialects import DIALECTS, Habits
from .raw import NirGraph, NirNode
from .recognise import recognise

logger = logging.getLogger(__name__)

STAMP = "t1c"
"""Where t1c notes in a NIR graph's metadata what NIR has no field for: its dt, among others."""

PLAIN = Habits(name="", dt=None, units="s")
"""NIR as NIR defines it."""


def settle(
    raw: NirGraph,
    *,
    dt: float | None,
    reset: str | None,
    integrator: str | None,
    dialect: str | None,
) -> Conventions:
    """The conventions to read ``raw`` by. What the caller says wins over the dialect.

    Raises:
        ConventionError: a word is unknown, no dt is known, or 'auto' cannot tell.
    """
    if integrator is not None:
        integrator = checked_word("integrator", integrator, INTEGRATORS)
    if reset is not None:
        reset = checked_word("reset", reset, RESETS)
    if dialect is not None:
        checked_word("dialect", dialect, (*DIALECTS, "auto"))
    stamp = raw.metadata.get(STAMP)
    noted = stamp.get("dt") if isinstance(stamp, Mapping) else None
    written_for = stamp.get("reader") if isinstance(stamp, Mapping) else None
    if written_for in DIALECTS and dialect in (None, "auto", written_for):
        return _for_its_reader(written_for, noted, dt, reset, integrator)
    habits, remarks = _habits(raw, dialect)
    step = dt if dt is not None else habits.dt if habits.dt is not None else noted
    if step is None and habits.name == "rockpool":
        step = rockpool_dt(raw)
        remarks.append(f"dt = {step:g} s was told from r = tau/dt * exp(-dt/tau).")
    if step is None:
        raise _no_dt()
    step = checked_dt(step)
    unit = 1.0
    if habits.scaled_tau and any((tau < step).any() for tau in time_constants(raw)):
        unit = 1 / step
        remarks.append(f"Time constants were taken to be multiplied by dt = {step:g} s.")
    if habits.name:
        remarks += habits.remarks
    for remark in remarks:
        logger.info(remark)
    return Conventions(
        dt=step,
        integrator=integrator or habits.integrator,
        reset=("" if reset == "value" else reset) if reset is not None else habits.reset,
        fires_at=habits.fires_at,
        delayed=habits.delayed,
        gains=habits.gains,
        tau_unit=unit,
        leading=habits.leading,
        ignores_v_reset=habits.ignores_v_reset,
        dialect=habits.name,
        remarks=tuple(remarks),
    )


def _for_its_reader(
    name: str, noted: Any, dt: float | None, reset: str | None, integrator: str | None
) -> Conventions:
    """The conventions of a file that t1c wrote for a reader: what that reader runs."""
    step = checked_dt(dt if dt is not None else noted)
    c = DIALECTS[name].reader.conventions(name, step)
    remark = f"The file was written for the importer of {name}, and is read as that does."
    return dataclasses.replace(
        c,
        integrator=integrator or c.integrator,
        reset=("" if reset == "value" else reset) if reset is not None else c.reset,
        remarks=(remark,),
    )


def _habits(raw: NirGraph, dialect: str | None) -> tuple[Habits, list[str]]:
    if dialect is None:
        return PLAIN, []
    if dialect != "auto":
        return DIALECTS[dialect], []
    name, why = recognise(raw)
    said = f"Taken for a file of {name}, because {why}."
    logger.warning(said)
    return DIALECTS[name], [said]


def time_constants(raw: NirGraph) -> Iterator[Array]:
    """All time constants of a graph, in the file's unit."""
    for _, node in raw.walk():
        for field in ("tau", "tau_mem", "tau_syn"):
            if _number(node, field):
                yield np.asarray(node.fields[field], dtype=np.float64)


def rockpool_dt(raw: NirGraph) -> float:
    """The dt of a Rockpool file, from r = tau/dt * exp(-dt/tau) of every neuron.

    With T = tau/dt, T exp(-1/T) = r has one solution for r > 0, which Newton's method finds.

    Raises:
        ConventionError: no neuron tells, or two tell different ones.
    """
    found: list[float] = []
    for _, node in raw.walk():
        tau_name = {"LIF": "tau", "LI": "tau", "CubaLIF": "tau_mem"}.get(node.type, "")
        if not (tau_name and _number(node, tau_name) and _number(node, "r")):
            continue
        tau, r = np.broadcast_arrays(
            *(np.asarray(node.fields[n], dtype=np.float64) for n in (tau_name, "r"))
        )
        if (r > 0).all():
            steps = r + 1
            for _ in range(50):
                decay = np.exp(-1 / steps)
                steps = steps - (steps * decay - r) / (decay * (1 + 1 / steps))
            found += (tau / steps).ravel().tolist()
    if not found or not np.allclose(found, found[0], rtol=1e-3, atol=0):
        told = "no neuron tells it" if not found else f"from {min(found):g} to {max(found):g} s"
        raise ConventionError(
            Problem(
                f"dt cannot be told from the file's r = tau/dt * exp(-dt/tau): {told}",
                "the same dt from every neuron",
                "Pass dt, the dt of the Rockpool module.",
            )
        )
    # What the file holds has single precision, and nobody chose a dt of seven digits.
    return float(f"{np.median(found):.5g}")


def _number(node: NirNode, field: str) -> bool:
    value: Any = node.fields.get(field)
    return value is not None and np.asarray(value).dtype.kind in "fiu"


def _no_dt() -> ConventionError:
    used = ", ".join(
        f"{d.name} {'the dt of its module' if d.dt is None else f'{d.dt:g} ({d.units})'}"
        for d in DIALECTS.values()
    )
    return ConventionError(
        Problem(
            "no time step is known: NIR is in continuous time, and its files do not say how many "
            "seconds one step of the simulation lasts",
            "dt in seconds",
            "Pass dt, for example dt=1e-4 (--dt 1e-4), or name the producer with dialect. "
            f"Used were: {used}.",
            field="dt",
        )
    )
