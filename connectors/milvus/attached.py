"""How a collection that someone else made is read on Milvus: nothing is written to it, for rows are replaced whole."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from cohorts.connectors.attached.attachment import COSINE, Attachment
from cohorts.connectors.attached.vectors import choose_vector, with_cosines
from cohorts.connectors.base import Hit, Points, Vectors
from cohorts.connectors.checks import check_column, unit_rows
from cohorts.connectors.filters.conditions import Filter
from cohorts.connectors.milvus.inspection import index_of, vector_field
from cohorts.connectors.milvus.layout import Layout
from cohorts.connectors.milvus.translate import ID, Column, Columns
from cohorts.connectors.milvus.transport import Transport
from cohorts.errors import InputError
from pymilvus import DataType


class AttachedLayout(Layout):
    """A collection of others, by its mapping: one of its vectors, and the mapped columns alone.

    The mapping is compared with `about`, what the engine says of the vector's index now. Raises InputError where they
    disagree.
    """

    def __init__(self, attachment: Attachment, about: Mapping[str, Any]) -> None:
        dim, kind = {"dim": attachment.collection.dim}, DataType.FLOAT_VECTOR
        field = vector_field({"name": attachment.vector, "type": kind, "params": dim}, about)
        attachment.check_there(choose_vector(attachment.collection.name, [field], None))
        super().__init__(replace(attachment.collection, index=index_of(about)))
        self._attachment = attachment
        self.key, self.vector = attachment.key, attachment.vector
        self.shown = sorted(attachment.paths.values())
        self.columns = _columns(attachment)

    def expression(self, where: Filter | None) -> str:
        """Return a filter in the engine's language, where it names fields as their owner does, too."""
        return super().expression(None if where is None else self._attachment.named(where))

    def keys(self, ids: Sequence[str]) -> list[Any]:
        """Return the keys of ids: whole numbers where the owner's are."""
        if not self._attachment.integer_keys:
            return super().keys(ids)
        return [int(one) for one in dict.fromkeys(ids) if re.fullmatch(r"-?\d{1,19}", one)]

    def unit(self, rows: Vectors) -> Vectors:
        """Return rows of length 1, where the engine compares by another metric than the cosine."""
        return rows if self._attachment.metric == COSINE else unit_rows(rows, rows.shape[1])

    def points(self, rows: Sequence[Mapping[str, Any]]) -> Points:
        """Return rows as points, with unit rows: theirs may have any length."""
        vectors = np.array([row[self.vector] for row in rows], dtype=np.float32)
        vectors = vectors.reshape(len(rows), self.collection.dim)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit = np.divide(vectors, lengths, out=vectors, where=lengths > 0)
        payloads = [_plain(self._attachment.read(row)) for row in rows]
        return Points([str(row[self.key]) for row in rows], unit, payloads)

    def value_columns(self, field: str) -> list[str]:
        """Return the column of a field."""
        return [self._attachment.path(field)]

    def value(self, row: Mapping[str, Any], field: str) -> Any:
        """Return what a row holds in a field: None for nothing."""
        return _plain(self._attachment.read(row)).get(field)

    def hits(self, found: Sequence[Any], with_payload: bool) -> list[list[Hit]]:
        """Return what was found for each query, with the cosine for a score."""
        hits = [[self._hit(hit, with_payload) for hit in row] for row in found]
        return with_cosines(self._attachment.metric, hits)

    def _hit(self, hit: Mapping[str, Any], with_payload: bool) -> Hit:
        key = hit[self.key] if self.key in hit else hit[ID]  # servers before 2.4 don't name the key
        payload = _plain(self._attachment.read(hit["entity"])) if with_payload else {}
        return Hit(str(key), hit["distance"], payload)

    def about_index(self, transport: Transport, name: str) -> dict[str, Any]:
        """Return what the engine says of the vector's index, whatever its owner called it."""
        return transport.about_vector(name, self.vector)

    def build(self, by: Callable[[], None]) -> None:
        """Do nothing: the index is the owner's to build."""

    def check_changed(self) -> None:
        """Raise InputError."""
        raise only_read(self.collection.name)

    def write(self, transport: Transport, name: str, points: Points) -> None:  # noqa: ARG002 - nothing is written
        """Raise InputError."""
        self.check_changed()

    def delete(self, transport: Transport, name: str, ids: Sequence[str]) -> None:  # noqa: ARG002 - as `write`
        """Raise InputError."""
        self.check_changed()


def only_read(name: str) -> InputError:
    """Return the error of a collection of others that was to be changed."""
    return InputError(f"Collection {name} belongs to others: cohorts only reads it.")


def check_mapping(attachment: Attachment) -> None:
    """Raise InputError for a mapping that would write, or names what can't be a column."""
    if attachment.writable:
        raise InputError(
            "Milvus replaces a row whole, with all that its owner keeps there: cohorts only reads collections of "
            "others on Milvus. Ingest into a collection of its own beside it."
        )
    for column in (attachment.key, attachment.vector, *attachment.paths.values(), *attachment.present):
        check_column(column)


def _columns(attachment: Attachment) -> Columns:
    otherwise = "exists {}" if attachment.dynamic else ""
    return {
        field: Column(path, attachment.present.get(path, otherwise.format(path)))
        for field, path in attachment.paths.items()
    }


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
        for key, value in row.items()
    }
