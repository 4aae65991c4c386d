"""Exports beside each other, and beside models that run: in threads of one process, and forked."""

import multiprocessing
import os
import threading

import pytest
import snntorch as snn
import torch
from torch import nn

from t1c.bridge.frameworks.stand_ins import standing_in

from .export_helpers import Loop, bridge, dyadic, spikes


def model(hidden):
    return dyadic(Loop(snn.Leaky(0.5, threshold=2.0), hidden=hidden))


def side_by_side(*works):
    """Whatever each function raises, in its own thread."""
    raised = []

    def guarded(work):
        try:
            work()
        except BaseException as error:  # told by the thread that waits
            raised.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def test_threads_export_each_its_own_model():
    own, vmap = nn.Module.__call__, torch.vmap
    sizes = [4, 5, 6, 7]
    alone = {size: bridge.to_ir(model(size), spikes(8, 2, 6)) for size in sizes}
    made = {size: [] for size in sizes}

    def export(size):
        for _ in range(3):
            made[size].append(bridge.to_ir(model(size), spikes(8, 2, 6)))

    assert side_by_side(*[lambda size=size: export(size) for size in sizes]) == []
    for size in sizes:
        assert len(made[size]) == 3
        assert all(graph.equals(alone[size]) for graph in made[size])
    assert nn.Module.__call__ is own
    assert torch.vmap is vmap


def test_a_model_that_runs_in_another_thread_is_neither_seen_nor_changed():
    running, exported = threading.Event(), threading.Event()
    other, xs = model(12), spikes(8, 2, 6, seed=1)
    alone = bridge.to_ir(model(4), spikes(8, 2, 6))
    with torch.no_grad():
        wanted = other(xs)[0]
    assert wanted.count_nonzero()
    found = []

    def run():
        while not exported.is_set():
            with torch.no_grad():
                found.append(other(xs)[0])
            running.set()

    def export():
        running.wait()
        before = len(found)
        try:
            for _ in range(3):
                assert bridge.to_ir(model(4), spikes(8, 2, 6)).equals(alone)
        finally:
            exported.set()
        assert len(found) > before, "the other model did not run meanwhile"

    assert side_by_side(run, export) == []
    assert all(torch.equal(out, wanted) for out in found)


class Place:
    """Something that has a function, as a module of a framework has."""

    @staticmethod
    def function():
        return "own"


def test_what_stands_in_does_so_for_one_thread_and_for_as_long_as_it_says():
    place, inside, seen = Place(), threading.Event(), []
    own = place.function

    def stand_in():
        with standing_in((place, "function", lambda: "first")):
            with standing_in((place, "function", lambda: "second")):
                seen.append(place.function())
            seen.append(place.function())
            inside.set()
            other.wait()

    other = threading.Event()

    def look():
        inside.wait()
        seen.append(place.function())
        other.set()
        with standing_in((place, "function", lambda: "third")):
            seen.append(place.function())

    assert side_by_side(stand_in, look) == []
    assert seen == ["second", "first", "own", "third"]
    assert place.function is own


def test_what_raises_meanwhile_leaves_nothing_behind():
    own = Place.function
    with pytest.raises(ZeroDivisionError), standing_in((Place, "function", lambda: 1 / 0)):
        Place.function()
    assert Place.function is own


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_process_that_is_forked_meanwhile_can_export():
    """Whose turn it was is a thread that the new process does not have."""
    inside, done, codes = threading.Event(), threading.Event(), []

    def hold():
        with standing_in((Place, "function", lambda: "held")):
            inside.set()
            done.wait()

    def forked():
        with standing_in((Place, "function", lambda: "mine")):
            os._exit(0 if Place.function() == "mine" else 1)

    def fork():
        inside.wait()
        try:
            process = multiprocessing.get_context("fork").Process(target=forked)
            process.start()
            process.join(30)
            codes.append(process.exitcode)
            process.kill()
        finally:
            done.set()

    assert side_by_side(hold, fork) == []
    assert codes == [0]
