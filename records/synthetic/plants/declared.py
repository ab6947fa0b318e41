"""What a user may plant in the hospital: the format of `cohorts synth --plant FILE.toml`, checked."""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from cohorts.documents import conform
from cohorts.errors import InputError
from cohorts.records.synthetic.network import parameters

_CODE = re.compile(r"(?:\d{3}|V\d{2})\d{0,2}")
_MOST = 10.0  # log odds, either way: beyond it all are, or none


def _is_share(value: float) -> str:
    return "" if 0 <= value <= 1 else "must be a share from 0 to 1"


def _is_log_odds(value: float) -> str:
    return "" if abs(value) <= _MOST else f"must be log odds from -{_MOST:g} to {_MOST:g}"


def _is_factor(value: float) -> str:
    return "" if 0 < value <= 1_000 else "must be a factor above 0, up to 1,000"


def _is_positive(value: int) -> str:
    return "" if value > 0 else "must be 1 or more"


def _is_name(value: str) -> str:
    return (
        "" if value.strip() and value.isprintable() and len(value) <= 100 else "must be a short line of text"
    )


def _is_code(value: Mapping[str, str]) -> str:
    wrong = [code for code in value if not _CODE.fullmatch(code)]
    return f"has the key {wrong[0]!r}; keys are ICD-9 codes without a dot, as in '28984'" if wrong else ""


Share = Annotated[float, _is_share]
LogOdds = Annotated[float, _is_log_odds]
Factor = Annotated[float, _is_factor]
Name = Annotated[str, _is_name]
Codes = Annotated[Mapping[str, Name], _is_code]  # titles by ICD-9 code


@dataclass(frozen=True)
class Group:
    """Who belongs to a sub-group: all that is given must hold. Ages in years."""

    has: Sequence[str] = ()
    lacks: Sequence[str] = ()
    over: float | None = None
    under: float | None = None
    sex: Literal["F", "M"] | None = None


@dataclass(frozen=True)
class Treatment:
    """A drug that is given to a share of a condition's stays, and moves death in a sub-group and elsewhere."""

    name: Name
    condition: str
    drug: Name
    given: Share
    group: Group
    death_in_group: LogOdds
    death_elsewhere: LogOdds = 0.0
    given_by_severity: LogOdds = 0.0


@dataclass(frozen=True)
class Reaction:
    """What follows the first dose of a drug after some days, by chance: values, a diagnosis, words in notes."""

    name: Name
    drug: Name
    chance: Share
    days: tuple[float, ...]
    labs: Mapping[str, Factor] = field(default_factory=dict)
    diagnoses: Codes = field(default_factory=dict)
    words: Sequence[Name] = ()
    given: Share | None = None
    condition: str | None = None


@dataclass(frozen=True)
class Subtype:
    """One kind of a condition's patients: its own drugs (shares), values (factors), death, length of stay and words."""

    name: Name
    share: Share
    drugs: Mapping[str, Share] = field(default_factory=dict)
    labs: Mapping[str, Factor] = field(default_factory=dict)
    death: LogOdds = 0.0
    days: Factor = 1.0
    words: Sequence[Name] = ()


@dataclass(frozen=True)
class Subtypes:
    """A condition's patients, divided."""

    name: Name
    condition: str
    types: Sequence[Subtype]


@dataclass(frozen=True)
class Rare:
    """A handful of patients with what nobody else has together."""

    name: Name
    patients: Annotated[int, _is_positive]
    conditions: Sequence[str] = ()
    diagnoses: Codes = field(default_factory=dict)
    drugs: Sequence[Name] = ()
    labs: Mapping[str, Factor] = field(default_factory=dict)
    words: Sequence[Name] = ()


@dataclass(frozen=True)
class Plants:
    """All that is planted."""

    treatment: Sequence[Treatment] = ()
    reaction: Sequence[Reaction] = ()
    subtypes: Sequence[Subtypes] = ()
    rare: Sequence[Rare] = ()


