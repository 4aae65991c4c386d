"""Every trick that is known to hurt a reader of HDF5 bounces, in time and memory that it is worth.

The tricks are in ``tests/attacks``, one function for each. What they are made of was found by
mutation, by reading how HDF5's library walks its structures, and in its own list of troubles.
"""

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from t1c import ir, nir

from .attacks import TRICKS
from .attacks.fuzz import DAMAGED, MEANINGLESS, PASSED, cases
from .attacks.image import FLOAT32, Image
from .hostile_reader import Outcome, outcomes

DATA = Path(__file__).parent / "data" / "hostile"
SIZE = 60_000
SECONDS, MEGABYTES = 0.5, 200
"""What a small file may cost: what an array of 64 MiB costs to unpack, in the worst case."""


def costly(found: Sequence[Outcome]) -> list[Outcome]:
    return [o for o in found if o.seconds > SECONDS or o.megabytes > MEGABYTES]


@pytest.fixture(scope="module")
def bounced(tmp_path_factory):
    """What became of each trick, by (name, format)."""
    folder = tmp_path_factory.mktemp("tricks")
    paths = {}
    for name, trick in TRICKS.items():
        raw = trick.make(SIZE)
        for kind in trick.formats:
            paths[name, kind] = folder / f"{name}.{kind}"
            paths[name, kind].write_bytes(raw)
    return dict(zip(paths, outcomes(list(paths.values())), strict=True))


def test_what_tricks_hide_in_is_sound(tmp_path):
    """Without the trick the file opens, both ways: it is the trick that is refused."""
    image = Image()
    raw = image.network(image.dataset(FLOAT32, (2,), np.array([1, 2], "f4").tobytes()))
    for kind in ("t1c", "nir"):
        (tmp_path / f"sound.{kind}").write_bytes(raw)
    graph = ir.read(tmp_path / "sound.t1c")
    assert list(graph.nodes) == ["a", "b"]
    np.testing.assert_array_equal(graph.metadata["hidden"], np.array([1, 2], "f4"))
    assert graph.edges == [("a", "b")]
    again = nir.read(tmp_path / "sound.nir", dt=1e-3)
    assert [node.shape for node in again.nodes.values()] == [(3,), (3,)]


@pytest.mark.parametrize("name", TRICKS)
def test_a_trick_bounces(bounced, name):
    trick = TRICKS[name]
    found = [bounced[name, kind] for kind in trick.formats]
    assert found
    for outcome in found:
        assert outcome.refused, outcome
        assert trick.says in outcome.message, outcome.message
        assert outcome.path.name in outcome.message
    assert costly(found) == []


def test_there_are_tricks_of_every_kind():
    assert len(TRICKS) > 70
    assert all(trick.make.__module__.startswith("tests.attacks") for trick in TRICKS.values())


def test_files_that_hurt_once_bounce(tmp_path):
    """Files that mutation found: they hung or filled the memory, or were accepted and not run."""
    kept = [path for path in sorted(DATA.iterdir()) if path.suffix in (".t1c", ".nir")]
    assert len(kept) >= 10
    found = outcomes([Path(shutil.copy(path, tmp_path)) for path in kept])
    assert [o for o in found if not o.refused] == []
    assert costly(found) == []


def test_two_thousand_changed_files_bounce_or_are_sound():
    """``make fuzz`` tries as many as one likes; tests/attacks/fuzz.py says what passes."""
    found = cases(2000)
    assert len(found) == 2000
    assert [case for case in found if not case.passed] == []
    # What is changed matters: whatever the structure, many of the files are refused, and some are
    # not, so that what lies behind is reached.
    for kind in {case.kind for case in found}:
        results = [case.result for case in found if case.kind == kind]
        refused = sum(result in (DAMAGED, MEANINGLESS) for result in results)
        assert refused >= 0.2 * len(results), (kind, refused, len(results))
    assert len({case.kind for case in found}) >= 15
    counts = Counter(case.result for case in found)
    assert min(counts[result] for result in PASSED) > 10, counts
