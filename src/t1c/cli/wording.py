"""What the library and the parser say, in the words of the command line."""

from __future__ import annotations

import re
from collections.abc import Sequence

SAME = {
    "one of ir.list_primitives()": "one that t1c primitives lists",
    "ir.list_primitives()": "t1c primitives",
    "(nodes=...)": "(--node NAME)",
    "calibrate=, inputs that show it, or inputs='spikes' or (least, greatest)": (
        "--calibrate DATA, which shows it, or --spikes"
    ),
    "show samples (calibrate=)": "show samples (--calibrate DATA)",
    "sdk.quantize, or name the node in its keep=": "t1c quantize",
}
"""What Python calls so, and what the command line does."""

KEPT = re.compile(r"keep=\['([^']*)'\]")

PARSED = (
    (re.compile(r"Value error, "), ""),
    (re.compile(r"Input should be a valid integer, unable to parse .*"), "it is no integer"),
    (re.compile(r"Input should be a valid number, unable to parse .*"), "it is no number"),
    (re.compile(r"Input should be"), "it should be"),
    (re.compile(r" \(Possible options: .*\)"), ""),
    (re.compile(r"\n"), " "),
    (re.compile(r"\?\."), "?"),
)
"""The parser's own words, and what takes their place."""

CHOICE = re.compile(r"'(?P<given>[^']*)' is not one of (?P<known>'.*')")


def advised(text: str) -> str:
    """A message of the library as whoever typed a command can follow it."""
    for python, typed in SAME.items():
        text = text.replace(python, typed)
    return KEPT.sub(r"--keep \1", text)


def misunderstood(text: str, options: Sequence[str] = ()) -> str:
    """What the parser says of a command line, as sentences, with a guess at what was meant.

    Args:
        text: the parser's message.
        options: those near to the one that there is none of.

    Example:
        >>> misunderstood("Value error, 'rastr' is not one of 'raster', 'mean'.")
        "'rastr' is not one of 'raster', 'mean'. Did you mean 'raster'?"
    """
    for words, ours in PARSED:
        text = words.sub(ours, text)
    text = text.removesuffix(".")
    guess = f"Did you mean {' or '.join(options)}?" if options else ""
    choice = CHOICE.search(text)
    if choice:
        from t1c.ir.guess import did_you_mean  # loads NumPy, which help does without

        guess = did_you_mean(choice["given"], re.findall("'([^']*)'", choice["known"]))
    end = "" if text.endswith("?") else "."
    return f"{text}{end} {guess}".rstrip()
