"""A service and its clients: what is answered, what is refused, and that nothing is left behind."""

import asyncio
import contextlib
import io
import json
import socket
import struct
import threading
import time
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch
from websockets.exceptions import ConnectionClosed, InvalidStatus

from t1c import bridge, ir, serve
from t1c.ir.errors import InputError

from .engine_helpers import mlp, recurrent
from .serve_clients import ask, numbers, served, soon, stepped, stream

pytestmark = pytest.mark.usefixtures("one_thread")
TOKEN = "a-token-of-many-characters"
RNG = np.random.default_rng(0)
WIDE = ir.Graph(
    {"in": ir.Input((1,)), "up": ir.Linear(np.ones((2000, 1))), "out": ir.Output((2000,))},
    [("in", "up"), ("up", "out")],
)


def spikes(*shape: int) -> Any:
    return (RNG.random(shape) < 0.5).astype(np.float32)


def alone(graph: ir.Graph, xs: Any) -> Any:
    """What steps (T, features) give on an executor of their own."""
    executor = bridge.ir_to_torch(graph, dtype=torch.float32, trainable=False)
    return executor.run(torch.from_numpy(xs)[:, None])[0][:, 0].numpy()


def idle(server: serve.Server) -> bool:
    """Whether nobody is served, and nothing is kept of those who were."""
    service = server.service
    rows = service.batching.rows
    return not (service.streams or service.calls or rows.taken or rows.held)


def tasks(server: serve.Server) -> int:
    loop = server._uvicorn._loop
    assert loop is not None
    return len(asyncio.all_tasks(loop))


def opened(url: str, query: str = "", **options: Any) -> None:
    with stream(url, query, **options):
        pytest.fail("it was let in")


@pytest.fixture(scope="module")
def small():
    with served(recurrent(1)) as server:
        yield server


# What is answered --------------------------------------------------------------------------------


def test_a_service_tells_what_it_serves(small):
    assert ask(small.url, "/health")[:2] == (200, {"status": "ok"})
    status, info, _ = ask(small.url, "/info")
    assert status == 200
    assert info["inputs"] == [{"name": "input", "shape": [4], "features": 4, "hold": None}]
    assert info["outputs"] == [{"name": "output", "shape": [6], "features": 6, "final": False}]
    assert (info["dtype"], info["dt"]) == ("float32", None)
    assert info["message_steps"] == 2**20 // (6 * 4)
    # v, and what was sent, of 6 neurons.
    assert info["state_bytes"] == 2 * 6 * 4
    assert info["limits"]["streams"] == 256


def test_samples_are_run_from_rest_whatever_form_they_come_in(small):
    xs = spikes(7, 5, 4)
    expected = np.stack([alone(recurrent(1), xs[:, n]) for n in range(5)], axis=1)
    assert expected[1:].sum() > 10
    body = json.dumps({"x": xs.tolist()}).encode()
    status, told, _ = ask(small.url, "/run", body, content_type="application/json")
    assert (status, told["steps"], told["samples"]) == (200, 7, 5)
    np.testing.assert_array_equal(told["out"], expected)
    file = io.BytesIO()
    np.savez(file, x=xs)
    status, told, _ = ask(
        small.url, "/run?collect=sum", file.getvalue(), content_type="application/x-npz"
    )
    assert status == 200
    with np.load(io.BytesIO(told)) as found:
        np.testing.assert_array_equal(found["out"], expected.sum(0))
    assert soon(lambda: idle(small))


