"""A CSV file as payload, typed by what its cells hold."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from cohorts.errors import InputError
from cohorts.loaders.files.checks import check_names
from cohorts.loaders.files.even_tables import even_tables

# What a CSV column may be, the narrowest first. More than 15 digits are no number but a key.
_TRUE, _FALSE = ["true", "True", "TRUE"], ["false", "False", "FALSE"]
_SHAPES: Mapping[Any, str] = {
    pa.int64(): r"^-?(0|[1-9]\d{0,14})$",
    pa.float64(): r"^-?(0|[1-9]\d{0,14})(\.\d+)?([eE][+-]?\d+)?$",
    pa.bool_(): f"^({'|'.join(_TRUE + _FALSE)})$",
    pa.date32(): r"^\d{4}-\d\d-\d\d$",
}


class CsvPart:
    """A CSV file (UTF-8, a header, commas); what type a column has is learned from all of its cells.

    Ids stay text, and so do numbers with leading zeros, for these are codes. An empty cell is a missing value.
    """

    def __init__(self, path: Path, id_column: str) -> None:
        self.path = path
        self.files: Sequence[Path] = (path,)
        self._parse = pa.csv.ParseOptions(newlines_in_values=True)
        with self._readable():
            names = pa.csv.open_csv(path, parse_options=self._parse).schema.names
        check_names(path, names)
        # In a file of one column an empty line is an empty cell, and leaving it out would shift all behind it.
        self._parse.ignore_empty_lines = len(names) > 1
        self.schema = pa.schema([(name, pa.string()) for name in names])
        self.rows, kinds = self._learn({name: list(_SHAPES) for name in names if name != id_column})
        self.schema = pa.schema([(name, kinds.get(name, pa.string())) for name in names])

    def pages(self, rows: int) -> Iterator[Any]:
        """Yield the rows as tables of `rows` rows, the last shorter."""
        yield from even_tables(self._batches(), self.schema, rows)

    def place(self, row: int) -> tuple[Path, int]:
        """Return the file that a row is in, and its number there."""
        return self.path, row

    def _batches(self) -> Iterator[Any]:
        convert = pa.csv.ConvertOptions(
            column_types=self.schema,
            null_values=[""],
            strings_can_be_null=True,
            true_values=_TRUE,
            false_values=_FALSE,
        )
        with self._readable():
            yield from pa.csv.open_csv(self.path, parse_options=self._parse, convert_options=convert)

    def _learn(self, shapes: dict[str, list[Any]]) -> tuple[int, dict[str, Any]]:
        """Return the number of rows, and the types of the columns that are more than text."""
        rows = 0
        for table in self.pages(10_000):
            rows += len(table)
            for name, left in shapes.items():
                left[:] = [kind for kind in left if _fits(table.column(name), kind)]
        # All shapes are left where every cell is empty: nothing told a type.
        return rows, {name: left[0] for name, left in shapes.items() if 0 < len(left) < len(_SHAPES)}

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError, pa.ArrowException) as error:
            # The parser's message repeats the row, which holds patients' facts.
            why = re.match(r"CSV parse error: (?:Row #\d+: )?Expected \d+ columns, got \d+", str(error))
            raise InputError(
                f"{self.path} can't be read as CSV{': ' + why[0].partition(': ')[2] if why else ''}. It must be UTF-8 "
                "with a header, commas, and as many cells in every row."
            ) from None


def _fits(cells: Any, kind: Any) -> bool:
    """Tell whether all cells that are not empty can be read as a type without loss."""
    if pc.all(pc.match_substring_regex(cells, _SHAPES[kind])).as_py() is False:
        return False
    if pa.types.is_date(kind):
        try:
            cells.cast(kind)
        except pa.ArrowInvalid:
            return False
    return True
