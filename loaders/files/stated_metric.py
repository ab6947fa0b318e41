"""The measure by which a file says that its vectors are compared: another than cosine is refused.

ann-benchmarks writes it as the attribute `distance`, others call it metric, similarity or space.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cohorts.errors import InputError

_NAMES = re.compile(r"distance|metric|similarity|^space", re.IGNORECASE)
_SHOWN = re.compile(r"[A-Za-z0-9_ -]{1,30}")  # what can be the name of a measure
# Angles rank as cosine does.
_COSINE = re.compile(r"(cos|cosine|angular)(similarity|distance)?")


def check_metric(path: Path, *stated: Mapping[Any, Any]) -> None:
    """Raise InputError where one of these attributes, of a file or of its vectors, states another measure than cosine.

    Names and values are text or bytes. A number under such a name is no measure.
    """
    for attributes in stated:
        for key, value in attributes.items():
            name, measure = _text(key), _text(value)
            if name is None or measure is None or not _NAMES.search(name):
                continue
            if not _COSINE.fullmatch(re.sub(r"[^a-z0-9]", "", measure.lower())):
                shown = repr(measure) if _SHOWN.fullmatch(measure) else "another measure"
                raise InputError(
                    f"{path} says {name} = {shown}: its vectors are made to be compared so. cohorts compares "
                    "by cosine, which finds other neighbours. Take vectors made for cosine; or, where all have length "
                    f"1 and that makes no difference, remove {name} from the file."
                )


def _text(value: Any) -> str | None:
    """Return what is text, also in bytes or as the only item of an array, else None."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    while isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return value.strip("\0 ") if isinstance(value, str) else None
