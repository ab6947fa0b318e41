"""How an exported file says which collection it was: names of columns, marks in its schema, and the definition."""

from pathlib import Path
from typing import Any

from cohorts.connectors.base import Collection
from cohorts.connectors.catalog import from_json
from cohorts.documents import conform, parse_json
from cohorts.errors import InputError

ID, VECTOR = "id", "vector"
DEFINITION = b"cohorts"  # in the schema of an exported file: its collection's definition, as JSON
# In a column of an exported file: the payload key, where the column couldn't be called so; "json" where the values
# stand as JSON (types were mixed); "absent" where an empty cell means that the point had no such key at all.
KEY, AS, EMPTY = b"cohorts:key", b"cohorts:as", b"cohorts:empty"


def definition_of(path: Path, schema: Any, dim: int) -> Collection | None:
    """Return the collection that an exported file was. Raises InputError where the file says it and it is damaged."""
    text = (schema.metadata or {}).get(DEFINITION)
    if text is None:
        return None
    of = f"The definition of the collection in {path}"
    value = parse_json(text, dict[str, Any], of)
    name = conform(value.pop("name", None), str, f"{of}, its name,")
    definition = from_json(name, value, of)
    if definition.dim != dim:
        raise InputError(
            f"{path} holds vectors of {dim} dimensions and its definition says {definition.dim}; export it once more."
        )
    return definition
