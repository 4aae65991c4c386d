"""Sound files, and changes to them where it matters: at every kind of structure that is read."""

import bisect
import dataclasses
import functools
import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import h5py

from t1c import ir, nir
from t1c.ir.h5 import btree2, fractal_heap, header, layout, superblock
from t1c.ir.h5.checksum import lookup3, verify
from t1c.ir.h5.source import Source

DATA = Path(__file__).parent.parent / "data"
ANYWHERE = "anywhere"
"""The kind of structure that stands for a change without regard to any."""

SOUND = (
    "t1cir/net_mlp_snn.t1c",
    "t1cir/net_metadata_simple.t1c",
    "t1cir/prim_conv2d_groups.t1c",
    "t1cir/net_residual.t1c",
    "nir/lif.nir",
    "nir/conv2d_stride_pad.nir",
    "nir/metadata.nir",
    "nir/recurrent_affine.nir",
)
_WIDTHS = (1, 1, 2, 4, 8, 8)


@dataclasses.dataclass(frozen=True)
class Region:
    """Bytes of a structure: where they lie, and what it is called."""

    kind: str
    at: int
    count: int


@dataclasses.dataclass(frozen=True)
class Sound:
    """A sound file, and where its structures lie.

    Attributes:
        name: of the file.
        raw: its bytes.
        graph: what it holds.
        regions: kind of structure -> its parts; of what is read, in the order of reading.
        sums: where bytes lie that have a checksum behind them, and how many they are.
        pointers: where an address stands that leads to a structure, ascending.
    """

    name: str
    raw: bytes
    graph: ir.Graph
    regions: dict[str, list[Region]]
    sums: list[tuple[int, int]]
    pointers: list[int]

    @property
    def suffix(self) -> str:
        """'.t1c' or '.nir'."""
        return Path(self.name).suffix


def read(path: Path) -> ir.Graph:
    """The graph in a file of either format."""
    return nir.read(path, dt=1e-3) if path.suffix == ".nir" else ir.read(path)


def surveyed(path: Path) -> Sound:
    """A sound file with the map of its structures, drawn while it is read."""
    raw = path.read_bytes()
    regions: dict[str, list[Region]] = {}
    sums: list[tuple[int, int]] = []
    pay = Source.pay

    def noted(source: Source, at: int, count: int, what: str) -> None:
        pay(source, at, count, what)
        if count:
            regions.setdefault(what, []).append(Region(what, at + source.base, count))

    def summed(block: bytes, what: str, at: int) -> None:
        verify(block, what, at)
        if raw[at : at + 4] != b"FHDB":  # whose sum stands within
            sums.append((at, len(block) - 4))

    with mock.patch.object(Source, "pay", noted):
        readers = (btree2, fractal_heap, header, layout, superblock)
        patches = [mock.patch.object(module, "verify", summed) for module in readers]
        for patch in patches:
            patch.start()
        try:
            graph = read(path)
        finally:
            for patch in patches:
                patch.stop()
    places = {region.at for parts in regions.values() for region in parts}
    pointers = [
        at
        for at in range(len(raw) - 8)
        if raw[at + 4 : at + 8] == b"\0\0\0\0"
        and int.from_bytes(raw[at : at + 8], "little") in places
    ]
    return Sound(path.name, raw, graph, regions, sums, pointers)


def written(folder: Path) -> Iterator[Path]:
    """Sound files with the structures that small files of others lack."""
    few = ir.read(DATA / "t1cir" / "net_mlp_snn.t1c")
    many = {"in": ir.Input((3,)), **{f"node {i}": ir.ReLU(3) for i in range(12)}}
    names = [*many, "out"]
    chain = ir.Graph({**many, "out": ir.Output((3,))}, list(itertools.pairwise(names)))
    # More than eight names: a fractal heap, and trees of version 2.
    ir.write(folder / "many_names.t1c", chain)
    yield folder / "many_names.t1c"
    ir.write(folder / "few.t1c", few)
    kinds: dict[str, dict[str, Any]] = {
        "latest": {"libver": "latest"},
        "packed": {"libver": "earliest"},
        "behind": {"userblock_size": 512},
    }
    for name, options in kinds.items():
        path = folder / f"{name}.t1c"
        with h5py.File(folder / "few.t1c") as source, h5py.File(path, "w", **options) as target:
            _copied(source, target, packed=name != "behind")
        yield path


