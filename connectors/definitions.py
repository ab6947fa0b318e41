"""The definitions of collections, in one JSON file beside an embedded engine that can't keep them itself."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from cohorts.connectors.base import Collection
from cohorts.connectors.index import SearchParams, index_from_json, index_to_json, search_to_json, show_search
from cohorts.errors import CollectionExists, CollectionNotFound, EngineError
from cohorts.private_files import private_folder, write_private

_TYPES: dict[str, Any] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "date": date,
    "list[str]": list[str],
}
_ALIAS_OF = "alias_of"
_SINCE = "; set since to "


class Definitions:
    """The collections of one store, kept in `file`; every change is written whole and atomically."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def names(self) -> list[str]:
        """Return the names of all collections, sorted."""
        return sorted(name for name, value in self._read().items() if _ALIAS_OF not in value)

    def aliases(self) -> dict[str, str]:
        """Return the collection that each alias stands for."""
        return {name: value[_ALIAS_OF] for name, value in sorted(self._read().items()) if _ALIAS_OF in value}

    def get(self, name: str) -> Collection:
        """Return one, by its name or an alias. Raises CollectionNotFound, which names those that there are."""
        known = self._read()
        name = known.get(name, {}).get(_ALIAS_OF, name)
        if name not in known:
            raise no_such_collection(name, list(known))
        return from_json(name, known[name])

    def refuse_existing(self, name: str) -> None:
        """Raise CollectionExists where there is a collection or an alias of this name."""
        if name in self._read():
            raise already_there(name)

    def alias(self, alias: str, name: str) -> None:
        """Point an alias at a collection. Raises CollectionNotFound, CollectionExists."""
        name = self.get(name).name
        if alias in self.names():
            raise already_there(alias)
        self._write(self._read() | {alias: {_ALIAS_OF: name}})

    def put(self, collection: Collection) -> None:
        """Add one, or replace it."""
        self._write(self._read() | {collection.name: to_json(collection)})

    def remove(self, name: str) -> None:
        """Forget one and its aliases."""
        known = self._read()
        self._write({key: value for key, value in known.items() if name not in (key, value.get(_ALIAS_OF))})

    def _read(self) -> dict[str, Any]:
        if not self._file.exists():
            return {}
        try:
            known: dict[str, Any] = json.loads(self._file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise EngineError(
                f"{self._file} is damaged: it holds no JSON. Restore it from a backup."
            ) from error
        return known

    def _write(self, known: dict[str, Any]) -> None:
        private_folder(self._file.parent)
        write_private(self._file, json.dumps(known, indent=2, ensure_ascii=False))


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
    }


def from_json(name: str, value: dict[str, Any]) -> Collection:
    """Return the collection that `to_json` wrote."""
    fields = {field: _TYPES[kind] for field, kind in value["fields"].items()}
    return Collection(
        name,
        value["dim"],
        index_from_json(value["index"]),
        fields,
        value["metadata"],
        SearchParams(**value.get("search", {})),
        value.get("translation", ""),
    )
