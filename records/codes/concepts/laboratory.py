"""Laboratory items as one item each, that of blood apart from that of urine and of every other fluid.

An item is told by its LOINC code and by its name. Where both are known and differ, the code tells the fluid and, of the
same fluid, the name what is measured: MIMIC-III gives transferrin the code of iron binding capacity.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache

from cohorts.records.codes.concepts.base import LABORATORY, LOINC, NAME, Concept, Key
from cohorts.records.codes.concepts.packaged import digest_of, read_packed

_TABLES = ("laboratory.csv.xz", "laboratory_synonyms.csv")
_FLUIDS = {  # how each is written; what is left is blood
    "urine": r"urine|urinary",
    "cerebrospinal fluid": r"cerebro-?\s?spinal(?: fluid)?|cerebral spinal fluid|spinal fluid|csf",
    "pleural fluid": r"pleural(?: fluid)?",
    "ascites": r"ascites|ascitic(?: fluid)?|peritoneal(?: (?:dialysis )?fluid)?",
    "joint fluid": r"(?:joint|synovial)(?: fluid)?",
    "amniotic fluid": r"amniotic(?: fluid)?",
    "gastric fluid": r"gastric (?:fluid|aspirate|contents)",
    "bone marrow": r"bone marrow",
    "stool": r"stool|faeces|feces|faecal|fecal",
    "sputum": r"sputum",
    "saliva": r"saliva",
    "sweat": r"sweat",
    "body fluid": r"(?:other )?body fluid|dialysis fluid|dialysate|fluid",
}
_FLUID = {name: re.compile(rf"\b(?:{written})\b") for name, written in _FLUIDS.items()}
_BLOOD = re.compile(
    r"\b(?:(?:whole|arterial|venous|capillary|mixed|cord|peripheral) )*blood\b|\bserum\b|\bplasma\b(?! cell)"
)
_LONG_NAME = re.compile(r"(?P<of>.+?)(?: \[[^\]]*\])?(?: (?:in|of) (?P<within>.+?))?(?: by .+| --.+)?")
_ASIDE = re.compile(r"\(([^()]*)\)")
_TERM = re.compile(r"[a-z0-9]+|%|#")


class Laboratory:
    """The map of laboratory items."""

    name = "laboratory"
    version = "records/measured, mimic-code of 2023-12-17 (LOINC 2.71)"
    licence = "MIT (mimic-code); LOINC licence"

    @property
    def digest(self) -> str:
        """Return a hash of its tables (hex)."""
        return digest_of(*_TABLES)

    @property
    def covers(self) -> Mapping[str, frozenset[str]]:
        """Return that it has items by LOINC code and by name."""
        return {LABORATORY: frozenset({LOINC, NAME})}

    def of(self, kind: str, keys: Sequence[Key]) -> tuple[Concept, ...]:
        """Return the item that LOINC code and name tell, if any."""
        known = dict(keys) if kind == LABORATORY else {}
        found = item_of(known.get(NAME, ""), known.get(LOINC, ""))
        return (Concept("item", found, found),) if found else ()


@cache
def item_of(name: str, loinc: str = "") -> str:
    """Return the one item that a local name and a LOINC code mean, "" where neither is known."""
    by_code, by_name = _table()[LOINC].get(loinc, ""), _by_name(name)
    same = by_code and by_name and fluid_of(by_code) == fluid_of(by_name)
    return by_name if same else by_code or by_name


def _by_name(name: str) -> str:
    """Return the item of a name as it is, without or within its brackets; known in blood, it is known in any fluid."""
    fluid, bare = fluid_of(name), _ASIDE.sub(" ", name)
    for text in (name, bare, *_ASIDE.findall(name)):
        if known := _table()[NAME].get(item_key(text, fluid)):
            return known
    in_blood = _table()[NAME].get(item_key(_without_fluid(name.lower())), "") if fluid else ""
    return f"{fluid} {in_blood}" if in_blood else ""


def fluid_of(text: str) -> str:
    """Return the fluid that a text names; "" is blood, or none."""
    lower = text.lower()
    return next((name for name, written in _FLUID.items() if written.search(lower)), "")


def item_key(name: str, fluid: str = "") -> str:
    """Return a local name as the table has it: the fluid that it names, or else `fluid`, and its words in order.

    "" is a name without further words: a fluid alone is nothing measured, but blood in urine is.
    """
    within, left = fluid_of(name) or fluid_of(fluid), _without_fluid(name.lower())
    words = _TERM.findall(_BLOOD.sub(" ", left)) or (_TERM.findall(left) if within else [])
    return " ".join((*within.split(), *sorted(map(_singular, words)))) if words else ""


def loinc_item(long_name: str) -> tuple[str, str]:
    """Return what a LOINC long common name says is measured, in lower case, and in which fluid; "" is blood."""
    told = _LONG_NAME.fullmatch(long_name)
    return (told["of"].lower(), fluid_of(told["within"] or told["of"])) if told else (long_name.lower(), "")


def _without_fluid(text: str) -> str:
    for written in _FLUID.values():
        text = written.sub(" ", text)
    return text


def _singular(word: str) -> str:
    ends = len(word) > 4 and word.endswith("s") and not word.endswith(("ss", "us", "is"))
    return word[:-1] if ends else word


@cache
def _table() -> Mapping[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {LOINC: {}, NAME: {}}
    for name in _TABLES:
        for system, code, concept in read_packed(name):
            found[system][item_key(code) if name.endswith(".csv") else code] = concept
    return found