def test_streams_side_by_side_are_each_what_they_would_be_alone(small):
    before = tasks(small)
    xs = spikes(20, 12, 4)
    came: list[list[Any]] = [[] for _ in range(12)]
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(stream(small.url)) for _ in came]
        for first in range(0, 20, 4):
            for n in RNG.permutation(12):
                # Some send four steps at once, others one after another before they listen.
                for part in np.split(xs[first : first + 4, n], [1, 2, 3] if n % 2 else []):
                    sockets[n].send(part.tobytes())
            for n in range(12):
                came[n] += [numbers(sockets[n].recv(60), 6) for _ in range(4 if n % 2 else 1)]
    for n, found in enumerate(came):
        np.testing.assert_array_equal(np.concatenate(found), alone(recurrent(1), xs[:, n]))
    assert sum(part[-1].sum() for found in came for part in found) > 20
    assert soon(lambda: idle(small))
    assert soon(lambda: tasks(small) <= before)


def test_one_stream_may_speak_in_every_form(small):
    xs = spikes(4, 4)
    expected = alone(recurrent(1), xs)
    with stream(small.url, "?binary=uint8") as socket:
        socket.send(json.dumps({"x": xs[0].tolist()}))
        np.testing.assert_array_equal(json.loads(socket.recv(60))["out"], expected[0])
        events = np.argwhere(xs[1:2]).tolist()
        socket.send(json.dumps({"steps": 1, "events": events}))
        told = json.loads(socket.recv(60))
        assert [e[1] for e in told["events"]] == np.flatnonzero(expected[1]).tolist()
        socket.send(xs[2:].astype(np.uint8).tobytes())
        np.testing.assert_array_equal(numbers(socket.recv(60), 6), expected[2:])


def test_a_message_that_is_refused_leaves_the_stream_as_it_was(small):
    xs = spikes(2, 4)
    with stream(small.url) as socket:
        first = stepped(socket, xs[:1], 6)
        socket.send(b"123")
        told = json.loads(socket.recv(60))["error"]["problems"][0]
        assert told["found"] == "3 bytes"
        socket.send("[")
        assert "no JSON" in json.loads(socket.recv(60))["error"]["message"]
        second = stepped(socket, xs[1:], 6)
    np.testing.assert_array_equal(np.concatenate([first, second]), alone(recurrent(1), xs))


# Who is let in -----------------------------------------------------------------------------------


def test_nobody_comes_in_without_the_token_but_to_ask_for_health():
    with served(mlp(), token=TOKEN, origins=["http://localhost:3000"]) as server:
        bearer = f"Bearer {TOKEN}"
        assert ask(server.url, "/health")[0] == 200
        for headers in ({}, {"authorization": TOKEN}, {"authorization": bearer[:-1]}):
            status, told, kinds = ask(server.url, "/info", **headers)
            assert (status, kinds["www-authenticate"]) == (401, "Bearer")
            assert "Authorization: Bearer TOKEN" in told["error"]["message"]
            assert TOKEN not in str(told)
            with pytest.raises(InvalidStatus) as refused:
                opened(server.url, additional_headers=headers)
            assert refused.value.response.status_code == 401
        assert ask(server.url, f"/info?token={TOKEN}")[0] == 401
        # With the token a service may be known by any name, and to the pages that are named.
        for more in ({}, {"host": "far.example"}, {"origin": "http://localhost:3000"}):
            assert ask(server.url, "/info", authorization=bearer, **more)[0] == 200
        assert ask(server.url, "/info", authorization=bearer, origin="http://b.example")[0] == 403
        with stream(server.url, additional_headers={"Authorization": bearer}) as socket:
            assert stepped(socket, spikes(3, 4), 3).shape == (3, 3)


def test_no_web_page_comes_in_and_no_name_that_points_here(small):
    assert "http://evil.example" in str(ask(small.url, "/info", origin="http://evil.example"))
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "0.0.0.0", ""):
        assert ask(small.url, "/info", host=host)[0] == 403
    for host in ("localhost", "localhost:1", "[::1]:80", "127.0.0.1"):
        assert ask(small.url, "/info", host=host)[0] == 200
    with pytest.raises(InvalidStatus):
        opened(small.url, origin="http://evil.example")


