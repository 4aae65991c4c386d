"""A service on a socket, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass
from types import FrameType
from typing import Any

import uvicorn
from starlette.applications import Starlette

from t1c import ir
from t1c.deploy.options import DType
from t1c.ir.errors import InputError, Problem
from t1c.sdk import Facts, Part, Report

from .app import make_app
from .connections import connections, is_stream
from .guard import check_token, is_loopback
from .limits import Limits
from .network import serve_network
from .service import Service

BACKLOG = 256
"""Connections that wait to be accepted."""


@dataclass(frozen=True, repr=False)
class ServeReport(Report):
    """What a service did; true if everything that it accepted was answered.

    Attributes:
        url: where it was.
        streams, messages, calls, dropped, unanswered: as of ``Counts``.
        steps: that were worked, over all streams and samples.
        batches: that they took.
    """

    url: str
    streams: int
    messages: int
    calls: int
    dropped: int
    unanswered: int
    steps: int
    batches: int

    def __bool__(self) -> bool:
        return not self.unanswered

    def parts(self) -> list[Part]:
        """One line for each."""
        told = [
            ("streams", f"{self.streams:,}, {self.messages:,} messages answered"),
            ("calls", f"{self.calls:,} answered"),
            ("steps", f"{self.steps:,} in {self.batches:,} batches"),
        ]
        if self.dropped:
            told.append(("dropped", f"{self.dropped:,}, of clients that had gone"))
        told.append(("unanswered", f"{self.unanswered:,} of what was accepted"))
        return [Facts(tuple(told))]


class Server:
    """A service on a socket, made ready: ``run`` works until it is told to stop.

    Args:
        model: a graph, or the path of a ``.t1c`` or ``.nir`` file.
        host: the address to listen at; others than this machine's own need a token.
        port: likewise; 0: any that is free.
        token: which requests have to bring as ``Authorization: Bearer TOKEN``.
        origins: of web pages that may ask, such as ``http://localhost:3000``.
        limits: what is taken on at most.
        dtype: of the arithmetic.
        any_order: as of ``serve_network``.
        dt: as of ``serve_network``.
        allow_nonfinite: as of ``serve_network``.

    Attributes:
        url: where it is.
        service: what it does.

    Raises:
        T1CError: the model is not valid, cannot be served so, or an option is not allowed.
        OSError: there is no such file, or nobody may listen there.
    """

    def __init__(
        self,
        model: ir.Graph | str | os.PathLike[str],
        *,
        host: str = "127.0.0.1",
        port: int = 8000,
        token: str | None = None,
        origins: Collection[str] = (),
        limits: Limits | None = None,
        dtype: DType = "float32",
        any_order: bool = False,
        dt: float | None = None,
        allow_nonfinite: bool = False,
    ) -> None:
        check_token(token)
        if token is None:
            _check_loopback(host, host)
        limits = limits or Limits()
        self._socket = _bound(host, port)
        try:
            if token is None:
                # A name means what this machine's tables say.
                _check_loopback(host, self._socket.getsockname()[0])
            served = serve_network(
                model, dtype=dtype, any_order=any_order, dt=dt, allow_nonfinite=allow_nonfinite
            )
            app = make_app(served, limits, token=token, origins=origins)
            self.service: Service = app.state.service
            self.service.batching.warm_up()
            self._socket.listen(BACKLOG)
        except BaseException:
            self._socket.close()
            raise
        self.url = _url(self._socket)
        self._uvicorn = _Stopped(_config(app, limits), self.service)

    def run(self, ready: Callable[[str], object] | None = None) -> ServeReport:
        """Serve until ``stop`` is called, or a signal tells the process to end.

        Args:
            ready: called with the URL once it is answered there.

        Returns:
            What was done.
        """
        self._uvicorn.ready = lambda: ready(self.url) if ready else None
        asyncio.run(self._uvicorn.serve([self._socket]))
        done, batching = self.service.counts, self.service.batching
        return ServeReport(self.url, **asdict(done), steps=batching.steps, batches=batching.batches)

    def stop(self) -> None:
        """Let nobody in, answer what was accepted and end ``run``; from any thread."""
        self._uvicorn.begin_to_stop()


def serve(
    model: ir.Graph | str | os.PathLike[str],
    *,
    ready: Callable[[str], object] | None = None,
    **options: Any,
) -> ServeReport:
    """Serve a network until SIGTERM or SIGINT (Ctrl-C) tells the process to stop.

    Then nobody is let in any more, everything that was accepted is answered, and streams are closed
    with code 1001. A second signal ends at once.

    Args:
        model: a graph, or the path of a ``.t1c`` or ``.nir`` file.
        ready: called with the service's URL once it is answered there.
        options: as of ``Server``.

    Returns:
        What it did.

    Raises:
        T1CError: the model is not valid, cannot be served so, or an option is not allowed.
        OSError: there is no such file, or nobody may listen there.
    """
    return Server(model, **options).run(ready)


@contextlib.contextmanager
def serving(model: ir.Graph | str | os.PathLike[str], **options: Any) -> Iterator[str]:
    """A service beside whatever else this process does: its URL, as long as this lasts.

    Args:
        model: a graph, or the path of a ``.t1c`` or ``.nir`` file.
        options: as of ``Server``; the port is any that is free, unless it is said.

    Raises:
        T1CError: the model is not valid, cannot be served so, or an option is not allowed.

    Example:
        >>> with serving("model.t1c") as url:  # doctest: +SKIP
        ...     print(urllib.request.urlopen(f"{url}/health").read())
    """
    server = Server(model, **{"port": 0, **options})
    there = threading.Event()
    # Who is interrupted elsewhere ends all the same.
    thread = threading.Thread(
        target=server.run, args=[lambda _: there.set()], name="t1c serve", daemon=True
    )
    thread.start()
    try:
        while not there.wait(0.1):
            if not thread.is_alive():
                raise RuntimeError("the server ended before it began; its log says why")
        yield server.url
    finally:
        server.stop()
        thread.join()


def _config(app: Starlette, limits: Limits) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="on",
        # More than these are answered 503 as soon as they have said what they want.
        limit_concurrency=limits.streams + 4 * limits.calls + 16,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=1,
        ws_max_size=limits.message,
        ws_per_message_deflate=False,
        **connections(limits.patience),  # type: ignore[arg-type]
    )


class _Stopped(uvicorn.Server):
    """uvicorn, which ends when the service has answered what it accepted."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self.ready: Callable[[], object] = lambda: None
        self._service = service
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and tell that it did."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self.ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; the second time, do."""
        if self._service.stopping:
            self.should_exit = self.force_exit = True
        else:
            self.begin_to_stop()

    def begin_to_stop(self) -> None:
        """Stop the service, and then the server."""
        self._service.stopping = True
        if self._loop is None:
            self.should_exit = True
        elif not self._loop.is_closed():
            # Whoever calls finds the loop asleep, or anywhere in its work.
            self._loop.call_soon_threadsafe(self._begin)

    def _begin(self) -> None:
        self._stopping = asyncio.create_task(self._stop())

    async def _stop(self) -> None:
        await self._service.stop()
        # A socket that is closed while something unread is in it throws away what it has sent: so
        # streams are closed when their clients have heard farewell, and say so.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._service.limits.grace):
                while any(map(is_stream, self.server_state.connections)):
                    await asyncio.sleep(0.02)
        self.should_exit = True


def _bound(host: str, port: int) -> socket.socket:
    """A socket that is bound and does not listen yet.

    Raises:
        OSError: it cannot be bound.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise OSError(f"{host}:{port}: {error.strerror}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise OSError(f"{host}:{port}: {error.strerror}") from None
    return listener


def _check_loopback(host: str, address: str) -> None:
    if not is_loopback(address):
        raise InputError(
            Problem(
                f"host={host!r} without a token",
                "127.0.0.1, ::1 or localhost, or a token that requests have to bring",
                "Pass a token (--token-file FILE, or the variable T1C_TOKEN).",
                field="host",
            )
        )


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
