"""The routes of a service: /health, /info, /run and /stream."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Collection
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from t1c.ir.errors import InputError, Problem, T1CError

from .calls import Asked, Calls
from .conversation import Conversation
from .guard import Guard, check_token, refuse
from .limits import Limits
from .messages import Forms
from .network import Served
from .refusals import RefusedError, as_answer
from .service import Service

HEARD = 8
"""Times the limit that a body may have for its client to be told that it is too large."""


def make_app(
    served: Served,
    limits: Limits | None = None,
    *,
    token: str | None = None,
    origins: Collection[str] = (),
) -> Starlette:
    """A service as an ASGI application, for a server of your own; ``serve`` brings one.

    Its ``state.service`` is the ``Service``, whose ``stop`` answers what was accepted.

    Args:
        served: the network, as ``serve_network`` makes it.
        limits: what is taken on at most.
        token: which requests have to bring; None: none, and only this machine is answered.
        origins: of web pages that may ask.

    Raises:
        InputError: the token is too short, or a limit is below one step of the network.

    Example:
        >>> app = make_app(serve_network("model.t1c"))  # doctest: +SKIP
    """
    limits = limits or Limits()
    check_token(token)
    routes = Routes(Service(served, limits))

    @contextlib.asynccontextmanager
    async def at_work(_: Starlette) -> AsyncIterator[None]:
        async with routes.service.at_work():
            yield

    app = Starlette(
        routes=[
            Route("/health", routes.health),
            Route("/info", routes.info),
            Route("/run", routes.run, methods=["POST"]),
            WebSocketRoute("/stream", routes.stream),
        ],
        middleware=[Middleware(Guard, token=token, origins=origins)],
        exception_handlers={HTTPException: _no_route, T1CError: _refused},
        lifespan=at_work,
    )
    app.state.service = routes.service
    return app


class Routes:
    """What is answered where.

    Args:
        service: which answers.
    """

    def __init__(self, service: Service) -> None:
        self.service, self.limits = service, service.limits
        served = service.served
        self.facts = served.facts(self.limits)
        nonfinite = served.allow_nonfinite
        self.calls = Calls(
            served.graph,
            served.inputs,
            served.outputs,
            limit=self.limits.call,
            allow_nonfinite=nonfinite,
        )

    async def health(self, _: Request) -> Response:
        """Whether more is taken on: 200, or 503 once the service is told to stop."""
        if self.service.stopping:
            return JSONResponse({"status": "stopping"}, 503)
        return JSONResponse({"status": "ok"})

    async def info(self, _: Request) -> Response:
        """What is served, what is taken on at most, what is at work now and what was done."""
        service = self.service
        now = {
            "streams": len(service.streams),
            "calls": service.calls,
            "waiting_steps": service.batching.waiting,
            "rows": service.batching.rows.taken,
        }
        done = {
            **dataclasses.asdict(service.counts),
            "steps": service.batching.steps,
            "batches": service.batching.batches,
        }
        state = service.batching.rows.bytes
        limits = dataclasses.asdict(self.limits)
        return JSONResponse(
            {**self.facts, "state_bytes": state, "limits": limits, "now": now, "done": done}
        )

    async def run(self, request: Request) -> Response:
        """Run samples from rest."""
        with self.service.call():
            asked = Asked.of(request.headers.get("content-type", ""), request.query_params)
            body = await self._body(request)
            samples = await self.service.aside(len(body), self.calls.read, body, asked)
            outputs = await self._outputs(request, samples)
            if outputs is None:
                return Response(status_code=499)
            size = sum(y.nbytes for y in outputs.values())
            answer, kind = await self.service.aside(size, self.calls.write, outputs, asked)
            self.service.counts.calls += 1
            return Response(answer, media_type=kind)

    async def _body(self, request: Request) -> bytes:
        """The body, of which no more is read than may be there, and for no longer."""
        parts, size, limit = [], 0, self.limits.call
        try:
            async with asyncio.timeout(self.limits.patience):
                async for part in request.stream():
                    size += len(part)
                    if size <= limit:
                        parts.append(part)
                    else:
                        # Who is still sending does not hear: so some more is read, and dropped.
                        parts.clear()
                    if size > HEARD * limit:
                        break
        except TimeoutError:
            expected = f"all of it in {self.limits.patience:g} s"
            problem = Problem(f"{size} bytes of a body", expected, "Send it at once.")
            raise RefusedError(408, problem, {"Connection": "close"}) from None
        except ClientDisconnect:
            raise RefusedError(499, Problem("the client has gone")) from None
        if size > limit:
            remedy = "Send fewer samples in a call, or long sequences in a stream."
            problem = Problem(f"{size} bytes", f"at most {limit} in one call", remedy)
            raise RefusedError(413, problem, {"Connection": "close"})
        return b"".join(parts)

    async def _outputs(self, request: Request, samples: Any) -> Any:
        """What comes of samples; None where the client has gone meanwhile."""
        work = asyncio.create_task(self.service.run(samples))
        gone = asyncio.create_task(_until_gone(request))
        try:
            await asyncio.wait(
                {work, gone}, timeout=self.limits.work, return_when=asyncio.FIRST_COMPLETED
            )
            if work.done():
                return work.result()
            if gone.done():
                self.service.counts.dropped += 1
                return None
            found = f"no answer in {self.limits.work:g} s"
            remedy = "Send fewer samples or steps in a call."
            raise RefusedError(504, Problem(found, "one", remedy))
        finally:
            work.cancel()
            gone.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)

    async def stream(self, socket: WebSocket) -> None:
        """Open a stream, and serve it to its end."""
        with contextlib.ExitStack() as stack:
            try:
                conversation = Conversation(socket, self.service, self._forms(socket))
                stack.enter_context(self.service.stream(conversation))
            except T1CError as error:
                await refuse(error, socket.scope, socket.receive, socket.send)
                return
            await socket.accept()
            await conversation.run()

    def _forms(self, socket: WebSocket) -> Forms:
        strange = set(socket.query_params) - {"binary"}
        if strange:
            raise InputError(Problem(f"{sorted(strange)} in the query", "binary"))
        served = self.service.served
        return Forms(
            served.inputs,
            served.outputs,
            socket.query_params.get("binary", "numbers"),
            steps=served.message_steps(self.limits),
            allow_nonfinite=served.allow_nonfinite,
        )


async def _until_gone(request: Request) -> None:
    """Wait for the client to go away; all that it sends is read."""
    await request.receive()


async def _refused(_: Request, error: Exception) -> Response:
    return as_answer(error)


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    routes = "GET /health, GET /info, POST /run or the WebSocket /stream"
    problem = Problem(f"{request.method} {request.url.path}", routes)
    return as_answer(RefusedError(error.status_code, problem, dict(error.headers or {})))
