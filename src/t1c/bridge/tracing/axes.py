"""What the axes of tensors are: time, batch, both merged, or features.

An axis is a list of *atoms*, outermost first; that of ``x.flatten(0, 1)`` has two. Atoms go with
the numbers: a permutation moves them, a reshape groups them anew, an elementwise operation says
that those of its inputs are the same. What one neuron knows of one of them (that it is time) is
then known everywhere, before and behind it. No size is ever compared with another, so that it does
not matter whether T equals B or a number of channels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

TIME, BATCH = "time", "batch"
STILL = "still"
"""One step that stands for all: a new axis of one, where a module wants time."""


class AxisError(Exception):
    """What an operation does to an axis has no meaning step by step; the message says what."""


class Atom:
    """An axis that no reshape has taken apart.

    Args:
        size: its length.
        free: along it all values are the same (copies), or constants: it is whatever it meets.
        part_of: the axis of which a slice left this part; or which is a part of this one, beside
            constants.
    """

    def __init__(self, size: int, free: bool = False, part_of: Atom | None = None) -> None:
        self.size, self.free = size, free
        self._role: str | None = None
        self._same: Atom | None = None
        self._parts: list[Atom] | None = None
        self._part_of = part_of

    def found(self) -> Atom:
        """The atom that stands for this one."""
        atom = self
        while atom._same is not None:
            atom = atom._same
        return atom

    @property
    def role(self) -> str | None:
        """TIME, BATCH, STILL, or None: a feature, as far as is known."""
        return self.found()._role

    @property
    def part_of(self) -> Atom | None:
        """The axis of which it is a part, or which is one of it, if that was not taken apart."""
        whole = self.found()._part_of
        return whole.found() if whole is not None and len(whole.leaves()) == 1 else None

    def leaves(self) -> list[Atom]:
        """The atoms that it was taken apart into; itself if it was not."""
        atom = self.found()
        if atom._parts is None:
            return [atom]
        return [leaf for part in atom._parts for leaf in part.leaves()]

    def split(self, outer: int) -> None:
        """Take it apart into ``outer`` runs."""
        atom = self.found()
        if atom._role is not None:
            raise AxisError(f"the {atom._role} axis of {atom.size} is cut into {outer} pieces")
        atom._parts = [Atom(outer, atom.free), Atom(atom.size // outer, atom.free)]

    def become(self, role: str) -> None:
        """Say that it is time, the batch, or one step that stands for all."""
        leaves = self.leaves()
        if len(leaves) != 1:
            raise AxisError(f"an axis that is several is taken for {role}")
        (atom,) = leaves
        if atom._role not in (None, role):
            raise AxisError(f"the {atom._role} axis is taken for {role}")
        atom._role = role


Dim = tuple[Atom, ...]
Dims = tuple[Dim, ...]


def fresh(shape: Iterable[int], free: bool = False) -> Dims:
    """Axes that nothing is known of."""
    return tuple((Atom(n, free),) for n in shape)


def leaves(dim: Sequence[Atom]) -> list[Atom]:
    """The atoms of an axis, taken apart as far as is known."""
    return [leaf for atom in dim for leaf in atom.leaves()]


def roles(dim: Sequence[Atom]) -> set[str | None]:
    """What an axis holds; axes of size 1 hold nothing unless they have a role."""
    return {a.role for a in leaves(dim) if a.size != 1 or a.role is not None}


def is_lead(dim: Sequence[Atom]) -> bool:
    """Whether an axis is time, batch or both."""
    found = roles(dim)
    if found <= {TIME, BATCH, STILL}:
        return bool(found)
    if found != {None}:
        raise AxisError(f"{' and '.join(sorted(r or 'features' for r in found))} share an axis")
    return False


def has(dims: Dims, role: str) -> bool:
    """Whether any axis holds time, or the batch."""
    for dim in dims:
        for part in dim:
            # The usual atom is whole: asked of every value, again and again.
            atom = part.found()
            if atom._parts is None:
                if atom._role == role:
                    return True
            elif any(leaf._role == role for leaf in atom.leaves()):
                return True
    return False


def features(dims: Dims) -> list[int]:
    """The numbers of the axes that are features, in order."""
    return [i for i, dim in enumerate(dims) if not is_lead(dim)]


def unify(a: Sequence[Atom], b: Sequence[Atom]) -> None:
    """Say that two axes of one size are the same."""
    mine, theirs = leaves(a), leaves(b)
    while mine and theirs:
        x, y = mine[0], theirs[0]
        if x.size == y.size:
            _merge(x, y)
            mine.pop(0)
            theirs.pop(0)
        elif x.size == 1 and x.role is None:
            mine.pop(0)
        elif y.size == 1 and y.role is None:
            theirs.pop(0)
        elif x.size % y.size == 0:
            x.split(y.size)
            mine[:1] = x.leaves()
        elif y.size % x.size == 0:
            y.split(x.size)
            theirs[:1] = y.leaves()
        else:
            raise AxisError(f"axes grouped as {x.size} and as {y.size} are taken for one")


def _merge(a: Atom, b: Atom) -> None:
    a, b = a.found(), b.found()
    if a is b:
        return
    if a.free or (b._role is not None and not b.free):
        a, b = b, a
    if None not in (a._role, b._role) and a._role != b._role:
        raise AxisError(f"the {a._role} axis of one is the {b._role} axis of the other")
    a._role = a._role or b._role
    a._part_of = a._part_of or b._part_of
    b._same = a


def broadcast(all_dims: Sequence[Dims]) -> Dims:
    """The axes of what torch broadcasts: lined up from the right, 1 giving way."""
    rank = max((len(dims) for dims in all_dims), default=0)
    result: list[Dim] = []
    for i in range(rank):
        met: Dim | None = None
        for dims in all_dims:
            j = i - rank + len(dims)
            if j < 0:
                continue
            dim = dims[j]
            if met is None or (size(met) == 1 and size(dim) != 1):
                met = dim
            elif size(dim) == size(met):
                unify(dim, met)
        result.append(met or ())
    return tuple(result)


def size(dim: Sequence[Atom]) -> int:
    """The length of an axis."""
    return math.prod(atom.found().size for atom in dim)


def regroup(dims: Dims, shape: Sequence[int]) -> Dims:
    """The axes after a reshape: the same atoms in the same order, cut anew."""
    waiting = [leaf for dim in dims for leaf in leaves(dim)]
    result: list[Dim] = []
    for n in shape:
        dim: list[Atom] = []
        done = 1
        if n == 1 and waiting and waiting[0].size == 1:
            dim.append(waiting.pop(0))
        while done < n:
            if not waiting:
                raise AxisError(f"axes do not make up a shape {tuple(shape)}")
            atom = waiting.pop(0)
            if atom.role == STILL:
                continue
            if (n // done) % atom.size and atom.size % (n // done) == 0:
                atom.split(n // done)
                first, rest = atom.leaves()
                waiting.insert(0, rest)
                atom = first
            if n % (done * atom.size):
                raise AxisError(f"a reshape to {tuple(shape)} cuts across axes")
            done *= atom.size
            dim.append(atom)
        result.append(tuple(dim))
    if waiting and any(a.role is not None for a in waiting) and result:
        result[-1] = (*result[-1], *waiting)
    return tuple(result)
