"""A profile: who is looked for, as criteria to include and to exclude by, in TOML."""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from cohorts.connectors.filters.reading import parse_filter
from cohorts.documents import conform
from cohorts.errors import InputError
from cohorts.records.codes.phenotypes import load_phenotypes

INCLUDE, EXCLUDE = "include", "exclude"
KINDS = ("where", "phenotype", "code", "drug", "laboratory")
_BOUNDS = ("above", "below", "rise_percent", "fall_percent")
_DAYS = re.compile(r"([1-9]\d{0,4})\s*([hd])")


def _is_span(value: str) -> str:
    return "" if _DAYS.fullmatch(value) else "must be hours or days, as in 36h or 90d"


def _is_positive(value: float) -> str:
    return "" if value > 0 else "must be above 0"


Span = Annotated[str, _is_span]


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """One of `where`, `phenotype`, `code`, `drug` and `laboratory`, and what narrows it. Raises InputError.

    `code` holds beginnings of codes of a `kind`. `last` counts what is at most so long before the date of screening
    (or the end of the patient's last stay). A laboratory item is `above` or `below` a bound, in `unit`; or one value is
    by so many per cent higher (`rise_percent`) or lower than one at most `within` before it.
    """

    name: str = ""
    where: str = ""
    phenotype: str = ""
    code: str | tuple[str, ...] = ()
    kind: Literal["diagnosis", "procedure"] = "diagnosis"
    drug: str = ""
    laboratory: str = ""
    above: float | None = None
    below: float | None = None
    unit: str = ""
    rise_percent: Annotated[float, _is_positive] | None = None
    fall_percent: Annotated[float, _is_positive] | None = None
    within: Span = "90d"
    last: Span | None = None

    def __post_init__(self) -> None:
        given = [name for name in KINDS if getattr(self, name)]
        if len(given) != 1:
            raise InputError(
                f"a criterion has one of {', '.join(KINDS)}; {self.name or 'one'} has {' and '.join(given) or 'none'}"
            )
        bounds = [name for name in _BOUNDS if getattr(self, name) is not None]
        change = [name for name in bounds if name.endswith("percent")]
        if bool(self.laboratory) != bool(bounds) or len(change) > 1 or (change and len(bounds) > 1):
            raise InputError(
                f"{self.label} must have above, below or both, or one of rise_percent and fall_percent, where it is of "
                "a laboratory item, and none of them elsewhere"
            )
        if self.where:
            parse_filter(self.where)
            if self.last:
                raise InputError(f"{self.label}: a filter has no time, so it takes no last")
        known = [one.name for one in load_phenotypes()]
        if self.phenotype and self.phenotype not in known:
            raise InputError(f"there is no phenotype {self.phenotype!r}; there are {', '.join(known)}")

    @property
    def codes(self) -> tuple[str, ...]:
        """Return the beginnings of codes, without dots."""
        given = (self.code,) if isinstance(self.code, str) else self.code
        return tuple(one.replace(".", "").strip().upper() for one in given)

    @property
    def changes(self) -> bool:
        """Return whether it asks for a change of a value."""
        return self.rise_percent is not None or self.fall_percent is not None

    @property
    def label(self) -> str:
        """Return its name, or what it asks for in short."""
        if self.name:
            return self.name
        what = self.where or self.phenotype or self.drug or self.laboratory or " ".join(self.codes)
        return what + self._bound() + (f", last {self.last}" if self.last else "")

    def _bound(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        words = [
            f" > {self.above:g}{unit}" if self.above is not None else "",
            f" < {self.below:g}{unit}" if self.below is not None else "",
            f" +{self.rise_percent:g} % within {self.within}" if self.rise_percent else "",
            f" -{self.fall_percent:g} % within {self.within}" if self.fall_percent else "",
        ]
        return "".join(words)


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Who is looked for: who meets all to `include` by and nothing to `exclude` by, the nearest to `text` first."""

    title: str = ""
    text: str = ""
    include: tuple[Criterion, ...] = ()
    exclude: tuple[Criterion, ...] = ()

    def __post_init__(self) -> None:
        if not (self.include or self.exclude or self.text.strip()):
            raise InputError("it asks for nothing: give [[include]], [[exclude]] or text")
        names = [one.label for one in (*self.include, *self.exclude)]
        if again := next((name for name in names if names.count(name) > 1), None):
            raise InputError(f"two criteria are called {again!r}: give one of them another name")

    @property
    def criteria(self) -> Sequence[tuple[str, Criterion]]:
        """Return all criteria, those to include by first, each with its role."""
        return [*((INCLUDE, one) for one in self.include), *((EXCLUDE, one) for one in self.exclude)]


def read_profile(file: Path) -> Profile:
    """Read a profile. Raises InputError, which says what of it is wrong."""
    try:
        told = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"The profile {file} can't be read: {error.strerror}.") from error
    except ValueError as error:
        raise InputError(f"The profile {file} is no TOML: {error}.") from error
    return conform(
        told, Profile, f"The profile {file}", verdict="can't be used", remedy="See docs/recruit.md."
    )


def span_of(text: str) -> timedelta:
    """Return how long `36h` or `90d` is."""
    found = _DAYS.fullmatch(text)
    assert found is not None  # noqa: S101 - it was checked when the profile was read
    return timedelta(hours=int(found[1])) if found[2] == "h" else timedelta(days=int(found[1]))