def read_plants(file: Path) -> Plants:
    """Return what a file plants. Raises InputError, which names what is wrong and what is known."""
    try:
        value = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeError) as error:
        raise InputError(
            f"{file} can't be read: {getattr(error, 'strerror', None) or 'it is no UTF-8'}."
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{file} is no TOML: {error}.") from None
    plants = conform(value, Plants, str(file), verdict="can't be used")
    _check(str(file), plants)
    return plants


def known_conditions() -> list[str]:
    """Return the names of conditions that a plant may name."""
    return [*parameters("conditions")["chronic"], *parameters("conditions")["acute"]]


def known_drugs() -> list[str]:
    """Return the names of drugs that the hospital orders without a plant; rare ones are not among them."""
    return list(parameters("orders")["drugs"])


def _check(of: str, plants: Plants) -> None:
    names = [one.name for one in plants.treatment] + [one.name for one in plants.reaction]
    names += [one.name for one in plants.subtypes] + [one.name for one in plants.rare]
    if not names:
        raise InputError(f"{of} plants nothing. Tables: [[treatment]], [[reaction]], [[subtypes]], [[rare]].")
    _check_distinct(of, "plants", names)
    for treatment in plants.treatment:
        group = treatment.group
        _check_known(of, treatment.name, "condition", [treatment.condition, *group.has, *group.lacks])
    for reaction in plants.reaction:
        _check_reaction(of, reaction)
    for subtypes in plants.subtypes:
        _check_subtypes(of, subtypes)
    for rare in plants.rare:
        _check_known(of, rare.name, "condition", rare.conditions)
        _check_known(of, rare.name, "laboratory item", rare.labs)


def _check_reaction(of: str, reaction: Reaction) -> None:
    _check_known(of, reaction.name, "laboratory item", reaction.labs)
    _check_known(of, reaction.name, "condition", [reaction.condition] if reaction.condition else [])
    if len(reaction.days) != 2 or not 0 <= reaction.days[0] <= reaction.days[1]:
        raise InputError(f"{of}, {reaction.name!r}: days must be two numbers, from and to, as in [4, 9].")
    if not (reaction.labs or reaction.diagnoses or reaction.words):
        raise InputError(f"{of}, {reaction.name!r} does nothing: it needs labs, diagnoses or words.")
    if reaction.given is None and reaction.drug not in known_drugs():
        raise InputError(
            f"{of}, {reaction.name!r}: {reaction.drug!r} is no drug that the hospital orders, so it needs given, "
            f"the share of stays that get it. Drugs: {', '.join(known_drugs())}."
        )
    if reaction.given is None and reaction.condition:
        raise InputError(
            f"{of}, {reaction.name!r}: condition says to whom the drug is given; it needs given."
        )


def _check_subtypes(of: str, subtypes: Subtypes) -> None:
    _check_known(of, subtypes.name, "condition", [subtypes.condition])
    if len(subtypes.types) < 2:
        raise InputError(f"{of}, {subtypes.name!r}: types must be two or more.")
    _check_distinct(f"{of}, {subtypes.name!r}", "types", [one.name for one in subtypes.types])
    if abs(sum(one.share for one in subtypes.types) - 1) > 0.001:
        raise InputError(f"{of}, {subtypes.name!r}: the shares of its types must add up to 1.")
    for one in subtypes.types:
        _check_known(of, f"{subtypes.name}, {one.name}", "laboratory item", one.labs)


def _check_distinct(of: str, what: str, names: Sequence[str]) -> None:
    if twice := [name for place, name in enumerate(names) if name in names[:place]]:
        raise InputError(f"{of}: two {what} are called {twice[0]!r}; each needs a name of its own.")


def _check_known(of: str, name: str, what: str, given: Iterable[str]) -> None:
    known = known_conditions() if what == "condition" else list(parameters("courses")["labs"])
    for one in given:
        if one not in known:
            raise InputError(f"{of}, {name!r}: there is no {what} {one!r}. Known are {', '.join(known)}.")