def test_other_machines_are_not_listened_to_without_a_token(monkeypatch):
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.org"):
        with pytest.raises(InputError, match=r"without a token.*--token-file"):
            serve.Server(mlp(), host=host)
    for token in ("", "short", "a token with blanks in it", "ä" * 20):
        with pytest.raises(InputError, match="at least 16"):
            serve.Server(mlp(), token=token)
    taken = socket.create_server(("127.0.0.1", 0))
    with taken, pytest.raises(OSError, match="in use"):
        serve.Server(mlp(), port=taken.getsockname()[1])


# Limits ------------------------------------------------------------------------------------------


def test_there_are_as_many_streams_as_there_may_be():
    with served(mlp(), streams=2) as server:
        with stream(server.url) as first, stream(server.url):
            with pytest.raises(InvalidStatus) as refused:
                opened(server.url)
            assert refused.value.response.status_code == 503
            told = json.loads(refused.value.response.body)["error"]["problems"][0]
            assert (told["found"], told["expected"]) == ("2 open streams", "at most 2")
            assert stepped(first, spikes(1, 4), 3).shape == (1, 3)
        assert soon(lambda: idle(server))
        with stream(server.url) as another:
            assert stepped(another, spikes(1, 4), 3).shape == (1, 3)


def test_more_than_may_wait_waits_in_the_connection_and_is_answered_in_order():
    xs = spikes(200, 4)
    with served(recurrent(1), queue=2) as server, stream(server.url) as socket:
        for x in xs:
            socket.send(x.tobytes())
        came = [numbers(socket.recv(60), 6) for _ in xs]
    np.testing.assert_array_equal(np.concatenate(came), alone(recurrent(1), xs))


def test_what_is_too_large_is_refused():
    with served(mlp(), message=160, call=2000) as server:
        assert ask(server.url, "/info")[1]["message_steps"] == 10
        with stream(server.url) as socket:
            socket.send(bytes(176))
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(60)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1009
        with stream(server.url, "?binary=uint8") as socket:
            socket.send(bytes(44))
            assert "11 steps" in str(socket.recv(60))
        status, told, _ = ask(server.url, "/run", bytes(2001), content_type="application/json")
        assert status == 413
        assert "2001 bytes; expected at most 2000" in told["error"]["message"]
        # Who sends much more than that is told too, and not cut off.
        status, told, _ = ask(server.url, "/run", bytes(15_000), content_type="application/json")
        assert (status, "15000 bytes" in told["error"]["message"]) == (413, True)
        chunks = iter([bytes(1500), bytes(1500)])
        assert ask(server.url, "/run", chunks, content_type="application/json")[0] == 413
        body = json.dumps({"x": [[0, 0, 0, 0]]}).encode()
        status, told, _ = ask(server.url, "/run?steps=999", body, content_type="application/json")
        assert status == 413
        assert "999 steps of 1 samples" in told["error"]["message"]
        assert soon(lambda: idle(server))


