"""Parts of an SVG as text: every word that comes from elsewhere is escaped here, and nowhere else."""

from collections.abc import Callable, Sequence
from math import ceil, floor, log10
from xml.sax.saxutils import escape, quoteattr

WIDE, NARROW = 760, 342  # px: a page of 1216 px, and one of 390 less its margins
HIDDEN = "≤ 10"
INK, QUIET, LINE = "#1c2430", "#4a5463", "#dfe4ea"
COLOURS = ("#1f6fb2", "#c75b00", "#1d8348", "#7a4fb0")
DASHES = (None, "8 4", "2 3", "10 3 2 3")
STYLE = (
    ".figure svg { display: block; max-width: 100%; height: auto; } .figure .narrow { display: none; }"
    " .figure { print-color-adjust: exact; break-inside: avoid; overflow-x: auto; }"
    " @media screen and (max-width: 820px) { .figure .wide { display: none; } .figure .narrow { display: block; } }"
)
_CHARACTER = 0.56  # of the size: the mean width of a letter, rather too wide than too narrow


def both(svg: Callable[[int], str]) -> str:
    """Return a figure for a page whose style sheet has STYLE: wide and narrow, one of which is shown."""
    wide, narrow = (
        f'<div class="{name}">{svg(px)}</div>' for name, px in (("wide", WIDE), ("narrow", NARROW))
    )
    return f'<div class="figure">{wide}{narrow}</div>'


def document(width: float, height: float, title: str, about: str, *parts: str) -> str:
    """Return a whole SVG; `title` is its name, and `about` says in words what it shows."""
    return element(
        "svg",
        element("title", escaped(title)),
        element("desc", escaped(about)),
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        role="img",
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        width=width,
        font_family="system-ui, sans-serif",
        font_size=12,
        fill=INK,
    )


def element(name: str, *content: str, **attributes: str | float | None) -> str:
    """Return an element of `content`, which is markup; an attribute that is None is left out, _ is written as -."""
    told = "".join(
        f" {key.strip('_').replace('_', '-')}={quoteattr(_printable(_number(value)))}"
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{told}>{''.join(content)}</{name}>" if content else f"<{name}{told}/>"


def words(x: float, y: float, text: str, room: float | None = None, **attributes: str | float | None) -> str:
    """Return a text; of one that is too long for its `room`, px, the beginning, and all of it where one points."""
    size = float(attributes.get("font_size") or 12)
    shown = text if room is None else fitted(text, room, size)
    title = "" if shown == text else element("title", escaped(text))
    return element("text", title + escaped(shown), x=x, y=y, **attributes)


def fitted(text: str, room: float, size: float = 12) -> str:
    """Return what of a text fits a room, px."""
    most = max(int(room / (size * _CHARACTER)), 1)
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def line(x1: float, y1: float, x2: float, y2: float, **attributes: str | float | None) -> str:
    """Return a straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, **{"stroke": LINE, **attributes})


def escaped(text: str) -> str:
    """Return a text as markup that reads as it, without what no XML may hold."""
    return escape(_printable(text))


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round values from `low` to `high`, no more than about `most`."""
    raw = (high - low) / most
    unit = 10.0 ** floor(log10(raw))
    step = next(one * unit for one in (1, 2, 5, 10) if one * unit >= raw * 0.999999)
    return [round(one * step, 10) for one in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]


def spread(places: Sequence[float], apart: float, low: float, high: float) -> list[float]:
    """Return places, px, moved as little as lets them be `apart` from each other, within `low` and `high`."""
    order = sorted(range(len(places)), key=lambda one: places[one])
    moved = list(places)
    for before, one in zip([None, *order], order, strict=False):
        moved[one] = max(moved[one], low if before is None else moved[before] + apart)
    for after, one in zip([None, *order[::-1]], order[::-1], strict=False):
        moved[one] = min(moved[one], high if after is None else moved[after] - apart)
    return moved


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() else " " for one in text)


def _number(value: str | float) -> str:
    return value if isinstance(value, str) else f"{round(value, 1):g}"
