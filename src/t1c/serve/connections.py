"""Connections that nobody leaves hanging: what uvicorn waits for without end is given a time.

uvicorn reads the head of a request for as long as it takes to come, and closes a connection only
when its client has taken all that was sent. A client that does neither would keep its socket.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol


def connections(patience: float) -> dict[str, type[asyncio.Protocol]]:
    """Arguments of ``uvicorn.Config``: how connections are worked.

    Args:
        patience: seconds for the head of a request, and for the last bytes to be taken.
    """

    class Requests(H11Protocol):
        """HTTP, for which a head has to come in time."""

        deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.deadline = self.loop.call_later(patience, transport.abort)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            other = self.transport.get_protocol() is not self
            # uvicorn's type leaves out that there is none before the first request.
            cycle: RequestResponseCycle | None = self.cycle
            if other or not (cycle is None or cycle.response_complete):
                self._relax()
            elif self.deadline is None:
                self.deadline = self.loop.call_later(patience, self.transport.abort)

        def connection_lost(self, exc: Exception | None) -> None:
            self._relax()
            super().connection_lost(exc)

        def timeout_keep_alive_handler(self) -> None:
            super().timeout_keep_alive_handler()
            self.loop.call_later(patience, self.transport.abort)

        def _relax(self) -> None:
            if self.deadline is not None:
                self.deadline.cancel()
                self.deadline = None

    class Streams(WebSocketsSansIOProtocol):
        """WebSockets, which are closed for good some time after they are done with."""

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            # For the farewell to be answered.
            self.close_timeout = patience

        async def send(self, message: ASGISendEvent) -> None:
            # The connection may be broken before anybody was told.
            if self.transport.is_closing():
                raise ClientDisconnected
            await super().send(message)

        async def run_asgi(self) -> Any:
            await super().run_asgi()
            self.loop.call_later(patience, self.transport.abort)

    return {"http": Requests, "ws": Streams}


def is_stream(connection: object) -> bool:
    """Whether a connection is a WebSocket."""
    return isinstance(connection, WebSocketsSansIOProtocol)
