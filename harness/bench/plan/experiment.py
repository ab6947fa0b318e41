"""An experiment: data, filters, stores, indexes and search parameters, read from a TOML file and checked key by key."""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

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
from cohorts.errors import InputError
from cohorts.harness.bench.plan.toml_table import BOOLEAN, SHARE, TABLE, TEXT, Key, above, read_table, whole
from cohorts.harness.reports.formats import plain

MAX_K = 16_384  # the most that every engine returns
REFERENCES: dict[str, tuple[type[Index], ...]] = {
    "reference:faiss": (Hnsw, Ivf),
    "reference:annoy": (Annoy,),
}


@dataclass(frozen=True)
class Synthetic:
    """Clustered vectors to be drawn: (rows, dim) around `clusters` centres."""

    rows: int
    dim: int
    clusters: int


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

    name: str
    address: str

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
class Experiment:
    """Everything that is to be measured; `seconds` is the length of each measurement under load.

    `rates` are queries and `writes` points per second; each of one is measured with each of the other.
    """

    name: str
    seed: int
    repeats: int
    queries: int
    k: tuple[int, ...]
    clients: tuple[int, ...]
    rates: tuple[float, ...]
    writes: tuple[float, ...]
    seconds: float
    data: Synthetic | FromFile
    filters: tuple[Share, ...]
    stores: tuple[Store, ...]
    plans: tuple[Plan, ...]


_NUMBER = above(0, 1_000_000)
_EXPERIMENT = {
    "store": Key(TABLE, many=True),
    "name": Key(TEXT),
    "seed": Key(whole(0, 2**32 - 1), 0),
    "repeats": Key(whole(1, 1_000), 3),
    "queries": Key(whole(1, 1_000_000), 1_000),
    "k": Key(whole(1, MAX_K), many=True),
    "clients": Key(whole(1, 1_024), (), many=True),
    "rates": Key(_NUMBER, (), many=True, empty=True),
    "writes": Key(_NUMBER, (), many=True, empty=True),
    "seconds": Key(above(0, 86_400), 5),
    "data": Key(TABLE),
    "filters": Key(TABLE, None),
    "index": Key(TABLE, many=True),
}
_FILE = {"file": Key(TEXT)}
_SYNTHETIC = {
    "rows": Key(whole(2, 1_000_000_000)),
    "dim": Key(whole(2, 65_536)),
    "clusters": Key(whole(1, 1_000_000)),
}
_FILTERS = {"selectivities": Key(SHARE, many=True), "correlated": Key(BOOLEAN, (False,), many=True)}
_STORE = {"name": Key(TEXT), "address": Key(TEXT)}
_INDEX = {
    "build": Key(TEXT),
    "search": Key(TEXT, (), many=True, empty=True),
    "stores": Key(TEXT, (), many=True),
}


def read_experiment(file: Path) -> Experiment:
    """Read an experiment; the path of its data is taken from the folder of the file.

    Raises InputError for a key that is unknown, missing or of the wrong kind, and for settings that contradict each
    other.
    """
    try:
        text = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"The experiment {file} can't be read: {error}.") from error
    values, where = read_table(text, _EXPERIMENT, str(file)), str(file)
    stores = _stores(values.pop("store"), where)
    experiment = Experiment(
        data=_data(values.pop("data"), file),
        filters=_filters(values.pop("filters"), where),
        stores=stores,
        plans=_plans(values.pop("index"), stores, where),
        rates=tuple(map(float, values.pop("rates"))),
        writes=tuple(map(float, values.pop("writes"))),
        seconds=float(values.pop("seconds")),
        **values,
    )
    slug(experiment.name)
    if experiment.writes and not experiment.rates:
        raise InputError(
            f"{file}: writes go on beside queries that arrive at a rate. Add rates, or take writes out."
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


def _data(values: dict[str, Any], file: Path) -> Synthetic | FromFile:
    where = f"{file} [data]"
    if "file" in values:
        return FromFile(file.parent / read_table(values, _FILE, where)["file"])
    data = Synthetic(**read_table(values, _SYNTHETIC, where))
    if data.clusters > data.rows:
        raise InputError(f"{where}: {data.clusters:,} clusters are more than {data.rows:,} rows.")
    return data


def _filters(values: dict[str, Any] | None, where: str) -> tuple[Share, ...]:
    if not values:
        return ()
    found = read_table(values, _FILTERS, f"{where} [filters]")
    return tuple(Share(one, how) for how in found["correlated"] for one in found["selectivities"])


def _stores(tables: Sequence[dict[str, Any]], where: str) -> tuple[Store, ...]:
    found: list[Store] = []
    for number, values in enumerate(tables, 1):
        here = f"{where} [[store]] {number}"
        store = Store(**read_table(values, _STORE, here))
        _check_address(store, here)
        if slug(store.name) in [slug(other.name) for other in found]:
            raise InputError(f"{where}: there are two stores {store.name!r}; their results need two folders.")
        found.append(store)
    return tuple(found)


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


def _plans(tables: Sequence[dict[str, Any]], stores: Sequence[Store], where: str) -> tuple[Plan, ...]:
    found: list[Plan] = []
    for number, values in enumerate(tables, 1):
        plan = _plan(values, stores, f"{where} [[index]] {number}")
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


def _plan(values: dict[str, Any], stores: Sequence[Store], where: str) -> Plan:
    found = read_table(values, _INDEX, where)
    index, known = parse_index(found["build"]), {store.name: store for store in stores}
    for name in found["stores"]:
        if name not in known:
            raise InputError(f"{where}: there is no store {name!r}. Stores: {', '.join(known)}.")
        if not _has(known[name], index):
            raise InputError(f"{where}: {known[name].address} has no {show_index(index)}.")
    fitting = found["stores"] or tuple(name for name, store in known.items() if _has(store, index))
    if not fitting:
        raise InputError(f"{where}: no store can build {show_index(index)}.")
    default = not found["build"].partition(":")[2].strip()
    searches = _searches(index, found["search"], where)
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
