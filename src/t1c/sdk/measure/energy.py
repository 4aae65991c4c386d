"""What synaptic operations take, by published figures: an estimate, never a measurement."""

from __future__ import annotations

from dataclasses import dataclass

_HOROWITZ = (
    'M. Horowitz, "Computing\'s energy problem (and what we can do about it)", ISSCC 2014, '
    "figure 1.1.9: 45 nm, 0.9 V"
)


@dataclass(frozen=True)
class EnergyTable:
    """Picojoules of one operation on some hardware.

    Attributes:
        name: what it is called.
        source: where the figures come from.
        mac: pJ of a multiply-accumulate.
        ac: pJ of an accumulate: an addition alone.

    Example:
        >>> mine = EnergyTable("my chip", "its data sheet", mac=1.2, ac=0.3)
        >>> round(mine.joules(macs=100, acs=1000) * 1e12, 6)
        420.0
    """

    name: str
    source: str
    mac: float
    ac: float

    def joules(self, macs: float, acs: float = 0) -> float:
        """What so many operations take."""
        return (macs * self.mac + acs * self.ac) * 1e-12


FLOAT32_45NM = EnergyTable("45 nm, float32", f"{_HOROWITZ}: 3.7 + 0.9", mac=4.6, ac=0.9)
FLOAT16_45NM = EnergyTable("45 nm, float16", f"{_HOROWITZ}: 1.1 + 0.4", mac=1.5, ac=0.4)
INT32_45NM = EnergyTable("45 nm, int32", f"{_HOROWITZ}: 3.1 + 0.1", mac=3.2, ac=0.1)
INT8_45NM = EnergyTable("45 nm, int8", f"{_HOROWITZ}: 0.2 + 0.03", mac=0.23, ac=0.03)
TABLES = (FLOAT32_45NM, FLOAT16_45NM, INT32_45NM, INT8_45NM)


@dataclass(frozen=True)
class EnergyEstimate:
    """What the synaptic operations of a sample take, by a table.

    Nothing else is counted: no memory that is read or written, no neuron that is updated, no
    hardware that waits. It compares networks; it does not tell what a chip draws.

    Attributes:
        table: the figures.
        effective: joules of the operations that have something to add.
        dense: joules if all products were worked out as multiply-accumulates.
    """

    table: EnergyTable
    effective: float
    dense: float
