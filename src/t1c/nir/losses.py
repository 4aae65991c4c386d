"""What an export could not say in NIR, and what it said otherwise for a reader."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Loss:
    """One thing that readers other than t1c will not see.

    Attributes:
        where: the node, such as ``node 'relu' (ReLU)``.
        lost: what NIR has no words for.
        instead: what other readers will run.
    """

    where: str
    lost: str
    instead: str

    def __str__(self) -> str:
        return f"{self.where}: {self.lost}; other readers will run {self.instead}"


@dataclass(frozen=True)
class Change:
    """One thing that is written otherwise than the graph has it, so that a reader gives the same.

    Attributes:
        where: the node, such as ``node 'bn' (BatchNorm2d)``.
        what: what was made of it.
    """

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(frozen=True)
class LossReport:
    """All that an export could not say in NIR; empty, and false, if NIR says it all.

    Attributes:
        losses: they stand in the metadata of the written graph, from where t1c reads them back.
        changes: of a file for a named reader, what is written otherwise so that it gives the same
            spikes there.
        call: of a file for a named reader, how it is read there.
        remarks: of a file for a named reader, what has to be known to get the same spikes.
    """

    losses: tuple[Loss, ...] = ()
    changes: tuple[Change, ...] = ()
    call: str = ""
    remarks: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.losses)

    def __len__(self) -> int:
        return len(self.losses)

    def __str__(self) -> str:
        if self.call:
            told = [f"Read it there with {self.call}", *self.remarks, *map(str, self.changes)]
            return "\n".join(told)
        if not self.losses:
            return "Nothing was lost: NIR says all that the graph says."
        listed = "\n".join(f"  {i}. {loss}" for i, loss in enumerate(self.losses, 1))
        things = f"{len(self.losses)} thing{'s' * (len(self.losses) > 1)}"
        return f"{things} NIR cannot say, kept in metadata for t1c:\n{listed}"
