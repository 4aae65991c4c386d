"""Every valid file of ``tests/data`` and the examples, opened as its producer meant it."""

import contextlib
import warnings
from pathlib import Path

from t1c import ir, nir

from .test_fixture_files import ONLY_OPENS, RUNS, T1CIR

DATA = Path(__file__).parent / "data"
FILES = [
    *RUNS,
    *(path for path in T1CIR if path.stem in ONLY_OPENS),
    Path(__file__).parent.parent / "examples" / "digits.t1c",
    *sorted((DATA / "nir").rglob("*.nir")),
]


@contextlib.contextmanager
def quiet():
    """Dead ends, which some files have, are not what is tested."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ir.GraphWarning)
        yield


def opened(path):
    """The graph of a file; a producer's file by its dialect."""
    with quiet():
        if path.parent.name != "producers":
            return nir.read_graph(path, 1e-3)
        dialect = path.stem.partition("_")[0]
        try:
            # Its files cannot say so; their names do.
            return nir.read(path, dialect=dialect, reset="zero" if "zero" in path.stem else None)
        except nir.ConventionError:
            return nir.read(path, dialect=dialect, dt=1e-3)
