"""Who is let in: by a token, and never a web page that somebody happens to look at.

A browser lets any page open connections to the machine it runs on. So a request that says which
page it comes from (``Origin``) is refused unless that page is named, and a service without a token
answers only to the names of this machine (``Host``), whatever address a page's name is made to
point to.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from t1c.ir.errors import InputError, Problem

from .refusals import RefusedError, as_answer

SHORTEST = 16
"""Characters of a token."""
OPEN = ("/health",)
"""What is told without a token."""


def check_token(token: str | None) -> None:
    """Refuse a token that can be guessed, or that no header can carry.

    Raises:
        InputError: it is too short, or holds something other than visible ASCII.
    """
    if token is None:
        return
    if len(token) < SHORTEST or not all("!" <= c <= "~" for c in token):
        raise InputError(
            Problem(
                f"a token of {len(token)} characters",
                f"at least {SHORTEST}, visible ASCII without blanks",
                "Make one with: python -c 'import secrets; print(secrets.token_urlsafe())'",
                field="token",
            )
        )


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine's own, seen from nowhere else.

    Example:
        >>> [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0")]
        [True, True, True, False]
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """Middleware that lets in who may come in.

    Args:
        app: behind it.
        token: which requests have to bring; None: none.
        origins: of web pages that may ask, such as ``http://localhost:3000``.
    """

    def __init__(self, app: ASGIApp, token: str | None, origins: Collection[str]) -> None:
        self.app, self.origins = app, frozenset(origins)
        self._token = None if token is None else token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer why not."""
        if scope["type"] in ("http", "websocket"):
            try:
                self._check(scope["path"], Headers(scope=scope))
            except RefusedError as refused:
                await refuse(refused, scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _check(self, path: str, headers: Headers) -> None:
        origin = headers.get("origin")
        if origin is not None and origin not in self.origins:
            remedy = "Name it when the service is started: --origin ORIGIN."
            raise RefusedError(403, Problem(f"a web page, of {origin!r}", "none", remedy))
        if self._token is None:
            host = headers.get("host", "")
            if not is_loopback(_without_port(host)):
                expected = "one of this machine's own names: 127.0.0.1, [::1] or localhost"
                raise RefusedError(403, Problem(f"Host {host!r}", expected))
        elif path not in OPEN:
            kind, _, given = headers.get("authorization", "").partition(" ")
            right = hmac.compare_digest(given.strip().encode(), self._token)
            if kind.lower() != "bearer" or not right:
                found = "another token" if given else "no token"
                problem = Problem(found, "the header 'Authorization: Bearer TOKEN'")
                raise RefusedError(401, problem, {"WWW-Authenticate": "Bearer"})


def _without_port(host: str) -> str:
    """``[::1]:80`` and ``::1`` as ``::1``, ``localhost:80`` as ``localhost``."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, _, port = host.partition(":")
    return host if ":" in port else name


async def refuse(error: Exception, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request, or somebody who wants to open a stream, with why not."""
    # To answer who wants to open a stream takes an extension, which servers but old ones have.
    able = scope["type"] == "http" or "websocket.http.response" in scope.get("extensions", {})
    if able:
        await as_answer(error)(scope, receive, send)
    else:
        await send({"type": "websocket.close", "code": 1008, "reason": str(error)[:100]})
