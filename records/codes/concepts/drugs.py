"""Drugs by their ingredients: by National Drug Code (NDC) and by the name as it was ordered.

A name is read as it is, then without what stands in brackets, then word by word: the longest names that the table knows
are taken from left to right, and doses, forms and routes passed over, so `Piperacillin-Tazobactam 4.5g` has two
ingredients, `Lasix` and `Furosemide 40mg Tab` one. Words of salts alone (`sodium`) count where nothing else is known. A
word of seven letters or more that is no name, and one letter from just one that is, is taken for it.

Of a drug with both, the NDC tells more. Where the two have nothing in common the name goes: it is what was ordered, and
numbers of products are given anew.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain

from cohorts.records.codes.concepts.base import NAME, NDC, Concept, Key, normal
from cohorts.records.codes.concepts.packaged import digest_of, read_packed

_NAMES, _SYNONYMS, _PRODUCTS = "drug_names.csv.xz", "drug_synonyms.csv", "ndc.csv.xz"
_PRODUCT = 9  # of an NDC's 11 digits: labeller and product; the rest is the package
_LONGEST = 6  # words of a name within a longer text
_CORRECTED = 7  # letters of a word that may be misspelt
_ASIDE = re.compile(r"\(.*?\)|\*.*?\*|\[.*?\]")
_WORD = re.compile(r"[a-z][a-z0-9]*")
_PASSED_OVER = (
    # doses
    "mg mcg g gm gram grams kg ml l liter unit units meq mmol mm hr hour hours day days in of for with without and or "
    "the to per plus w by as "
    # releases and forms
    "xl xr er sr cr dr ec ir la cd hp ds sa odt pf extended immediate delayed controlled sustained release chewable "
    "disintegrating tab tabs tablet tablets cap caps capsule capsules liquid suspension susp solution soln sol syrup "
    "elixir oral inj injection injectable ointment oint cream lotion gel foam drops spray powder packet patch "
    "transdermal suppository supp enema neb nebs nebulizer inhaler inhalation mdi "
    # routes, containers and uses
    "po iv im sc subq ophth ophthalmic otic nasal topical vaginal rectal buccal sublingual bag vial amp ampule syringe "
    "bottle cartridge pen kit pack refill premix premixed base main additive flush infusion bolus drip gtt sliding "
    "scale dose doses taper replacement desensitization withdrawal protocol adult pediatric infant regular mini sugar "
    "free preservative extra strength"
)
_WEAK = (  # ingredients that are told beside others, as salts or solvents
    "sodium potassium calcium magnesium zinc aluminum iron phosphate chloride sulfate acetate citrate lactate alcohol "
    "insulin water oil"
)
_LEFT_OUT, _BESIDE = frozenset(_PASSED_OVER.split()), frozenset(_WEAK.split())


class Ingredients:
    """The map of drugs to ingredients."""

    name = "ingredients"
    version = "RxNorm prescribable 2025-10-06, FDA UNII names June 2025"
    licence = "public domain (NLM, FDA)"

    @property
    def digest(self) -> str:
        """Return a hash of its tables (hex)."""
        return digest_of(_NAMES, _SYNONYMS, _PRODUCTS)

    @property
    def covers(self) -> Mapping[str, frozenset[str]]:
        """Return that it has drugs by NDC and by name."""
        return {"drug": frozenset({NDC, NAME})}

    def of(self, kind: str, keys: Sequence[Key]) -> tuple[Concept, ...]:
        """Return the ingredients that NDC and name tell, if any."""
        known = dict(keys) if kind == "drug" else {}
        by_ndc = ingredients_of_ndc(known[NDC]) if NDC in known else ()
        by_name = ingredients_of_name(known[NAME]) if NAME in known else ()
        found = by_ndc if not by_name or _have_in_common(by_ndc, by_name) else by_name
        return tuple(Concept("ingredient", one, one) for one in found)


def _have_in_common(ones: Sequence[str], others: Sequence[str]) -> bool:
    """Tell whether an ingredient of one list is one of the other, or a kind of it, as insulin lispro of insulin."""
    return any(set(one.split()) & {other, *other.split()} - _BESIDE for one in ones for other in others)


@cache
def ingredients_of_ndc(ndc: str) -> tuple[str, ...]:
    """Return the ingredients of a product by its NDC (11 digits, or 10 in hyphens); none where it is not known."""
    return _products().get(normal(NDC, ndc)[:_PRODUCT], ())


@cache
def ingredients_of_name(ordered: str) -> tuple[str, ...]:
    """Return the ingredients that a drug's name tells; none where it tells none that is known."""
    text = ordered.lower()
    bare = _ASIDE.sub(" ", text)
    for whole in (text, bare):
        if found := _names().get(plain_words(whole)):
            return found
    return _within(bare) or _within(text) or _corrected(bare)


