"""The garbage collector is still while much is built, and only then."""

import gc
import os
import threading

import pytest

from t1c import ir
from t1c.bridge import ir_to_torch
from t1c.ir.collector import building


def graph() -> ir.Graph:
    nodes = {"input": ir.Input((2,)), "skip": ir.Skip(), "output": ir.Output((2,))}
    return ir.Graph(nodes, [("input", "skip"), ("skip", "output")])


def test_the_collector_waits_within_and_goes_on_afterwards():
    assert gc.isenabled()
    with building():
        with building():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_it_goes_on_after_an_error():
    def build() -> None:
        with building():
            states.append(gc.isenabled())
            raise ZeroDivisionError

    states: list[bool] = []
    with pytest.raises(ZeroDivisionError):
        build()
    assert states == [False]
    assert gc.isenabled()


def test_it_stays_off_for_whoever_turned_it_off():
    gc.disable()
    try:
        with building():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_it_goes_on_when_the_last_of_several_threads_has_ended():
    began, end = threading.Event(), threading.Event()

    def build() -> None:
        with building():
            began.set()
            end.wait(10)

    thread = threading.Thread(target=build)
    thread.start()
    assert began.wait(10)
    with building():
        pass
    assert not gc.isenabled()
    end.set()
    thread.join()
    assert gc.isenabled()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_process_that_is_forked_off_meanwhile_collects():
    seen = []
    with building():
        child = os.fork()
        if not child:
            first = gc.isenabled()
            with building():
                inside = gc.isenabled()
            os._exit(0 if first and not inside and gc.isenabled() else 1)
        seen.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        assert not gc.isenabled()
    assert seen == [0]
    assert gc.isenabled()


def test_importing_builds_and_then_collects():
    states = []

    def note(node: ir.Skip) -> None:
        states.append(gc.isenabled())

    ir_to_torch(graph(), node_map=note)
    assert states == [False]
    assert gc.isenabled()