@pytest.mark.slow
def test_who_says_nothing_or_not_all_is_let_go_of():
    with served(mlp(), idle=1.0, patience=0.5) as server:
        place = urlsplit(server.url)
        with stream(server.url) as silent:
            assert stepped(silent, spikes(1, 4), 3).shape == (1, 3)
            with pytest.raises(ConnectionClosed) as closed:
                silent.recv(60)
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (
                4009,
                "no message for 1 s",
            )
        # A body that never ends, a head that never does, and nothing at all.
        head = b"POST /run HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        for sent in (head + b"Content-Length: 99\r\n\r\n{", head, b""):
            with socket.create_connection((place.hostname, place.port), 10) as slow:
                slow.sendall(sent)
                said = b""
                try:
                    while part := slow.recv(4096):
                        said += part
                except ConnectionResetError:
                    pass
                assert (b"408" in said) == sent.endswith(b"{")
        assert soon(lambda: idle(server))


@pytest.mark.slow
def test_calls_that_take_too_long_or_are_too_many_are_told_so(monkeypatch):
    with served(mlp(), calls=1, work=2.0) as server:
        body = json.dumps({"x": spikes(2, 3, 4).tolist()}).encode()
        work = server.service.batching.work

        gate = threading.Event()
        monkeypatch.setattr(server.service.batching, "work", lambda b: gate.wait(60) and work(b))
        status, told, _ = ask(server.url, "/run", body, content_type="application/json")
        gate.set()
        assert (status, told["error"]["problems"][0]["found"]) == (504, "no answer in 2 s")
        with server.service.call():
            status, told, kinds = ask(server.url, "/run", body, content_type="application/json")
        assert (status, kinds["retry-after"]) == (503, "1")
        monkeypatch.setattr(server.service.batching, "work", work)
        assert soon(lambda: idle(server))
        assert ask(server.url, "/run", body, content_type="application/json")[0] == 200


def test_what_is_not_there_is_told_with_what_is(small):
    for method, path in (("GET", "/"), ("GET", "/run"), ("POST", "/info"), ("PUT", "/run")):
        status, told, _ = ask(small.url, path, method=method)
        assert status in (404, 405)
        assert "POST /run" in told["error"]["message"]
    with pytest.raises(InvalidStatus) as refused:
        opened(small.url, "?binary=pickle")
    assert refused.value.response.status_code == 400
    with pytest.raises(InvalidStatus):
        opened(small.url, "?token=secret")


# Clients that vanish, work that fails, and the end ----------------------------------------------


def test_clients_that_vanish_leave_nothing_and_disturb_nobody(small):
    xs = spikes(40, 4)
    before, dropped = tasks(small), small.service.counts.dropped
    with stream(small.url) as stays:
        came = [stepped(stays, xs[:1], 6)]
        for t in range(1, 40):
            with stream(small.url) as gone:
                for _ in range(20):
                    gone.send(spikes(8, 4).tobytes())
                # A connection that breaks: no farewell, and what is on its way is lost.
                gone.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                gone.close_socket()
            came.append(stepped(stays, xs[t : t + 1], 6))
        assert soon(lambda: small.service.batching.rows.taken == 1)
    np.testing.assert_array_equal(np.concatenate(came), alone(recurrent(1), xs))
    assert small.service.counts.dropped > dropped
    assert soon(lambda: idle(small))
    assert soon(lambda: tasks(small) <= before)


def test_a_caller_that_vanishes_is_not_worked_for(monkeypatch):
    with served(mlp(), batch=2) as server:
        work = server.service.batching.work

        def slowly(batch: Any) -> Any:
            time.sleep(0.05)
            return work(batch)

        monkeypatch.setattr(server.service.batching, "work", slowly)
        place = urlsplit(server.url)
        body = json.dumps({"x": spikes(1, 400, 4).tolist()}).encode()
        head = "POST /run HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        with socket.create_connection((place.hostname, place.port), 10) as gone:
            gone.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            assert soon(lambda: server.service.batching.batches > 2)
        assert soon(lambda: idle(server))
        assert server.service.counts.dropped == 1
        assert server.service.batching.batches < 100


def test_a_reader_that_takes_no_answers_is_let_go_of():
    with (
        served(WIDE, patience=0.3, message=2**22) as server,
        stream(server.url, max_queue=1, max_size=None) as deaf,
    ):
        for _ in range(16):
            deaf.send(np.ones(500, "<f4").tobytes())
        assert soon(lambda: server.service.counts.streams == 1 and idle(server))
        assert server.service.counts.dropped > 0
        assert soon(lambda: not server._uvicorn.server_state.connections)
        deaf.close_socket()


def test_a_failure_ends_those_whose_state_it_took_and_nobody_else(small, monkeypatch, caplog):
    batching = small.service.batching
    work = batching.work
    with stream(small.url) as unlucky, stream(small.url) as other:
        first = stepped(other, spikes(2, 4), 6)
        monkeypatch.setattr(batching, "work", lambda batch: 1 / 0)
        unlucky.send(bytes(16))
        told = json.loads(unlucky.recv(60))["error"]
        monkeypatch.setattr(batching, "work", work)
        # What went wrong inside is for the log, and not for clients.
        assert (told["kind"], "zero" in told["message"]) == ("ZeroDivisionError", False)
        with pytest.raises(ConnectionClosed) as closed:
            unlucky.recv(60)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1011
        assert "division by zero" in caplog.text
        assert stepped(other, spikes(2, 4), 6).shape == first.shape
    assert soon(lambda: idle(small))


def test_a_service_told_to_stop_answers_what_it_took_and_lets_nobody_in(monkeypatch):
    xs = spikes(6, 4)
    with served(recurrent(1)) as server:
        work = server.service.batching.work

        gate = threading.Event()
        with stream(server.url) as busy, stream(server.url) as quiet:
            stepped(quiet, xs[:1], 6)
            monkeypatch.setattr(
                server.service.batching, "work", lambda b: gate.wait(60) and work(b)
            )
            for x in xs:
                busy.send(x.tobytes())
            assert soon(lambda: sum(s.pending for s in server.service.streams) == 6)
            server._uvicorn.handle_exit(2, None)
            assert ask(server.url, "/health")[:2] == (503, {"status": "stopping"})
            with pytest.raises(InvalidStatus) as refused:
                opened(server.url)
            assert refused.value.response.status_code == 503
            gate.set()
            came = [numbers(busy.recv(60), 6) for _ in xs]
            np.testing.assert_array_equal(np.concatenate(came), alone(recurrent(1), xs))
            for socket_ in (busy, quiet):
                with pytest.raises(ConnectionClosed) as closed:
                    socket_.recv(60)
                assert closed.value.rcvd is not None
                assert closed.value.rcvd.code == 1001
        assert soon(lambda: idle(server))
        assert server.service.counts.unanswered == 0


def all_of(socket_: Any) -> tuple[list[Any], int]:
    """All answers that still come, one step each, and the code with which it ends."""
    came: list[Any] = []
    try:
        while True:
            came += list(numbers(socket_.recv(60), 2000))
    except ConnectionClosed as closed:
        return came, closed.rcvd.code if closed.rcvd else 1006


def test_a_client_that_reads_late_and_still_sends_hears_all_answers_and_farewell():
    with served(WIDE, queue=64) as server, contextlib.ExitStack() as stack:
        place = urlsplit(server.url)
        narrow = socket.socket()
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        narrow.connect((place.hostname, place.port))
        late = stack.enter_context(stream(server.url, sock=narrow, max_queue=1, max_size=None))

        def pour() -> None:
            with contextlib.suppress(ConnectionClosed, OSError):
                for n in range(10**6):
                    late.send(np.float32(n).tobytes())

        sender = threading.Thread(target=pour)
        sender.start()
        assert soon(lambda: server.service.counts.messages > 2)
        server.stop()
        time.sleep(0.5)
        came, code = all_of(late)
        sender.join()
    assert code == 1001
    assert len(came) == server.service.counts.messages > 10
    np.testing.assert_array_equal(came, np.repeat(np.arange(len(came))[:, None], 2000, 1))


def test_what_cannot_be_answered_in_time_is_counted(monkeypatch):
    with served(mlp(), grace=0.2) as server:
        gate = threading.Event()
        monkeypatch.setattr(server.service.batching, "work", lambda batch: gate.wait(60) and {})
        with stream(server.url) as socket_:
            socket_.send(bytes(16))
            assert soon(lambda: bool(server.service.batching.rows.taken))
            assert soon(lambda: sum(s.pending for s in server.service.streams) == 1)
            server.stop()
            assert soon(lambda: server.service.counts.unanswered == 1)
            with pytest.raises(ConnectionClosed):
                socket_.recv(60)
        gate.set()


def test_a_service_beside_other_work_ends_with_it():
    with serve.serving(mlp()) as url:
        assert ask(url, "/health")[0] == 200
    with pytest.raises(ConnectionRefusedError):
        ask(url, "/health")
