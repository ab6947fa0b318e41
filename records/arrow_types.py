"""The contract's types of columns, as Arrow has them."""

import pyarrow as pa

ARROW_TYPES = {
    "str": pa.string(),
    "datetime64[us]": pa.timestamp("us"),
    "boolean": pa.bool_(),
    "float64": pa.float64(),
    "Int64": pa.int64(),
}
"""By their names in records/base.py."""
