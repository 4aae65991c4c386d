"""Help, plain and quick, and one line for a command line that is not understood."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from typer.core import TyperCommand, TyperGroup

from .verb import NOT_UNDERSTOOD, tell_error, tracebacks
from .wording import misunderstood

GROUPS = {
    "Look into a file": ("info", "node", "stats", "trace", "find", "visualize", "export-html"),
    "Run and measure": ("run", "score", "serve", "plot", "profile", "analyze"),
    "Compare": ("diff", "verify", "compare", "hash", "stamp"),
    "Check": ("validate", "lint"),
    "Other": ("convert", "quantize", "deploy", "primitives", "rules"),
}
"""The verbs as ``t1c --help`` lists them."""

EVERYWHERE = "--traceback"
"""An option that may stand anywhere: who wants it has just seen an error."""


class Verbs(TyperGroup):
    """The command: lists its verbs in groups, and tells errors of use as all others."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command line; what is not understood is told in one line, or as JSON."""
        given = list(sys.argv[1:] if args is None else args)
        own = given[: given.index("--")] if "--" in given else given
        wanted = EVERYWHERE in own
        if wanted:
            given.remove(EVERYWHERE)
        tracebacks(wanted or os.environ.get("T1C_TRACEBACK", "0") not in ("", "0"))
        try:
            # By its own name, also where Python runs it as a module.
            status = super().main(given, "t1c", complete_var, False, windows_expand_args, **extra)
        except Exception as error:
            if not hasattr(error, "format_message"):
                raise
            context = getattr(error, "ctx", None)
            path = context.command_path if context is not None else "t1c"
            near = getattr(error, "possibilities", None) or ()
            said = misunderstood(error.format_message(), near)
            tell_error("UsageError", f"{said} See: {path} -h", as_json="--json" in own)
            status = NOT_UNDERSTOOD
        if not standalone_mode:
            return status
        sys.exit(status if isinstance(status, int) else 0)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The verbs in their groups, each with the first sentence of its help."""
        for title, names in GROUPS.items():
            found = [(name, self.get_command(ctx, name)) for name in names]
            rows = [(n, verb.get_short_help_str(100)) for n, verb in found if verb is not None]
            with formatter.section(title):
                formatter.write_dl(rows)


class Verb(TyperCommand):
    """A verb whose help names its arguments as its first line does."""

    def format_usage(self, ctx: Any, formatter: Any) -> None:
        """Arguments first, options last: as the line is typed."""
        arguments = " ".join(_name(p) for p in self.params if p.param_type_name == "argument")
        formatter.write_usage(ctx.command_path, f"{arguments} [OPTIONS]".strip())

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Two lists: arguments and options."""
        arguments = [
            (_name(p), getattr(p, "help", None) or "")
            for p in self.params
            if p.param_type_name == "argument"
        ]
        records = [p.get_help_record(ctx) for p in self.get_params(ctx)]
        options = [
            record
            for p, record in zip(self.get_params(ctx), records, strict=True)
            if record is not None and p.param_type_name == "option"
        ]
        for title, rows in (("Arguments", arguments), ("Options", options)):
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def _name(argument: Any) -> str:
    return str(argument.metavar or argument.human_readable_name)
