"""What clients are told when something is not done, as text that people and programs read."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse

from t1c.ir.errors import Problem, T1CError

PARTS = ("found", "expected", "remedy", "where", "field")


class RefusedError(T1CError):
    """A request that is not served.

    Attributes:
        status: of HTTP.
        headers: of the answer.
    """

    def __init__(self, status: int, problem: Problem, headers: dict[str, str] | None = None):
        """Take the status beside what is wrong."""
        super().__init__(problem)
        self.status, self.headers = status, headers or {}

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.status, self.problems[0], self.headers)


def told(error: Exception) -> dict[str, Any]:
    """An error as JSON holds it, as ``t1c ... --json`` prints it.

    A bug tells no more than its kind: the rest is for the service's own log.

    Example:
        >>> told(RefusedError(404, Problem("no such route", "/run")))["error"]["message"]
        'no such route; expected /run'
    """
    if isinstance(error, T1CError):
        problems = [{part: getattr(p, part) for part in PARTS} for p in error.problems]
        message = str(error)
    else:
        problems, message = [], "the service failed, and not the request; its log says more"
    return {"error": {"kind": type(error).__name__, "message": message, "problems": problems}}


def as_answer(error: Exception) -> JSONResponse:
    """An error as the answer to a request."""
    if isinstance(error, RefusedError):
        return JSONResponse(told(error), error.status, error.headers)
    return JSONResponse(told(error), 400 if isinstance(error, T1CError) else 500)
