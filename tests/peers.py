"""Frameworks that install with --no-deps: there, or the tests that need them are skipped."""

import importlib
import warnings

import pytest
import torch

from .export_helpers import bridge, dyadic, spikes, written

T, B, IN, HIDDEN = 32, 3, 6, 8


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
    """That a model and its exported, written and read graph agree over T steps.

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


# How users call their models -------------------------------------------------------------------


def stepwise(model, xs):
    """One step per call; the model keeps its states."""
    return torch.stack([model(x) for x in xs])


def handing_on(model, xs):
    """One step per call; the model takes its states and returns them."""
    state, outs = None, []
    for x in xs:
        out, state = model(x, state)
        outs.append(out)
    return torch.stack(outs)


def at_once(model, xs):
    """Whole sequences (T, B, ...)."""
    return model(xs)


def with_states(model, xs):
    """Whole sequences, to (outputs, states)."""
    return model(xs)[0]


def batch_first(model, xs):
    """Whole sequences (B, T, ...)."""
    return model(xs.transpose(0, 1)).transpose(0, 1)


SAMPLES = {
    stepwise: lambda xs: xs[0],
    handing_on: lambda xs: xs[0],
    at_once: lambda xs: xs,
    with_states: lambda xs: xs,
    batch_first: lambda xs: xs.transpose(0, 1),
}


def equal(model, call, xs, tmp_path, *, exact=True, final=False, reset=None, gap=1e-5):
    """That a model's own run and its exported, written and read graph give the same.

    Args:
        model: what is exported, from a sample of another T and B than those of xs.
        call: one of the functions above.
        xs: fresh input (T, B, ...).
        tmp_path: where to write.
        exact: whether all numbers are the same, as those of spikes are; else within rounding.
        final: whether the model answers once, at the end.
        reset: puts the model to rest, as its framework does.
        gap: what is within rounding.

    Returns:
        The graph and what the model gave.
    """
    other = torch.rand(
        6, xs.shape[1] + 1, *xs.shape[2:], generator=torch.Generator().manual_seed(9)
    )
    graph = written(bridge.to_ir(model, SAMPLES[call](other)), tmp_path)
    if reset is not None:
        reset(model)
    model.eval()
    with torch.no_grad():
        wanted = call(model, xs)
    if reset is not None:
        reset(model)
    executor = bridge.ir_to_torch(graph, return_state=True)
    state, outs = {}, []
    with torch.no_grad():
        found, _ = executor.run(xs)
        for x in xs:
            out, state = executor(x, state)
            outs.append(out)
    stepped = outs[-1] if final else torch.stack(outs)
    for mine in (found, stepped):
        assert mine.shape == wanted.shape
        if exact:
            differing = int((mine != wanted).sum())
            assert differing == 0, f"{differing} of {wanted.numel()} differ"
        else:
            torch.testing.assert_close(mine, wanted, rtol=gap, atol=gap)
    assert wanted.count_nonzero(), "nothing happens"
    history = torch.stack(outs)
    assert (history[1:] != history[:1]).any(), "all steps are the first one"
    return graph, wanted