def _copied(source: Any, target: Any, packed: bool) -> None:
    for name, item in source.items():
        if isinstance(item, h5py.Group):
            _copied(item, target.create_group(name, track_order=True), packed)
        elif packed and item.shape and item.dtype.kind == "f":
            chunks = tuple(max(n // 2, 1) for n in item.shape)
            target.create_dataset(
                name, data=item[()], chunks=chunks, compression=4, shuffle=True, fletcher32=True
            )
        else:
            source.copy(item, target, name)


@functools.cache
def corpus(folder: Path) -> list[Sound]:
    """All sound files; some are written into a folder."""
    return [surveyed(path) for path in [*(DATA / name for name in SOUND), *written(folder)]]


def mutated(sounds: list[Sound], seed: int, number: int) -> tuple[Sound, str, bytes]:
    """The one file of that number: of which sound file, what kind of structure, and its bytes."""
    rng = random.Random(f"{seed}/{number}")
    sound = rng.choice(sounds)
    if rng.random() < 0.15:
        return sound, ANYWHERE, _anywhere(rng, sound.raw)
    raw = bytearray(sound.raw)
    kind = rng.choice(sorted(sound.regions))
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        _within(rng, raw, rng.choice(sound.regions[kind]), sound)
    if rng.random() < 0.8:
        _sum_up(raw, sound)
    return sound, kind, bytes(raw)


def _within(rng: random.Random, raw: bytearray, region: Region, sound: Sound) -> None:
    """Change one number of a structure, or what it points to, or all of it."""
    how = rng.random()
    first = bisect.bisect_left(sound.pointers, region.at)
    inside = sound.pointers[first : bisect.bisect(sound.pointers, region.at + region.count - 8)]
    if how < 0.3 and inside:
        at = rng.choice(inside)
        parts = rng.choice(list(sound.regions.values()))
        raw[at : at + 8] = rng.choice(parts).at.to_bytes(8, "little")
        return
    if how < 0.4:
        other = rng.choice(sound.regions[region.kind])
        count = min(other.count, region.count)
        raw[region.at : region.at + count] = raw[other.at : other.at + count]
        return
    width = rng.choice(_WIDTHS)
    at = region.at + rng.randrange(max(region.count - width, 0) + 1)
    if rng.random() < 0.7:
        at = max(region.at, at - (at - region.at) % width)
    width = min(width, len(raw) - at)
    raw[at : at + width] = _value(rng, raw[at : at + width], region.at, len(raw))


def _value(rng: random.Random, old: bytearray, here: int, size: int) -> bytes:
    """Numbers at which readers stumble."""
    bits = 8 * len(old)
    before = int.from_bytes(old, "little")
    found: int = rng.choice(
        (
            0, 1, 2**bits - 1, 2 ** (bits - 1), 2 ** (bits - 1) - 1, here, here + 8, size, size - 8,
            size + 8, before + 1, before - 1, before * 2, before + 8, before - 8, -before,
            before ^ (1 << rng.randrange(bits)), rng.getrandbits(bits), rng.randrange(size),
            3_000_000_000,
        )
    )  # fmt: skip
    return (found % (1 << bits)).to_bytes(len(old), "little")


def _anywhere(rng: random.Random, sound: bytes) -> bytes:
    """Bytes changed, cut, moved, doubled or zeroed, wherever."""
    raw = bytearray(sound)
    how = rng.randrange(6)
    start, count = rng.randrange(len(raw)), rng.choice((1, 4, 8, 16, 64, 512))
    if how == 0:
        return bytes(raw[:start])
    if how == 1:
        del raw[start : start + count]
    elif how == 2:
        raw[start:start] = raw[start : start + count]
    elif how == 3:
        raw[start : start + count] = bytes(len(raw[start : start + count]))
    elif how == 4:
        source = rng.randrange(len(raw))
        piece = raw[source : source + count]
        raw[start : start + len(piece)] = piece
    else:
        for _ in range(rng.randint(1, 30)):
            at = rng.randrange(len(raw))
            raw[at] = rng.choice((0, 255, 1, 128, raw[at] ^ (1 << rng.randrange(8))))
    return bytes(raw)


def _sum_up(raw: bytearray, sound: Sound) -> None:
    """Put the right checksums behind what was changed, so that it is looked at."""
    for at, count in sound.sums:
        end = at + count + 4
        if raw[at:end] != sound.raw[at:end]:
            raw[end - 4 : end] = lookup3(bytes(raw[at : end - 4])).to_bytes(4, "little")
