"""Index and search parameters, in the papers' names; build parameters apart from search parameters."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from cohorts.documents import conform
from cohorts.errors import InputError

_RANGES = {
    "m": (2, 2048),
    "ef_construction": (1, 32_768),
    "nlist": (1, 65_536),
    "n_trees": (1, 10_000),
    "ef_search": (1, 32_768),
    "nprobe": (1, 65_536),
    "search_k": (1, 100_000_000),
}
_VARIANTS = ("flat", "sq8", "pq")
_QUANTIZATIONS = ("none", "scalar", "product", "binary")
DEFAULT_EF = 128
MAX_EF = 32_768
DEFAULT_NPROBE = 16


class Index:
    """A kind of index with its build parameters. Raises InputError for a parameter out of range."""

    def __post_init__(self) -> None:
        _check_ranges(vars(self))


@dataclass(frozen=True)
class Flat(Index):
    """No index: every search is exact."""


@dataclass(frozen=True)
class Hnsw(Index):
    """Hierarchical navigable small world graph. Source: Malkov and Yashunin, 2018, section 4.

    `m` is how many links a node has, from 2 to 2,048; `ef_construction` how many candidates are looked at while the
    graph is built, from 1 to 32,768. `quantization` keeps compressed vectors beside the whole ones: scalar (8 bits),
    product (a sixteenth) or binary (1 bit per dimension); candidates are scored anew with the whole vectors.
    """

    m: int = 32
    ef_construction: int = 400
    quantization: str = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_choice("quantization", self.quantization, _QUANTIZATIONS)


@dataclass(frozen=True)
class Ivf(Index):
    """Inverted file over `nlist` clusters, from 1 to 65,536.

    `variant` says how vectors are kept: whole (`flat`), as 8-bit scalars (`sq8`), or product-quantised (`pq`).
    """

    nlist: int = 1024
    variant: str = "flat"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_choice("ivf variant", self.variant, _VARIANTS)


@dataclass(frozen=True)
class Annoy(Index):
    """Forest of `n_trees` random projection trees, from 1 to 10,000. Source: github.com/spotify/annoy."""

    n_trees: int = 100


@dataclass(frozen=True)
class Other(Index):
    """An index of others that cohorts doesn't know, by the engine's own name for it: taken to be approximate."""

    name: str


KINDS: Mapping[str, type[Any]] = {"flat": Flat, "hnsw": Hnsw, "ivf": Ivf, "annoy": Annoy}
_STORED: Mapping[str, type[Any]] = {**KINDS, "other": Other}


@dataclass(frozen=True)
class SearchParams:
    """How hard to search; None leaves the engine's own default.

    `ef_search` is how many candidates HNSW keeps, from 1 to 32,768; `nprobe` how many clusters IVF looks into, from 1
    to 65,536; `search_k` how many nodes Annoy looks at, from 1 to 100,000,000. `exact` scans everything.
    """

    ef_search: int | None = None
    nprobe: int | None = None
    search_k: int | None = None
    exact: bool = False

    def __post_init__(self) -> None:
        _check_ranges(vars(self))


def pq_subvectors(dim: int) -> int:
    """Return into how many parts product quantisation cuts a vector: of 8 dimensions or, so that they fit, more."""
    return next(parts for parts in range(max(1, dim // 8), 0, -1) if dim % parts == 0)


@lru_cache(maxsize=256)
def effective_search(
    index: Index, defaults: SearchParams, asked: SearchParams | None, k: int
) -> tuple[SearchParams, tuple[str, ...]]:
    """Return the parameters that a search for k neighbours runs with, and a note for each that was asked otherwise.

    An `ef_search` below k would be an error on one engine and raised in silence on the others; an `nprobe` above nlist
    is cut; what the index doesn't know is left out. What an index of an unknown kind knows is left to the engine.
    """
    asked = asked or SearchParams()
    if isinstance(index, Other):
        return asked, tuple(
            f"{key} was passed on; what it does to {index.name} is not known"
            for key in search_to_json(replace(asked, exact=False))
        )
    notes: list[str] = []
    known = {Hnsw: "ef_search", Ivf: "nprobe", Annoy: "search_k"}.get(type(index))
    kind = type(index).__name__.lower()
    for name in ("ef_search", "nprobe", "search_k"):
        if name != known and getattr(asked, name) is not None:
            notes.append(f"{name} has no meaning for {kind}: it was not used")
    if isinstance(index, Hnsw):
        wanted = asked.ef_search or defaults.ef_search
        ef = min(max(wanted or DEFAULT_EF, k), MAX_EF)
        if wanted is not None and ef != wanted:
            notes.append(f"ef_search={wanted} was asked; {k} neighbours need {ef}: it was used")
        return SearchParams(ef_search=ef, exact=asked.exact), tuple(notes)
    if isinstance(index, Ivf):
        wanted = asked.nprobe or defaults.nprobe or DEFAULT_NPROBE
        nprobe = min(wanted, index.nlist)
        if asked.nprobe is not None and nprobe != asked.nprobe:
            notes.append(f"nprobe={asked.nprobe} was asked; there are {nprobe} clusters: all were searched")
        return SearchParams(nprobe=nprobe, exact=asked.exact), tuple(notes)
    return SearchParams(exact=asked.exact), tuple(notes)


def show_index(index: Index) -> str:
    """Return the index with every setting: `hnsw(m=32, ef_construction=400)`; one of others as its engine calls it."""
    if isinstance(index, Other):
        return index.name
    settings = {key: value for key, value in vars(index).items() if value != "none"}
    name = next(name for name, kind in KINDS.items() if type(index) is kind)
    shown = ", ".join(f"{key}={value}" for key, value in settings.items())
    return f"{name}({shown})" if shown else name


def parse_index(text: str) -> Index:
    """Read an index as in `hnsw:m=32,ef_construction=400`. Raises InputError."""
    name, _, rest = text.partition(":")
    kind = KINDS.get(name.strip().lower())
    if kind is None:
        raise InputError(f"There is no index {name!r}. Indexes: {', '.join(KINDS)}.")
    index: Index = kind(**_settings(rest, kind))
    return index


def parse_search(text: str) -> SearchParams:
    """Read search parameters as in `ef_search=128` or `exact=true`. Raises InputError."""
    return SearchParams(**_settings(text, SearchParams))


def search_to_json(params: SearchParams) -> dict[str, Any]:
    """Return the parameters that are set as a JSON object; `SearchParams(**it)` reads it."""
    return {key: value for key, value in vars(params).items() if value}


def show_search(params: SearchParams) -> str:
    """Return search parameters as `parse_search` reads them: `ef_search=128`."""
    return ",".join(f"{key}={str(value).lower()}" for key, value in search_to_json(params).items())


def load_settings(file: Path) -> tuple[Index | None, SearchParams | None]:
    """Read the tables `[index]` (with `kind`) and `[search]` of a TOML file; None for one that is not there.

    Raises InputError for a file that can't be read and for settings that are none.
    """
    import tomllib

    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"The settings in {file} can't be read: {error}.") from error
    unknown = sorted(set(tables) - {"index", "search"})
    if unknown or not all(isinstance(table, dict) for table in tables.values()):
        raise InputError(
            f"{file} holds {', '.join(unknown) or 'no tables'}; it may hold tables [index] and [search]."
        )
    index = search = None
    if "index" in tables:
        kind = tables["index"].pop("kind", "")
        index = parse_index(f"{kind}:{_as_text(tables['index'])}")
    if "search" in tables:
        search = parse_search(_as_text(tables["search"]))
    return index, search


def _as_text(table: Mapping[str, Any]) -> str:
    return ",".join(f"{key}={str(value).lower()}" for key, value in table.items())


def index_to_json(index: Index) -> dict[str, Any]:
    """Return the index as a JSON object."""
    name = next(name for name, kind in _STORED.items() if type(index) is kind)
    return {"kind": name, **vars(index)}


def index_from_json(value: Mapping[str, Any]) -> Index:
    """Return the index that `index_to_json` wrote. Raises InputError."""
    settings = dict(value)
    name = settings.pop("kind", None)
    kind = _STORED.get(name) if isinstance(name, str) else None
    if kind is None:
        raise InputError(f"An index has no kind of these: {', '.join(_STORED)}.")
    index: Index = conform(settings, kind, f"Index {name}")
    return index


def _settings(text: str, kind: type[Any]) -> dict[str, Any]:
    known = {field.name: field for field in fields(kind)}
    settings: dict[str, Any] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        key, equals, value = (part.strip() for part in pair.partition("="))
        if key not in known or not equals:
            allowed = ", ".join(known) or "none"
            raise InputError(
                f"{pair!r} is no setting of {kind.__name__}: write key=value with a key of: {allowed}."
            )
        if key in settings:
            raise InputError(f"{key} is given twice: {text!r}. Leave one out.")
        settings[key] = _value(key, value)
    return settings


def _value(key: str, value: str) -> str | int | bool:
    if key in ("variant", "quantization"):
        return value.lower()
    if key == "exact":
        if value.lower() not in ("true", "false"):
            raise InputError(f"exact={value}: it is true or false.")
        return value.lower() == "true"
    try:
        return int(value)
    except ValueError as error:
        raise InputError(f"{key}={value}: it is a whole number.") from error


def _check_choice(what: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InputError(f"{what} is {value!r}; it is one of {', '.join(allowed)}.")


def _check_ranges(settings: Mapping[str, Any]) -> None:
    for key, (low, high) in _RANGES.items():
        value = settings.get(key)
        if value is not None and not low <= value <= high:
            raise InputError(f"{key} is {value}; it lies between {low} and {high:,}.")
