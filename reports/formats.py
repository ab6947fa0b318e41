"""How figures are written: digits that count, shares, per cents, and intervals."""

from collections.abc import Callable
from math import floor, log10

import numpy as np

NONE = "–"
HELD = "\u00a0"  # a space at which no line breaks
Show = Callable[[float], str]


def number(value: float) -> str:
    """Return a number with three digits that count, and never with an exponent; – where there is none."""
    if value != value:
        return NONE
    places = 2 - floor(log10(abs(value))) if value else 0
    return f"{value:,.{min(max(places, 0), 6)}f}"


def share(value: float) -> str:
    """Return a recall with four digits: .9996 is not 1."""
    return NONE if value != value else f"{value:.4f}"


def count(value: float) -> str:
    """Return a whole number."""
    return f"{value:,.0f}"


def plain(value: float) -> str:
    """Return a number without an exponent and without a needless point: `0.00001`, `50`."""
    return np.format_float_positional(value, trim="-")


def percent(value: float) -> str:
    """Return a share in per cent: `12.5 %`."""
    return f"{plain(float(f'{100 * value:.6g}'))} %"


def decimals(places: int, scale: float = 1) -> Show:
    """Return the format of so many decimals, of `scale` times the value: 100 for a column in per cent."""
    return lambda value: f"{scale * value:.{places}f}"


def interval(low: float, high: float, show: Show) -> str:
    """Return an interval as it is shown; nothing where there is none."""
    return "" if low != low else f"[{show(low)},{HELD}{show(high)}]"
