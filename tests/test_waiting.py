"""How threads wait: asleep on a busy machine, and as the user says."""

import os
import subprocess
import sys
import textwrap

import pytest
import torch

from t1c.bridge.engine.kernels import threads as room
from t1c.bridge.engine.kernels import waiting
from t1c.bridge.engine.kernels.waiting import Waiting

on_gnu = pytest.mark.skipif(
    sys.platform != "linux" or room._openmp() is None, reason="another OpenMP"
)


class Machine:
    """A clock, and how often the process was put aside."""

    def __init__(self, monkeypatch, threads=2):
        for name in waiting.VARIABLES:
            monkeypatch.delenv(name, raising=False)
        self.now, self.times, self.regions = 100.0, 7, []
        self.waiting = Waiting(
            self.regions.append, lambda: threads, lambda: self.times, lambda: self.now
        )

    def works(self, seconds, rate):
        """The process works for a while, and is put aside so many times a second."""
        for _ in range(round(seconds * 100)):
            self.now += 0.01
            self.times += rate / 100
            self.waiting.look()
        return self.waiting.asleep


def test_threads_sleep_while_the_machine_is_busy(monkeypatch):
    machine = Machine(monkeypatch)
    assert not machine.works(5, rate=2)
    assert machine.works(0.2, rate=200)
    assert machine.works(5, rate=200)
    assert machine.works(0.5, rate=0), "a short lull"
    assert machine.works(0.5, rate=40)
    assert not machine.works(1.2, rate=5)
    assert not machine.works(5, rate=40), "between the two limits nothing changes"
    assert machine.works(0.2, rate=200)
    machine.waiting.wake()
    assert len(machine.regions) == 2, "a thread is kept once for each busy time"


def test_many_looks_in_a_row_cost_one(monkeypatch):
    machine = Machine(monkeypatch)
    looks = []
    machine.waiting._put_aside = lambda: looks.append(1) or 0
    for _ in range(1000):
        machine.now += 1e-4
        machine.waiting.look()
    assert 1 <= len(looks) <= 3


def test_few_threads_of_many_processors_are_left_alone(monkeypatch):
    machine = Machine(monkeypatch, threads=waiting.MOST + 1)
    assert not machine.works(1, rate=1000)
    assert not machine.regions


@pytest.mark.parametrize("variable", waiting.VARIABLES)
def test_a_user_who_says_how_to_wait_is_obeyed(variable, monkeypatch):
    machine = Machine(monkeypatch)
    monkeypatch.setenv(variable, "1000")
    assert not Waiting(machine.regions.append, lambda: 2, lambda: 0, lambda: 0.0)._region
    assert machine.works(0.2, rate=1000), "what was made before keeps its way"
    machine.waiting.wake()


def apart(code, **environment):
    """The lines that a fresh process prints."""
    kept = {k: v for k, v in os.environ.items() if k not in waiting.VARIABLES}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={**kept, **environment},
    )
    return done.stdout.splitlines()


@pytest.mark.slow
@on_gnu
@pytest.mark.skipif(torch.get_num_threads() < 2, reason="one thread waits for nobody")
def test_threads_that_wait_leave_the_processor_and_come_back():
    """What is measured is the time of processors, which other processes do not change."""
    code = """
        import os, time
        import torch
        from t1c.bridge.engine.kernels import threads as room

        torch.set_num_threads(room.processors())
        waiting = room._waiting()
        waiting.look = lambda: None

        def count():
            return len(os.listdir("/proc/self/task"))

        def spent():
            # Of processors while nobody works, after each of some regions.
            before = time.process_time()
            for _ in range(10):
                room.share(lambda first, last: None, 64, 10**9)
                time.sleep(0.03)
            return time.process_time() - before

        spent()
        first = count()
        awake = spent()
        waiting._sleep(waiting._region, waiting._count())
        time.sleep(0.3)
        more = count() - first
        asleep = spent()
        waiting.wake()
        for _ in range(100):
            if count() == first:
                break
            time.sleep(0.05)
        print(more, count() - first, awake, asleep, spent())
    """
    more, left, awake, asleep, again = map(float, apart(code)[0].split())
    assert more == 2, "one that stays, and one in its region"
    assert left == 0
    assert asleep < awake / 3
    assert asleep < again / 3


SAID: tuple[dict[str, str], ...] = ({}, {"OMP_WAIT_POLICY": "active"}, {"GOMP_SPINCOUNT": "1000"})
PROBE = f"""
    import os, sys
    from t1c import cli, ir, sdk

    class Probe:
        def find_spec(self, name, path=None, target=None):
            if name == "torch":
                said = [os.environ.get(name) for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")]
                print("torch", *said, flush=True)
                os._exit(0)

    assert "torch" not in sys.modules
    sys.meta_path.insert(0, Probe())
    sys.argv = ["t1c", "run", "examples/digits.t1c", "examples/digits_test.npz", "--quiet"]
    for said in {SAID}:
        if not os.fork():
            os.environ.update(said)
            cli.main()
        os.wait()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_the_command_says_how_to_wait_before_torch_is_there():
    """And obeys a user who has said it."""
    assert apart(PROBE) == ["torch passive None", "torch active None", "torch None 1000"]
