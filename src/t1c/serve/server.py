"""A service on a socket, until it is told to stop."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from types import FrameType

import uvicorn

from t1c import ir
from t1c.ir.errors import InputError, Problem
from t1c.sdk import Facts, Part, Report

from .app import make_app
from .connections import connections
from .guard import check_token, is_loopback
from .limits import Limits
from .network import DType, serve_network
from .service import Counts, Service

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


def serve(
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
    ready: Callable[[str], object] | None = None,
) -> ServeReport:
    """Serve a network until SIGTERM or SIGINT (Ctrl-C) tells the process to stop.

    Then nobody is let in any more, everything that was accepted is answered, and streams are closed
    with code 1001. A second signal ends at once.

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
        ready: called with the service's URL when it answers.

    Returns:
        What it did.

    Raises:
        T1CError: the model is not valid, cannot be served so, or an option is not allowed.
        OSError: there is no such file, or nobody may listen there.
    """
    check_token(token)
    if token is None and not is_loopback(host):
        raise InputError(
            Problem(
                f"host={host!r} without a token",
                "127.0.0.1, ::1 or localhost, or a token that requests have to bring",
                "Pass a token (--token-file FILE, or the variable T1C_TOKEN).",
                field="host",
            )
        )
    limits = limits or Limits()
    with _listening(host, port) as listener:
        served = serve_network(
            model, dtype=dtype, any_order=any_order, dt=dt, allow_nonfinite=allow_nonfinite
        )
        app = make_app(served, limits, token=token, origins=origins)
        service: Service = app.state.service
        service.batching.warm_up()
        listener.listen(BACKLOG)
        url = _url(listener)
        config = uvicorn.Config(
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
        tell = (lambda: ready(url)) if ready else (lambda: None)
        asyncio.run(_Server(config, service, tell).serve([listener]))
    counts: Counts = service.counts
    batching = service.batching
    return ServeReport(url, **asdict(counts), steps=batching.steps, batches=batching.batches)


class _Server(uvicorn.Server):
    """uvicorn, stopped by the service when it is done."""

    def __init__(
        self, config: uvicorn.Config, service: Service, ready: Callable[[], object]
    ) -> None:
        super().__init__(config)
        self._service, self._ready = service, ready
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and tell that it did."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; the second time, do."""
        if self._loop is None or self._service.stopping:
            self.should_exit = self.force_exit = True
            return
        # The signal finds the loop asleep, or anywhere in its work.
        self._service.stopping = True
        self._loop.call_soon_threadsafe(self._begin)

    def _begin(self) -> None:
        self._stopping = asyncio.create_task(self._stop())

    async def _stop(self) -> None:
        await self._service.stop()
        self.should_exit = True


def _listening(host: str, port: int) -> socket.socket:
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


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
