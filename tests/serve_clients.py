"""Clients of a service, and services beside a test."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from websockets.sync.client import ClientConnection, connect

from t1c import serve


@contextmanager
def served(model: Any, **options: Any) -> Iterator[serve.Server]:
    """A service at work in a thread, told to stop at the end."""
    limits = {name: options.pop(name) for name in list(options) if hasattr(serve.Limits, name)}
    server = serve.Server(model, port=0, limits=serve.Limits(**limits), **options)
    there = threading.Event()
    thread = threading.Thread(target=server.run, args=[lambda _: there.set()])
    thread.start()
    try:
        assert there.wait(60)
        yield server
    finally:
        server.stop()
        thread.join(60)
        assert not thread.is_alive()


def ask(
    url: str,
    path: str,
    body: bytes | None = None,
    method: str | None = None,
    **headers: str,
) -> tuple[int, Any, dict[str, str]]:
    """The status of an answer, what it says, and its headers in small letters."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=60)
    try:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method or ("GET" if body is None else "POST"), path, body, given)
        answer = connection.getresponse()
        told = answer.read()
    finally:
        connection.close()
    kinds = {name.lower(): value for name, value in answer.getheaders()}
    if kinds.get("content-type") == "application/json":
        return answer.status, json.loads(told), kinds
    return answer.status, told, kinds


def stream(url: str, query: str = "", **options: Any) -> AbstractContextManager[ClientConnection]:
    """A stream, opened on entering."""
    place = f"{url.replace('http', 'ws')}/stream{query}"
    opened: AbstractContextManager[ClientConnection] = connect(place, compression=None, **options)
    return opened


def stepped(socket: ClientConnection, rows: Any, width: int) -> Any:
    """What comes of steps (T, features), as rows of so many numbers."""
    socket.send(np.asarray(rows, "<f4").tobytes())
    return numbers(socket.recv(60), width)


def numbers(answer: str | bytes, width: int) -> Any:
    """A binary answer as rows."""
    assert isinstance(answer, bytes), answer
    return np.frombuffer(answer, "<f4").reshape(-1, width)


def soon(what: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Whether something comes to be in time."""
    end = time.monotonic() + seconds
    while not what() and time.monotonic() < end:
        time.sleep(0.01)
    return what()
