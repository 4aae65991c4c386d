"""What a name that nobody knows was likely meant to be."""

from __future__ import annotations

from collections.abc import Callable, Iterable

NEAR = 3
"""So many names are offered at most."""


def did_you_mean(
    name: object, known: Iterable[str], then: str = "", *, written: Callable[[str], str] = repr
) -> str:
    """``Did you mean 'lif1' or 'lif2'?``, followed by ``then``; ``then`` alone if none is near.

    A name that differs in upper and lower case alone is the only one offered.

    Args:
        name: what was asked for.
        known: what there is.
        then: what else is to be done about it.
        written: how a name is written.

    Example:
        >>> did_you_mean("lif", ["conv1", "lif1", "lif2"])
        "Did you mean 'lif2' or 'lif1'?"
        >>> did_you_mean("LIF1", ["conv1", "lif1", "lif2"])
        "Did you mean 'lif1'?"
        >>> did_you_mean("pool", ["lif1"], "t1c info lists them.")
        't1c info lists them.'
    """
    import difflib  # rarely needed, and every command loads this file

    folded: dict[str, str] = {}
    for one in known:
        folded.setdefault(one.casefold(), one)
    asked = str(name).casefold()
    near = [asked] if asked in folded else difflib.get_close_matches(asked, folded, n=NEAR)
    offered = " or ".join(written(folded[one]) for one in near)
    return " ".join(filter(None, (offered and f"Did you mean {offered}?", then)))
