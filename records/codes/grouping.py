"""ICD-9 and ICD-10 in one space: the group of a diagnosis or procedure, and drugs by their ingredient."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files

from cohorts.errors import SourceError
from cohorts.records.codes.prefixes import FIELDS, longest_prefix

_ASIDE = re.compile(r"\(.*?\)|\*.*?\*")
_WORD = re.compile(r"(?<![\w.])[a-z][a-z0-9-]*")
_UNITS = "mg mcg g ml l unit units meq mmol hr in"
_SALTS = (
    "sodium hcl hydrochloride sulfate sulphate succinate succ tartrate acetate citrate gluconate phosphate maleate "
    "mesylate fumarate besylate potassium"
)
_FORMS = (
    "xl xr er sr cr dr ec ir inj injection desensitization replacement tab tablet cap capsule oral liquid suspension "
    "solution soln syrup neb nebs patch ointment cream drops gel powder bag vial syringe premix sliding scale drip gtt"
)
_BESIDE = frozenset(f"{_UNITS} {_SALTS} {_FORMS}".split())


@cache
def group_of(kind: str, system: str, code: str) -> str | None:
    """Return the group of a diagnosis or procedure code (no dot); None where no group has it."""
    return longest_prefix(_prefixes(kind, FIELDS.get(system, "")), code)


@cache
def drug_name(ordered: str) -> str:
    """Return a drug's name without doses, salts and forms, in lower case: `Furosemide 40mg Tab` is furosemide."""
    words = _WORD.findall(_ASIDE.sub(" ", ordered.lower()))
    # The first word stays, whatever it is: sodium chloride is no salt of anything.
    kept = words[:1] + [word for word in words[1:] if word not in _BESIDE]
    return " ".join(kept) or ordered.strip().lower()


@cache
def _table() -> Mapping[str, Mapping[str, Mapping[str, list[str]]]]:
    text = files("cohorts.records.codes").joinpath("code_groups.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


@cache
def _prefixes(kind: str, field: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, entry in _table().get(kind, {}).items():
        for prefix in (one for text in entry.get(field, ()) for one in _range(text)):
            found.setdefault(prefix, name)
    return found


def _range(text: str) -> Iterator[str]:
    """Yield the prefixes of `A00-A09`: every character sequence of the same length from the first to the last."""
    first, _, last = text.partition("-")
    if not last:
        yield first
        return
    head = first.rstrip("0123456789")
    if not last.startswith(head) or len(first) != len(last):
        raise SourceError(f"code_groups.toml: {text} is no range: both ends begin with the same letters.")
    width = len(first) - len(head)
    for number in range(int(first[len(head) :]), int(last[len(head) :]) + 1):
        yield f"{head}{number:0{width}}"
