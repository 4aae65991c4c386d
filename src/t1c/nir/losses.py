"""What an export could not say in NIR."""

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
class LossReport:
    """All that an export could not say in NIR; empty, and false, if NIR says it all.

    What is listed stands in the metadata of the written graph, from where t1c reads it back.
    """

    losses: tuple[Loss, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.losses)

    def __len__(self) -> int:
        return len(self.losses)

    def __str__(self) -> str:
        if not self.losses:
            return "Nothing was lost: NIR says all that the graph says."
        listed = "\n".join(f"  {i}. {loss}" for i, loss in enumerate(self.losses, 1))
        things = f"{len(self.losses)} thing{'s' * (len(self.losses) > 1)}"
        return f"{things} NIR cannot say, kept in metadata for t1c:\n{listed}"
