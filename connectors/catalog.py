"""The definitions of collections, in one JSON file beside an embedded engine that can't keep them itself."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal

from cohorts.connectors.base import Collection, Scalar
from cohorts.connectors.checks import check_definition, check_name
from cohorts.connectors.index import SearchParams, index_from_json, index_to_json, search_to_json, show_search
from cohorts.documents import conform, read_json
from cohorts.errors import CohortsError, CollectionExists, CollectionNotFound, EngineError, InputError
from cohorts.private_files import private_folder, write_private

_TYPES: dict[str, Any] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "date": date,
    "list[str]": list[str],
}
_SINCE = "; set since to "
_RESTORE = "Restore it from a backup."


@dataclass(frozen=True)
class Definition:
    """A collection's definition as JSON holds it, without the name. Raises InputError for an index that is none."""

    dim: int
    index: Mapping[str, Any]
    fields: Mapping[str, Literal["str", "int", "float", "bool", "date", "list[str]"]]
    metadata: Mapping[str, Scalar]
    search: SearchParams = SearchParams()
    translation: str = ""
    unindexed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        index_from_json(self.index)

    def named(self, name: str) -> Collection:
        """Return the collection of this name."""
        fields = {field: _TYPES[kind] for field, kind in self.fields.items()}
        return Collection(
            name,
            self.dim,
            index_from_json(self.index),
            fields,
            self.metadata,
            self.search,
            self.translation,
            self.unindexed,
        )


@dataclass(frozen=True)
class _Alias:
    alias_of: str


class Definitions:
    """The collections of one store, kept in `file`; every change is written whole and atomically.

    Raises EngineError for a file that was changed otherwise: names become folders below the store.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._kept: tuple[tuple[int, ...], dict[str, Collection | str]] | None = None

    def names(self) -> list[str]:
        """Return the names of all collections, sorted."""
        return sorted(name for name, value in self._read().items() if not isinstance(value, str))

    def aliases(self) -> dict[str, str]:
        """Return the collection that each alias stands for."""
        return {name: value for name, value in sorted(self._read().items()) if isinstance(value, str)}

    def get(self, name: str) -> Collection:
        """Return one, by its name or an alias. Raises CollectionNotFound, which names those that there are."""
        known = self._read()
        found = known.get(name)
        if isinstance(found, str):
            found = known.get(found)
        if not isinstance(found, Collection):
            raise no_such_collection(name, list(known))
        return found

    def refuse_existing(self, name: str) -> None:
        """Raise CollectionExists where there is a collection or an alias of this name."""
        if name in self._read():
            raise already_there(name)

    def alias(self, alias: str, name: str) -> None:
        """Point an alias at a collection. Raises CollectionNotFound, CollectionExists."""
        name = self.get(name).name
        if alias in self.names():
            raise already_there(alias)
        self._write(self._read() | {alias: name})

    def put(self, collection: Collection) -> None:
        """Add one, or replace it."""
        self._write(self._read() | {collection.name: collection})

    def remove(self, name: str) -> None:
        """Forget one and its aliases."""
        known = self._read()
        self._write({key: value for key, value in known.items() if name not in (key, value)})

    def _read(self) -> dict[str, Collection | str]:
        """Return the collections by name, and by alias the name that it stands for: read anew where the file changed.

        Embedded Milvus looks an alias up at every search; to read and check the file would take .4 ms each time.
        """
        try:
            about = self._file.stat()
        except (FileNotFoundError, NotADirectoryError):
            return {}
        version = about.st_ino, about.st_mtime_ns, about.st_size
        kept = self._kept
        if kept is None or kept[0] != version:
            kind = dict[str, _Alias | Definition]
            known = read_json(self._file, kind, error=EngineError, remedy=_RESTORE)
            kept = self._kept = version, {name: self._checked(name, value) for name, value in known.items()}
        return kept[1]

    def _checked(self, name: str, value: _Alias | Definition) -> Collection | str:
        try:
            if isinstance(value, _Alias):
                check_name(name)
                return value.alias_of
            collection = value.named(name)
            check_definition(collection)
        except InputError as error:
            raise EngineError(f"{self._file} is damaged: {error} {_RESTORE}") from error
        return collection

    def _write(self, known: Mapping[str, Collection | str]) -> None:
        made = {
            name: {"alias_of": value} if isinstance(value, str) else to_json(value)
            for name, value in known.items()
        }
        private_folder(self._file.parent)
        write_private(self._file, json.dumps(made, indent=2, ensure_ascii=False))


def no_such_collection(name: str, known: list[str]) -> CollectionNotFound:
    """Return the error that names the collections there are."""
    return CollectionNotFound(
        f"There is no collection {name}. Collections here: {', '.join(sorted(known)) or 'none'}."
    )


def already_there(name: str) -> CollectionExists:
    """Return the error of a name that is taken."""
    return CollectionExists(f"There is a collection {name} already; drop it first or take another name.")


def with_search(collection: Collection, params: SearchParams) -> Collection:
    """Return it with other default search parameters; the line of an index matched by recall tells so."""
    line = collection.translation.partition(_SINCE)[0]
    if line:
        line += _SINCE + show_search(params)
    return replace(collection, search=params, translation=line)


def to_json(collection: Collection) -> dict[str, Any]:
    """Return a collection's definition as a JSON object."""
    names = {str(kind): name for name, kind in _TYPES.items()}
    return {
        "dim": collection.dim,
        "index": index_to_json(collection.index),
        "fields": {field: names[str(kind)] for field, kind in collection.fields.items()},
        "metadata": dict(collection.metadata),
        "search": search_to_json(collection.search),
        "translation": collection.translation,
        "unindexed": list(collection.unindexed),
    }


def from_json(name: str, value: Any, of: str, error: type[CohortsError] = InputError) -> Collection:
    """Return the collection that `to_json` wrote; `of` says where it was kept.

    Raises `error` where it is damaged, also where a collection of ours can't be so.
    """
    collection = conform(value, Definition, of, error=error).named(name)
    try:
        check_definition(collection)
    except InputError as wrong:
        raise error(f"{of} is damaged: {wrong}") from wrong
    return collection
