"""Edges as tests write them: ``"a>b b>c"``."""


def edges_of(text: str) -> list[tuple[str, str]]:
    """The pairs of names in a text."""
    pairs = (pair.split(">") for pair in text.split())
    return [(source, target) for source, target in pairs]
