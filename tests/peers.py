"""Frameworks that install with --no-deps: there, or the tests that need them are skipped."""

import importlib
import warnings

import pytest

from .export_helpers import bridge, dyadic, spikes, written

T, B, IN, HIDDEN = 200, 3, 6, 8


def peer(*names):
    """Modules of a framework; the test file is skipped, and says so, where it is not installed."""
    with warnings.catch_warnings():
        # Norse compiles with torch.jit.script, which torch has deprecated.
        warnings.simplefilter("ignore")
        try:
            found = [importlib.import_module(name) for name in names]
        except ImportError as missing:
            pytest.skip(
                f"{missing}: install benchmarks/peers.txt, and peers-no-deps.txt with --no-deps",
                allow_module_level=True,
            )
    return found[0] if len(found) == 1 else found


def agree(model, sample, tmp_path, exact=True, density=0.5, features=(IN,)):
    """That a model and its exported, written and read graph agree over 200 steps.

    Args:
        model: what is exported; its weights are put on a dyadic grid.
        sample: from xs (T, B, ...) to the sample that the model takes.
        tmp_path: where to write.
        exact: whether the membranes have the same bits, and not only lie within rounding.
        density: of the input spikes.
        features: of the input.
    """
    dyadic(model)
    xs = spikes(T, B, *features, density=density)
    graph = written(bridge.to_ir(model, sample(xs)), tmp_path)
    report = bridge.verify(model, graph, xs)
    assert report, str(report)
    assert report.outputs.compared
    assert report.outputs.differing == 0
    fires = any(hasattr(node, "v_threshold") for node in graph.nodes.values())
    if fires:
        assert report.spikes.compared
        assert report.spikes.differing == 0
        assert report.potentials.compared
        assert report.potentials.differing == 0
        assert report.potentials.largest == 0 or not exact
    assert bridge.ir_to_torch(graph).run(xs)[0].count_nonzero()
    return graph
