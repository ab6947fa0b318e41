"""Tables of as many rows each, out of batches as they come."""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa


def even_tables(batches: Iterator[Any], schema: Any, rows: int) -> Iterator[Any]:
    """Yield tables of `rows` rows each, the last shorter: streams that are cut alike can go side by side."""
    waiting = schema.empty_table()
    for batch in batches:
        waiting = pa.concat_tables([waiting, pa.Table.from_batches([batch])])
        while len(waiting) >= rows:
            yield waiting.slice(0, rows)
            waiting = waiting.slice(rows)
    if len(waiting):
        yield waiting
