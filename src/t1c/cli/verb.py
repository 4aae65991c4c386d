"""What every verb does alike: warnings, errors, exit statuses, JSON.

    0   done; where the verb asks a question: yes
    1   could not be done; where the verb asks a question: no
    2   the command line was not understood; where the verb asks a question, also: no answer
    130 interrupted

Errors that are expected (a file that is not there or not valid, options that do not fit) are one
message on standard error, or with --json one object on standard output. Anything else is a bug,
and keeps its traceback.
"""

from __future__ import annotations

import contextlib
import functools
import json
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from . import sources
from .wording import advised

if TYPE_CHECKING:
    from t1c.ir import Problem
    from t1c.sdk import Report

NO = 1
FAILED = 1
NOT_UNDERSTOOD = 2

F = TypeVar("F", bound=Callable[..., None])

_tracebacks = False


def tracebacks(wanted: bool) -> None:
    """Say whether expected errors come with Python's traceback."""
    global _tracebacks
    _tracebacks = wanted


def verb(function: F) -> F:
    """Decorator of a verb that does something: it is done, or fails with status 1."""
    return _plain(function, FAILED)


def question(function: F) -> F:
    """Decorator of a verb that asks something: yes is 0, no is 1, and no answer is 2."""
    return _plain(function, NOT_UNDERSTOOD)


def answer(yes: object) -> None:
    """End a verb that asks something."""
    if not yes:
        raise typer.Exit(NO)


def _plain(function: F, failed: int) -> F:
    @functools.wraps(function)
    def told(*args: Any, as_json: bool, **given: Any) -> None:
        with sources.standard_input(), _messages(failed, as_json):
            function(*args, as_json=as_json, **given)

    return told  # type: ignore[return-value]


@contextlib.contextmanager
def _messages(failed: int, as_json: bool) -> Iterator[None]:
    """Expected errors and warnings become plain messages."""
    from t1c import ir

    def show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
        say("warning", str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("default", UserWarning)
        warnings.showwarning = show_warning
        try:
            yield
        except (typer.Exit, typer.Abort, BrokenPipeError):
            raise  # the last: whoever read our output has had enough
        except (ir.T1CError, OSError, MemoryError) as error:
            if _tracebacks:
                traceback.print_exc()
            problems = error.problems if isinstance(error, ir.T1CError) else ()
            tell_error(type(error).__name__, _reason(error), problems, as_json=as_json)
            raise typer.Exit(failed) from None
        except Exception as bug:
            if as_json and not isinstance(bug, typer.BadParameter):
                tell_error(type(bug).__name__, _reason(bug), as_json=True)
            raise


def tell_error(
    kind: str, message: str, problems: tuple[Problem, ...] = (), *, as_json: bool
) -> None:
    """An error as people read it on standard error, or as programs do on standard output."""
    if not as_json:
        say("error", advised(message))
        return
    listed = [{name: advised(getattr(p, name)) for name in _PARTS} for p in problems]
    print_json({"error": {"kind": kind, "message": advised(message), "problems": listed}})


_PARTS = ("found", "expected", "remedy", "where", "field")


def say(kind: str, text: str) -> None:
    """A message on standard error, control characters spelled out."""
    from t1c.terminal import visible

    lines = f"{kind}: {sources.as_given(text)}".split("\n")
    typer.echo("\n".join(map(visible, lines)), err=True)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error) or ("out of memory" if isinstance(error, MemoryError) else "no reason given")


def show(report: Report, as_json: bool) -> None:
    """What a function of the library returned, for people or for programs."""
    if as_json:
        print_json(report.to_dict())
        return
    from t1c.terminal import print_report

    print_report(sources.renamed(report))


def print_json(value: Any) -> None:
    """One JSON object on standard output."""
    typer.echo(sources.as_given(json.dumps(value)))


def on_terminal() -> bool:
    """Whether somebody looks at standard error while the verb works."""
    return sys.stderr.isatty()
