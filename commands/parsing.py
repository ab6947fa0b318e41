"""What options mean: names, pairs, an encoder, an index."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from cohorts.errors import InputError

if TYPE_CHECKING:
    from cohorts.encoders.base import Encoder
    from cohorts.encoders.specs import EncoderSpec
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


def asked_encoder(encoder: str | None, withhold: str | None, withhold_text: bool) -> "Encoder | EncoderSpec":
    """Return the saved encoder in a folder, or the one asked for, or the default, with what is withheld from it."""
    from cohorts.encoders.registry import DEFAULT, load_encoder, parse_encoder
    from cohorts.encoders.saving import is_folder
    from cohorts.records.withheld import parse_withheld

    if withhold is None and withhold_text:
        raise InputError("--withhold-text needs --withhold: it says whose mentions are masked.")
    withheld = None if withhold is None else parse_withheld(withhold, text=withhold_text)
    if encoder is None or not is_folder(encoder):
        return parse_encoder(encoder or DEFAULT, withheld)
    if withheld is not None:
        raise InputError(
            f"The encoder in {encoder} is trained already: phenotypes are withheld from one that is yet to be trained."
        )
    return load_encoder(Path(encoder))


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
