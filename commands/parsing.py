"""What options mean: names, pairs, an encoder, an index."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from cohorts.errors import InputError

if TYPE_CHECKING:
    from cohorts.loaders.versions import IndexRequest


def parse_pairs(option: str, text: str) -> dict[str, str]:
    """Read `key=value,…`. Raises InputError for a key that is given twice."""
    pairs = [pair.partition("=") for pair in parse_names(option, text)]
    found = {key.strip(): value.strip() for key, _, value in pairs}
    if len(found) < len(pairs):
        raise InputError(f"{option} gives a key twice: {text!r}. Leave one out.")
    return found


def parse_names(option: str, text: str) -> list[str]:
    """Read `a,"b, c",…`: names between commas; one that holds a comma stands in double quotes. Raises InputError."""
    words = shlex.shlex(text, posix=True)
    words.whitespace, words.whitespace_split = ",", True
    words.quotes, words.escape, words.commenters = '"', "", ""
    try:
        return [name.strip() for name in words if name.strip()]
    except ValueError as error:
        raise InputError(f"{option} has a double quote that is not closed: {text!r}.") from error


def asked_encoder(encoder: str | None, withhold: str | None, withhold_text: bool) -> str:
    """Return the encoder that is asked for, or the default, with what is to be withheld from it."""
    from cohorts.encoders.registry import DEFAULT
    from cohorts.encoders.withholding import parse_withheld

    encoder = encoder or DEFAULT
    if withhold is None:
        if withhold_text:
            raise InputError("--withhold-text needs --withhold: it says whose mentions are masked.")
        return encoder
    return parse_withheld(withhold, text=withhold_text).asked_of(encoder)


def wanted_index(
    index: str | None, search: str | None, settings: Path | None, strict: bool
) -> "IndexRequest":
    """Return what is asked for: the command line goes before the file, the file before the defaults."""
    from cohorts.connectors.index import SearchParams, load_settings, parse_index, parse_search
    from cohorts.loaders.versions import IndexRequest

    kept = load_settings(settings) if settings else (None, None)
    chosen = parse_index(index) if index else kept[0]
    params = parse_search(search) if search else kept[1]
    return IndexRequest(chosen, params or SearchParams(), strict)
