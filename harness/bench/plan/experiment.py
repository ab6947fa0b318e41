"""An experiment: data, filters, stores, indexes and search parameters, read from a TOML file and checked key by key."""

import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from math import ceil
from pathlib import Path
from typing import Annotated, Any, TypeVar

from cohorts.connectors.addresses import is_server, parse_server
from cohorts.connectors.index import (
    Annoy,
    Hnsw,
    Index,
    Ivf,
    SearchParams,
    effective_search,
    parse_index,
    parse_search,
    show_index,
)
from cohorts.connectors.registry import ADDRESSES
from cohorts.documents import conform
from cohorts.errors import InputError
from cohorts.reports.formats import plain

MAX_K = 16_384  # the most that every engine returns
REFERENCES: dict[str, tuple[type[Index], ...]] = {
    "reference:faiss": (Hnsw, Ivf),
    "reference:annoy": (Annoy,),
}
T = TypeVar("T")


def _filled(value: str | Sequence[Any]) -> str:
    return "" if (value.strip() if isinstance(value, str) else value) else "is empty; leave nothing to guess"


def _once(values: Sequence[Any]) -> str:
    twice = [one for place, one in enumerate(values) if one in values[:place]]
    return f"holds {twice[0]!r} twice; take one of them out" if twice else ""


def _whole(least: int, most: int) -> Callable[[int], str]:
    words = f"it must be a whole number from {least:,} to {most:,}"
    return lambda value: "" if least <= value <= most else f"is {value}; {words}"


def _above_0(most: float) -> Callable[[float], str]:
    words = f"it must be a number above 0 and at most {most:,g}"
    return lambda value: "" if 0 < value <= most else f"is {plain(value)}; {words}"


def _share(value: float) -> str:
    return "" if 0 < value < 1 else f"is {plain(value)}; it must be between 0 and 1, both left out"


Text = Annotated[str, _filled]
Number = Annotated[float, _above_0(1_000_000)]
Once = Annotated[tuple[T, ...], _once]
Many = Annotated[tuple[T, ...], _filled, _once]


@dataclass(frozen=True)
class Synthetic:
    """Clustered vectors to be drawn: (rows, dim) around `clusters` centres."""

    rows: Annotated[int, _whole(2, 1_000_000_000)]
    dim: Annotated[int, _whole(2, 65_536)]
    clusters: Annotated[int, _whole(1, 1_000_000)]


@dataclass(frozen=True)
class FromFile:
    """Vectors in a file: HDF5 as ann-benchmarks writes it, npy, or Parquet as `cohorts export` does."""

    path: Path


@dataclass(frozen=True)
class Share:
    """A filter that `selectivity` of the rows pass: at random, or those on one side of the space (`correlated`)."""

    selectivity: float
    correlated: bool

    @property
    def column(self) -> str:
        """Return the payload key, true in the rows that pass: `uncorrelated_0_01`."""
        kind = "correlated" if self.correlated else "uncorrelated"
        return f"{kind}_{plain(self.selectivity).replace('.', '_')}"


@dataclass(frozen=True)
class Store:
    """One store to be measured, or a reference library in this process, as in `reference:faiss`."""

    name: Text
    address: Text

    @property
    def reference(self) -> bool:
        """Tell whether this is a library without an engine around it."""
        return self.address in REFERENCES


