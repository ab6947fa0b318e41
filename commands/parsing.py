"""What options mean: an encoder, an index."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cohorts.errors import InputError

if TYPE_CHECKING:
    from cohorts.connectors.index import SearchParams
    from cohorts.encoders.base import Encoder
    from cohorts.encoders.specs import EncoderSpec
    from cohorts.loaders.versions import IndexRequest


def asked_encoder(
    encoder: str | None,
    withhold: str | None,
    withhold_text: bool,
    as_of: str | None = None,
    maps: Sequence[str] | None = None,
) -> "Encoder | EncoderSpec":
    """Return the saved encoder in a folder, or the one asked for, or the default, and what it sees of the records."""
    from cohorts.encoders.registry import DEFAULT, load_encoder, parse_encoder
    from cohorts.encoders.saving import is_folder
    from cohorts.encoders.views.windowed import as_of as as_of_encoder
    from cohorts.records.codes.concepts.built_in import open_maps
    from cohorts.records.window import parse_window
    from cohorts.records.withheld import parse_withheld

    if withhold is None and withhold_text:
        raise InputError("--withhold-text needs --withhold: it says whose mentions are masked.")
    withheld = None if withhold is None else parse_withheld(withhold, text=withhold_text)
    window = None if as_of is None else parse_window(as_of)
    if encoder is None or not is_folder(encoder):
        return parse_encoder(encoder or DEFAULT, withheld, window, open_maps(maps) if maps else None)
    if withheld is not None:
        raise InputError(
            f"The encoder in {encoder} is trained already: phenotypes are withheld from one that is yet to be trained."
        )
    if maps:
        raise InputError(f"The encoder in {encoder} is trained already: it keeps the concept maps it has.")
    trained = load_encoder(Path(encoder))
    if window is not None and str(window) != as_of_encoder(trained):
        raise InputError(
            f"The encoder in {encoder} was trained on the records of {as_of_encoder(trained)}, not of {window}: "
            f"cohorts fit --as-of {window} trains one."
        )
    return trained


def wanted_search(search: str | None, settings: Path | None) -> "SearchParams | None":
    """Return the search parameters asked for, None where none are: the command line goes before the file."""
    from cohorts.connectors.index import SearchParams, load_settings

    asked = _search_of(search, load_settings(settings)[1] if settings else None)
    return None if asked == SearchParams() else asked


def wanted_index(
    index: str | None, search: str | None, settings: Path | None, strict: bool
) -> "IndexRequest":
    """Return what is asked for: the command line goes before the file, the file before the defaults."""
    from cohorts.connectors.index import SearchParams, load_settings, parse_index
    from cohorts.loaders.versions import IndexRequest

    kept_index, kept_search = load_settings(settings) if settings else (None, None)
    chosen = parse_index(index) if index else kept_index
    return IndexRequest(chosen, _search_of(search, kept_search) or SearchParams(), strict)


def _search_of(search: str | None, kept: "SearchParams | None") -> "SearchParams | None":
    from cohorts.connectors.index import parse_search

    return parse_search(search) if search else kept
