"""Whether a file is sound."""

from __future__ import annotations

from . import sources
from .app import command
from .options import AllowNonfinite, Dt, Json, Model
from .verb import answer, question, show


@command()
@question
def validate(
    model: Model, dt: Dt = None, allow_nonfinite: AllowNonfinite = False, as_json: Json = False
) -> None:
    """Say whether a file is valid and, if not, all that is wrong with it.

    The exit status is 0 if it is, 1 if it is not, 2 if there is no such file.
    """
    from t1c import sdk

    found = sdk.validate_file(sources.network(model), dt=dt, allow_nonfinite=allow_nonfinite)
    show(found, as_json)
    answer(found)