@dataclass(frozen=True, kw_only=True)
class Plan:
    """An index, the search parameters tried on it, and the names of the stores that build it.

    `default` tells that no build parameter was written; an empty `SearchParams()` is the engine's default search.
    """

    index: Index
    searches: tuple[SearchParams, ...]
    stores: tuple[str, ...]
    default: bool


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is measured on every index; `seconds` is the length of each measurement under load.

    `settle` is for how many seconds on end a server must have been idle after its build before it is measured.
    `rates` are queries and `writes` points per second; each of one is measured with each of the other. With `payload`
    there stands beside every vector what an ingest would store, and of its fields to filter by `index_fields` get an
    index: by default those that would.
    """

    name: Text
    seed: Annotated[int, _whole(0, 2**32 - 1)] = 0
    repeats: Annotated[int, _whole(1, 1_000)] = 3
    queries: Annotated[int, _whole(1, 1_000_000)] = 1_000
    k: Many[Annotated[int, _whole(1, MAX_K)]]
    clients: Many[Annotated[int, _whole(1, 1_024)]] = ()
    rates: Once[Number] = ()
    writes: Once[Number] = ()
    seconds: Annotated[float, _above_0(86_400)] = 5.0
    settle: Annotated[int, _whole(0, 3_600)] = 75  # Milvus looks every minute for segments to merge
    payload: bool = True
    index_fields: Once[Text] | None = None


@dataclass(frozen=True, kw_only=True)
class Experiment(Settings):
    """Everything that is to be measured, and on what."""

    data: Synthetic | FromFile
    filters: tuple[Share, ...]
    stores: tuple[Store, ...]
    plans: tuple[Plan, ...]


@dataclass(frozen=True, kw_only=True)
class _FileTable:
    """The table `data` of vectors that are there."""

    file: Text


@dataclass(frozen=True, kw_only=True)
class _FiltersTable:
    selectivities: Many[Annotated[float, _share]]
    correlated: Many[bool] = (False,)


@dataclass(frozen=True, kw_only=True)
class _IndexTable:
    build: Text
    search: Once[Text] = ()
    stores: Many[Text] = ()


@dataclass(frozen=True, kw_only=True)
class _Written(Settings):
    """An experiment by the keys of its file."""

    data: dict[str, Any]
    filters: dict[str, Any] = field(default_factory=dict)
    store: Annotated[tuple[Store, ...], _filled]
    index: Annotated[tuple[_IndexTable, ...], _filled]


def read_experiment(file: Path) -> Experiment:
    """Read an experiment; the path of its data is taken from the folder of the file.

    Raises InputError for a key that is unknown, missing or of the wrong kind, and for settings that contradict each
    other.
    """
    try:
        text = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"The experiment {file} can't be read: {error}.") from error
    written = _read(text, _Written, str(file))
    experiment = Experiment(
        **{one.name: getattr(written, one.name) for one in fields(Settings)},
        data=_data(written.data, file),
        filters=_filters(written.filters, file),
        stores=_checked(written.store, file),
        plans=_plans(written.index, written.store, file),
    )
    slug(experiment.name)
    if experiment.writes and not experiment.rates:
        raise InputError(
            f"{file}: writes go on beside queries that arrive at a rate. Add rates, or take writes out."
        )
    if experiment.index_fields and not experiment.payload:
        raise InputError(
            f"{file}: without a payload no field can be indexed. Take index_fields out, or payload."
        )
    if isinstance(experiment.data, Synthetic):  # a file's size is known when it is read
        check_rows(experiment.data.rows, experiment)
    return experiment


def slug(name: str) -> str:
    """Return a name as part of a path: small letters, digits, dots and dashes. Raises InputError where none is left."""
    made = re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.")
    if not made or len(made) > 100:
        raise InputError(
            f"{name!r} can't name a folder: give it 1 to 100 letters (a to z), digits, dots and dashes."
        )
    return made


def rows_each(writes: float, seconds: float) -> int:
    """Return how many rows are written at `writes` per second in one measurement; as many others are deleted."""
    return ceil(writes * seconds / 2)


def _read(values: dict[str, Any], kind: type[T], where: str) -> T:
    return conform(values, kind, where, verdict="can't be used")


def _data(values: dict[str, Any], file: Path) -> Synthetic | FromFile:
    where = f"{file} [data]"
    if "file" in values:
        return FromFile(file.parent / _read(values, _FileTable, where).file)
    data = _read(values, Synthetic, where)
    if data.clusters > data.rows:
        raise InputError(f"{where}: {data.clusters:,} clusters are more than {data.rows:,} rows.")
    return data


def _filters(values: dict[str, Any], file: Path) -> tuple[Share, ...]:
    if not values:
        return ()
    table = _read(values, _FiltersTable, f"{file} [filters]")
    return tuple(Share(one, how) for how in table.correlated for one in table.selectivities)


def _checked(stores: tuple[Store, ...], file: Path) -> tuple[Store, ...]:
    """Return the stores. Raises InputError for what can be no address, and two that would have one folder."""
    folders = set()
    for store in stores:
        _check_address(store, f"{file} [[store]] {store.name}")
        if slug(store.name) in folders:
            raise InputError(f"{file}: there are two stores {store.name!r}; their results need two folders.")
        folders.add(slug(store.name))
    return stores


def _check_address(store: Store, where: str) -> None:
    """Refuse what can be no address; whether the engine is installed is seen when it is opened."""
    scheme, colon, _ = store.address.partition(":")
    if scheme == "memory":
        raise InputError(
            f"{where}: memory: holds nothing beyond the process that builds it. Take a store that does, or for exact "
            "search an index flat."
        )
    if is_server(store.address):
        parse_server(store.address)
    elif not colon or (scheme == "reference" and not store.reference):
        raise InputError(
            f"{where}: {store.name!r} has no address of a store. Addresses: {ADDRESSES}; in this process, "
            f"{', '.join(REFERENCES)}."
        )


def _plans(tables: Sequence[_IndexTable], stores: Sequence[Store], where: Path) -> tuple[Plan, ...]:
    found: list[Plan] = []
    for number, table in enumerate(tables, 1):
        plan = _plan(table, stores, f"{where} [[index]] {number}")
        for other in found:
            both = set(plan.stores) & set(other.stores)
            if plan.index == other.index and both:
                raise InputError(
                    f"{where}: {show_index(plan.index)} is there twice for {min(both)}; one build serves all searches."
                )
        found.append(plan)
    idle = [store.name for store in stores if not any(store.name in plan.stores for plan in found)]
    if idle:
        raise InputError(
            f"{where}: store {idle[0]!r} has no index that it can build; nothing would be measured."
        )
    return tuple(found)


def _plan(table: _IndexTable, stores: Sequence[Store], where: str) -> Plan:
    index, known = parse_index(table.build), {store.name: store for store in stores}
    for name in table.stores:
        if name not in known:
            raise InputError(f"{where}: there is no store {name!r}. Stores: {', '.join(known)}.")
        if not _has(known[name], index):
            raise InputError(f"{where}: {known[name].address} has no {show_index(index)}.")
    fitting = table.stores or tuple(name for name, store in known.items() if _has(store, index))
    if not fitting:
        raise InputError(f"{where}: no store can build {show_index(index)}.")
    default = not table.build.partition(":")[2].strip()
    searches = _searches(index, table.search, where)
    return Plan(index=index, searches=searches, stores=fitting, default=default)


def _has(store: Store, index: Index) -> bool:
    """Tell whether a store can be asked for the index; what an engine lacks is matched by recall, or refused there."""
    if not store.reference:
        return True
    compressed = isinstance(index, Hnsw) and index.quantization != "none"
    return isinstance(index, REFERENCES[store.address]) and not compressed


def _searches(index: Index, texts: Sequence[str], where: str) -> tuple[SearchParams, ...]:
    found = tuple(parse_search(text) for text in texts) or (SearchParams(),)
    for place, params in enumerate(found):
        _, notes = effective_search(index, SearchParams(), params, 1)
        if notes:
            raise InputError(f"{where}: {notes[0]}. Take it out, or it would be measured under a wrong name.")
        if params in found[:place]:
            raise InputError(f"{where}: search {texts[place]!r} is there twice.")
    return found


def check_rows(rows: int, experiment: Experiment) -> None:
    """Raise InputError where there are too few rows for the neighbours asked for, for a filter, or for writes."""
    most = max(experiment.k)
    if most > rows:
        raise InputError(
            f"k = {most:,} neighbours were asked for; there are {rows:,} rows. Take a smaller k."
        )
    for writes in experiment.writes:
        each = rows_each(writes, experiment.seconds)
        if 10 * each > rows or most > rows - 2 * each:
            raise InputError(
                f"{plain(writes)} writes per second for {plain(experiment.seconds)} s write {each:,} rows and delete "
                f"{each:,} others; of {rows:,} each may be a tenth, and k = {most:,} must be left. Take fewer writes, "
                "fewer seconds, or more rows."
            )
    for one in experiment.filters:
        if one.selectivity * rows < 1:
            raise InputError(
                f"A filter of selectivity {plain(one.selectivity)} passes none of {rows:,} rows; a query without truth "
                f"tells nothing. The least is {1 / rows:.2g}."
            )
