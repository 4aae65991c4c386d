"""`t1c serve` as a process of its own, told to stop in the middle of its work."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner
from websockets.exceptions import ConnectionClosed

from t1c import bridge, ir
from t1c.cli import app

from .engine_helpers import recurrent
from .serve_clients import numbers, soon, stream

STREAMS, MESSAGES, STEPS = 4, 4000, 64


class Talk(threading.Thread):
    """A client that sends step after step, and keeps what comes until it is told farewell."""

    def __init__(self, url: str, xs: Any) -> None:
        super().__init__()
        self.url, self.xs = url, xs
        self.came: list[Any] = []
        self.farewell: Any = None

    def run(self) -> None:
        with stream(self.url) as socket:
            sender = threading.Thread(target=self._send, args=[socket])
            sender.start()
            try:
                while True:
                    self.came.append(numbers(socket.recv(60), 6))
            except ConnectionClosed as closed:
                self.farewell = closed.rcvd
            sender.join()

    def _send(self, socket: Any) -> None:
        try:
            for x in self.xs:
                socket.send(x.tobytes())
        except (ConnectionClosed, OSError):
            return


@contextlib.contextmanager
def ended(process: Any) -> Iterator[None]:
    try:
        yield
    finally:
        process.kill()


@pytest.mark.slow
def test_sigterm_in_the_middle_loses_nothing_that_was_accepted(tmp_path):
    model = tmp_path / "model.t1c"
    ir.write(model, recurrent(1))
    command = [sys.executable, "-m", "t1c.cli", "serve", str(model), "--port", "0", "--json"]
    with (
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process,
        ended(process),
    ):
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        sent = (np.random.default_rng(0).random((STREAMS, MESSAGES, STEPS, 4)) < 0.5).astype(
            np.float32
        )
        talks = [Talk(url, own) for own in sent]
        for talk in talks:
            talk.start()
        assert soon(lambda: all(len(talk.came) > 10 for talk in talks))
        process.send_signal(signal.SIGTERM)
        for talk in talks:
            talk.join(60)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    report = json.loads(out)
    executor = bridge.ir_to_torch(recurrent(1), dtype=torch.float32, trainable=False)
    for talk, own in zip(talks, sent, strict=True):
        assert (talk.farewell.code, talk.farewell.reason[:17]) == (1001, "the service stops")
        # It was in the middle, and every answer is the one to the message that it answers.
        assert 10 < len(talk.came) < MESSAGES
        xs = torch.from_numpy(own[: len(talk.came)].reshape(-1, 1, 4))
        alone, _ = executor.run(xs)
        np.testing.assert_array_equal(np.concatenate(talk.came), alone[:, 0].numpy())
    assert sum(part.sum() for talk in talks for part in talk.came[1:]) > 10
    # What was accepted was worked, and what was worked was received.
    assert report["messages"] == sum(len(talk.came) for talk in talks)
    assert report["steps"] == report["messages"] * STEPS
    assert (report["streams"], report["unanswered"], report["dropped"]) == (STREAMS, 0, 0)


def test_options_that_are_not_allowed_are_told_and_nothing_listens(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ir.write("model.t1c", recurrent(1))

    def refused(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["serve", "model.t1c", *arguments])
        assert result.exit_code != 0
        return result.stderr

    monkeypatch.delenv("T1C_TOKEN", raising=False)
    assert "--token-file FILE" in refused("--host", "0.0.0.0")
    assert "a token of 5 characters" in refused("--token-file", _written("short"))
    monkeypatch.setenv("T1C_TOKEN", "")
    assert "a token of 0 characters" in refused()
    monkeypatch.delenv("T1C_TOKEN")
    assert "message=8" in refused("--message", "8")
    assert "missing: No such file" in refused("--token-file", "missing")
    assert "--message" in CliRunner().invoke(app, ["serve", "-h"]).stdout


def _written(token: str) -> str:
    with open("token", "w", encoding="utf-8") as file:
        file.write(token + os.linesep)
    return "token"


def test_what_is_missing_is_told_with_how_to_get_it(tmp_path):
    code = "import sys; sys.modules['uvicorn'] = None; from t1c.cli import main; main()"
    ir.write(tmp_path / "model.t1c", recurrent(1))
    ended = subprocess.run(
        [sys.executable, "-c", code, "serve", str(tmp_path / "model.t1c")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: t1c.serve needs")
    assert "pip install 't1c[serve]'" in ended.stderr