def plain_words(text: str) -> str:
    """Return the words and numbers of a text in lower case, a blank between them."""
    return " ".join(re.findall(r"[a-z0-9]+", text.lower()))


def _telling(text: str) -> list[str]:
    return [word for word in _WORD.findall(text) if word not in _LEFT_OUT]


def _within(text: str) -> tuple[str, ...]:
    found = list(_longest_names(_telling(text)))
    strong = [name for name in found if name not in _BESIDE]
    return tuple(dict.fromkeys(chain.from_iterable(_names()[name] for name in strong or found)))


def _longest_names(words: Sequence[str]) -> Iterator[str]:
    """Yield the names that stand in a text, from left to right, each the longest that begins there."""
    start = 0
    while start < len(words):
        ends = range(min(len(words), start + _LONGEST), start, -1)
        texts = ((end, " ".join(words[start:end])) for end in ends)
        end, name = next(((end, text) for end, text in texts if text in _names()), (start + 1, ""))
        if len(name) > 2:
            yield name
        start = end


def _corrected(text: str) -> tuple[str, ...]:
    """Return the ingredients of the first word that is one letter from the names of one set of ingredients."""
    for word in _telling(text):
        if len(word) >= _CORRECTED:
            near = {name for end in _ends(word) for name in _by_ends().get(end, ())}
            found = {_names()[name] for name in near if _one_letter_apart(word, name)}
            if len(found) == 1:
                return next(iter(found))
    return ()


def _one_letter_apart(word: str, name: str) -> bool:
    """Tell whether one letter is too many, missing or another, or two neighbours changed places."""
    if len(word) != len(name):
        less, more = sorted((word, name), key=len)
        return any(less == more[:place] + more[place + 1 :] for place in range(len(more)))
    differ = [place for place, (one, other) in enumerate(zip(word, name, strict=True)) if one != other]
    first, last = (differ or [0])[0], (differ or [0])[-1]
    return len(differ) == 1 or (last == first + 1 and word[first : last + 1] == name[first : last + 1][::-1])


def _ends(word: str) -> tuple[str, str]:
    """Return how a word begins and ends, told apart: of a long one, one letter changes one of both at most."""
    return f"{word[:3]}-", f"-{word[-3:]}"


@cache
def _by_ends() -> dict[str, list[str]]:
    """Return the names of one word by how they begin and end."""
    found: dict[str, list[str]] = {}
    for name in _names():
        if len(name) >= _CORRECTED - 1 and name.isalpha():
            for end in _ends(name):
                found.setdefault(end, []).append(name)
    return found


@cache
def _names() -> dict[str, tuple[str, ...]]:
    found = _by_text(read_packed(_NAMES), "|")
    return found | {name: tuple(told.split("|")) for name, told in read_packed(_SYNONYMS)}


@cache
def _products() -> dict[str, tuple[str, ...]]:
    return _by_text(read_packed(_PRODUCTS), " ")


def _by_text(rows: Iterable[Sequence[str]], between: str) -> dict[str, tuple[str, ...]]:
    found = {}
    for ingredients, texts in rows:
        made = tuple(ingredients.split("|"))
        for text in texts.split(between):
            found[text] = made
    return found
