"""Counts and sizes as people read them."""

from __future__ import annotations

import math

_LETTERS = ("", "k", "M", "G", "T", "P", "E")
_SMALL = ("", "m", "µ", "n", "p", "f")


def format_number(number: float, digits: int = 3) -> str:
    """A count in a few digits: 1234567 is ``1.23 M``; counts below 1,000 are whole.

    Example:
        >>> format_number(6102), format_number(999), format_number(1_234_567), format_number(0.25)
        ('6.1 k', '999', '1.23 M', '0.25')
    """
    return _scaled(number, 1000, _LETTERS, digits)


def format_bytes(count: float, digits: int = 3) -> str:
    """Bytes in a few digits, in powers of 1024: 24408 is ``23.8 KiB``.

    Example:
        >>> format_bytes(512), format_bytes(24408), format_bytes(3 * 2**30)
        ('512 B', '23.8 KiB', '3 GiB')
    """
    return _scaled(count, 1024, ("B", *(f"{s.upper()}iB" for s in _LETTERS[1:])), digits)


def format_seconds(seconds: float, digits: int = 4) -> str:
    """A time in a few digits, in s, ms, µs or ns.

    Example:
        >>> format_seconds(0.0008), format_seconds(1.5), format_seconds(0)
        ('800 µs', '1.5 s', '0 s')
    """
    return _small(seconds, "s", digits)


def format_joules(joules: float, digits: int = 3) -> str:
    """An energy in a few digits, down to fJ.

    Example:
        >>> format_joules(4.6e-12), format_joules(2.39e-7)
        ('4.6 pJ', '239 nJ')
    """
    return _small(joules, "J", digits)


def _small(number: float, unit: str, digits: int) -> str:
    """A number that is seldom above 1."""
    if not number or not math.isfinite(number):
        return f"{number:g} {unit}"
    place = 0
    while place + 1 < len(_SMALL) and float(f"{abs(number):.{digits}g}") < 1:
        number, place = number * 1000, place + 1
    return f"{float(f'{number:.{digits}g}'):.15g} {_SMALL[place]}{unit}"


def _scaled(number: float, base: int, units: tuple[str, ...], digits: int) -> str:
    if not math.isfinite(number):
        return f"{number} {units[0]}".rstrip()
    if abs(number) < 1:
        return f"{number:.{digits}g} {units[0]}".rstrip()
    level = 0
    # What rounds up to the next unit is told in it: 999,999 is 1 M, not 1000 k.
    while level + 1 < len(units) and abs(_rounded(number, digits)) >= base:
        level += 1
        number /= base
    return f"{_rounded(number, digits):.15g} {units[level]}".rstrip()


def _rounded(number: float, digits: int) -> float:
    """To ``digits`` digits, but never to tens."""
    return round(number, max(0, digits - len(str(int(abs(number))))))
