"""What is declared of a framework that writes and reads NIR, in each of the files beside this.

NIR is written in continuous time and says nothing of the step, the reset by subtraction or a
comparison with ``>=``. Exporters write weights that NIR's equations do not give back, and importers
ignore what they do not know. A ``Dialect`` holds what one framework means by the files that it
writes, by which they are read here, and what its importer makes of a file, by which files are
written for it. The two are not each other's inverse in any of the frameworks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from t1c.ir import Node
from t1c.ir.errors import Problem
from t1c.ir.fields import Array

from ..conventions import Conventions, Gain

Check = Callable[[Node], Problem | None]
"""What is wrong with a node for a reader; None if nothing."""


@dataclass(frozen=True)
class Neurons:
    """How an importer runs neurons of one type, and so how they are written.

    Attributes:
        gain: how much of the input a step adds: 'unit', all of it (r = tau); 'decayed', 1/tau of
            it (r = 1); 'either' of these; 'free', as r and w_in say; 'synaptic', all of the
            current, which takes of the input what its decay leaves. Another gain is written as
            thresholds of a membrane in other units.
        write_as: the type that says the same and that the importer runs, where it does not run
            this one; '' for the same type.
        alike: fields that the importer takes one number of, for all neurons.
        least_tau: the shortest time constant in steps; with ``above`` it must be longer.
        above: see ``least_tau``.
        floor: the membrane is kept from falling below -v_threshold.
        fires: it fires; otherwise its output is its membrane, whose units cannot change.
        positive: a threshold below 0 is not run as it is meant.
        single: a layer may hold one neuron only.
    """

    gain: str = "unit"
    write_as: str = ""
    alike: tuple[str, ...] = ()
    least_tau: float = 1.0
    above: bool = False
    floor: bool = False
    fires: bool = True
    positive: bool = False
    single: bool = False


def plain_tau(steps: Array, dt: float) -> Array:
    """Seconds."""
    return steps * dt


@dataclass(frozen=True)
class Reader:
    """What a framework's importer makes of a file.

    Attributes:
        call: how a file is read there; ``{dt}`` stands for the step, ``{read}`` for what the nir
            package makes of the file.
        dt: its step in seconds.
        any_dt: the importer takes another.
        integrator: 'euler' or 'exponential'.
        reset: 'zero' or 'subtract', of every neuron, whatever v_reset says.
        late: the reset happens at the start of the next step.
        fires_at: 'gt' or 'ge'.
        spikes: 'binary', or 'multiple' for as many as the membrane holds thresholds.
        neurons: the types of neurons that it runs.
        layers: the types without state that it runs, with what is asked of each.
        replaced: types of layers that are written as another: 'Linear' -> 'Affine'.
        otherwise: what becomes of all other types, such as 'is dropped without a word'.
        wiring: 'any'; 'depth first', which runs nodes in that order; 'chain'.
        loops: it runs cycles of which the parts without state have no bias.
        gains: 'type.field' -> what it wants a weight to be written as, without using it.
        tau: the time constant that the file has to hold, from steps and dt.
        per_channel: parameters of neurons on feature maps are read per channel only.
        borders: the names that Input and Output must have, or nothing.
        lag: by how many steps later each layer of neurons sends what it should.
        remarks: what a user has to know to get the same spikes.
        evidence: where it was read, and how it was proven.
    """

    call: str
    dt: float
    neurons: Mapping[str, Neurons]
    layers: Mapping[str, tuple[Check, ...]]
    otherwise: str
    any_dt: bool = False
    integrator: str = "euler"
    reset: str = "zero"
    late: bool = False
    fires_at: str = "gt"
    spikes: str = "binary"
    replaced: Mapping[str, str] = field(default_factory=dict)
    wiring: str = "any"
    loops: bool = False
    gains: Mapping[str, Gain] = field(default_factory=dict)
    tau: Callable[[Array, float], Array] = plain_tau
    per_channel: bool = False
    borders: tuple[str, ...] = ()
    lag: int = 0
    remarks: tuple[str, ...] = ()
    evidence: str = ""

    def conventions(self, name: str, dt: float) -> Conventions:
        """Those by which a file written for this reader says what the reader runs."""
        return Conventions(
            dt=dt,
            integrator=self.integrator,
            reset="" if self.reset == "zero" else self.reset,
            fires_at=self.fires_at,
            delayed=tuple(self.neurons) if self.late else (),
            gains=self.gains,
            spikes=self.spikes,
            floors=tuple(kind for kind, how in self.neurons.items() if how.floor),
            dialect=name,
        )


@dataclass(frozen=True, kw_only=True)
class Habits:
    """What a framework's exporter means by the files that it writes.

    Attributes:
        name: as it is passed to ``t1c.nir.read(path, dialect=...)`` and ``t1c.nir.write``.
        dt: its time step in seconds, or None if the file has to tell (Rockpool).
        units: what its time constants count.
        integrator: 'euler' or 'exponential'.
        reset: 'subtract' or 'zero' where the file does not say; '' if its v_reset is right.
        fires_at: 'gt' or 'ge'.
        delayed: the types whose reset happens at the start of the next step.
        gains: 'type.field' -> how the exporter writes a weight, and what its neuron does.
        scaled_tau: the exporter multiplies time constants by dt.
        leading: how many dimensions of its sample (batch, time) the exporter may leave in shapes.
        ignores_v_reset: it has no use for a v_reset in the file.
        remarks: what cannot be expressed, and other things to know.
        evidence: package, version and place in its source.
    """

    name: str
    dt: float | None
    units: str
    integrator: str = "euler"
    reset: str = ""
    fires_at: str = "gt"
    delayed: tuple[str, ...] = ()
    gains: Mapping[str, Gain] = field(default_factory=dict)
    scaled_tau: bool = False
    leading: int = 0
    ignores_v_reset: bool = False
    remarks: tuple[str, ...] = ()
    evidence: str = ""


@dataclass(frozen=True, kw_only=True)
class Dialect(Habits):
    """What a framework means by its files, and what it makes of those that it is given.

    Attributes:
        reader: its importer.
    """

    reader: Reader


SEVERAL = (
    "A neuron may fire several times in a step there (membrane divided by threshold), here once: "
    "results differ where a membrane reaches twice its threshold."
)
"""A remark of the dialects whose files do not say which of the two their neurons do."""
