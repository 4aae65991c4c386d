"""What one row of the table consists of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from .by_jax import Remote
from .model import Model
from .networks import Network, Workload

Kind = Literal["run", "step", "graded", "learnt", "train", "memory", "stream"]
"""A sequence, a step, one with gradients on, a training step, its peak memory, and a stream's
time and memory."""

OURS = "t1c"
FLOOR = "floor"
FLOOR_LAST = "floor, channels last"
FLOOR_TRAINED = "floor, in training"


@dataclass(frozen=True)
class Candidate:
    """One way of running a network."""

    name: str
    make: Callable[[], Callable[[Network], Model]] | None
    """Imports the framework and gives what makes its network; None is a floor."""
    same: bool = True
    """Whether it means what t1c means, spike for spike."""
    note: str = ""
    remote: Callable[..., Remote] | None = None
    """Has another process run it, in an environment of its own, instead of ``make``."""


@dataclass(frozen=True)
class Target:
    """What a row is to reach: against the fastest (or smallest) of some candidates."""

    against: tuple[str, ...]
    reach: float
    most: bool = False
    """False: theirs is at least `reach` times ours. True: ours is at most `reach` of theirs."""
    title: str = ""
    """What the table calls them, if they are several."""
    ours: str = ""
    """Which of our ways is to reach it, if it is not the first."""


@dataclass(frozen=True)
class Row:
    """A workload, who runs it, and what is to come out."""

    key: str
    """For choosing rows; several may share it."""
    title: str
    kind: Kind
    workload: Callable[[], Workload]
    candidates: tuple[Candidate, ...] = ()
    targets: tuple[Target, ...] = ()
