"""One stream: messages in, answers out, in order, until somebody ends it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketDisconnected

from t1c.ir.errors import T1CError

from .batching import Lane, Named
from .messages import Form, Forms
from .numbers import dumped
from .refusals import told
from .service import Service

STOPPED, BROKEN, SLOW, IDLE = 1001, 1011, 4008, 4009
"""Codes with which a stream is closed: the service stops, it failed, answers are not taken, nothing
is sent."""


@dataclass(frozen=True)
class Ending:
    """Why a stream ends, as the client is told.

    Attributes:
        code: with which it is closed.
        reason: in words, at most 123 bytes.
    """

    code: int
    reason: str


GONE = Ending(1006, "the client has gone")
"""There is nobody to be told."""


class Conversation:
    """A stream at work: its lane, what was taken and is not answered yet.

    Taking and answering go on side by side. What is taken waits in line for its answer, and when
    ``queue`` messages do, no more is read from the connection.

    Args:
        socket: that is accepted.
        service: which serves it.
        forms: of its messages.
    """

    def __init__(self, socket: WebSocket, service: Service, forms: Forms) -> None:
        self.socket, self.service, self.forms = socket, service, forms
        self.limits = service.limits
        self.pending = 0
        self._line: asyncio.Queue[tuple[asyncio.Future[Named] | Exception, Form] | None]
        self._line = asyncio.Queue()
        self._room = asyncio.Semaphore(self.limits.queue)
        self._ending: Ending | None = None
        self._reader: asyncio.Task[Ending] | None = None
        self._taking = False

    def stop(self) -> None:
        """Take no more; end when what was taken is answered."""
        self._ending = Ending(STOPPED, "the service stops; what it took is answered")
        # What is being taken in this moment is taken.
        if self._reader is not None and not self._taking:
            self._reader.cancel()

    async def run(self) -> None:
        """Serve the stream to its end."""
        lane = self.service.open()
        self._reader = reader = asyncio.create_task(self._take(lane))
        writer = asyncio.create_task(self._answer())
        try:
            await asyncio.wait({reader, writer}, return_when=asyncio.FIRST_COMPLETED)
            if writer.done():
                ending = writer.result()
            else:
                # Who cancels it has said why.
                ending = self._ending if reader.cancelled() else reader.result()
                if ending is not GONE:
                    self._line.put_nowait(None)
                    ending = await writer or ending
            await self._end(ending)
        finally:
            for task in (reader, writer):
                task.cancel()
            await asyncio.gather(reader, writer, return_exceptions=True)
            self.service.close(lane)
            if not self.service.stopping:
                self.service.counts.dropped += self.pending

    async def _take(self, lane: Lane) -> Ending:
        """Take messages, until there are no more or no more are to be taken."""
        while True:
            await self._room.acquire()
            if self._ending is not None:
                return self._ending
            try:
                async with asyncio.timeout(self.limits.idle):
                    message = await self.socket.receive()
            except TimeoutError:
                return Ending(IDLE, f"no message for {self.limits.idle:g} s")
            if message["type"] == "websocket.disconnect":
                return GONE
            text = message.get("text")
            data = message["bytes"] if text is None else text
            self.pending += 1
            self._taking = True
            try:
                rows, form = await self.service.aside(len(data), self.forms.read, data)
                answer = self.service.ask(lane, self.forms.inputs.split(rows))
                self._line.put_nowait((answer, form))
            except T1CError as error:
                self._line.put_nowait((error, "steps"))
            finally:
                self._taking = False

    async def _answer(self) -> Ending | None:
        """Answer what was taken, in order; None where all of it is answered."""
        while True:
            entry = await self._line.get()
            if entry is None:
                return None
            waiting, form = entry
            broken = False
            said: str | bytes
            try:
                if isinstance(waiting, Exception):
                    raise waiting
                rows = self.forms.outputs.join(await waiting)
                said = await self.service.aside(rows.nbytes, self.forms.write, rows, form)
            except T1CError as error:
                said = dumped(told(error))
            except Exception as error:
                said, broken = dumped(told(error)), True
            try:
                async with asyncio.timeout(self.limits.patience):
                    await self._send(said)
            except TimeoutError:
                return Ending(SLOW, f"an answer was not taken in {self.limits.patience:g} s")
            except (WebSocketDisconnect, WebSocketDisconnected):
                return GONE
            self.pending -= 1
            self.service.counts.messages += 1
            self._room.release()
            if broken:
                return Ending(BROKEN, "the service failed; the state of the stream is lost")

    async def _send(self, said: str | bytes) -> None:
        if isinstance(said, str):
            await self.socket.send_text(said)
        else:
            await self.socket.send_bytes(said)

    async def _end(self, ending: Ending | None) -> None:
        # Who takes no answers takes no farewell.
        if ending is None or ending is GONE or ending.code == SLOW:
            return
        try:
            async with asyncio.timeout(self.limits.patience):
                await self.socket.close(ending.code, ending.reason)
        except (TimeoutError, WebSocketDisconnect, WebSocketDisconnected):
            return
