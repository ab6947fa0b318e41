"""The encoders by name: those that are built in, and those that other packages bring.

A further encoder is a package with an entry point in the group `cohorts.encoders`, named as users ask for it, whose
object is an `EncoderKind`. `tests/encoder_contract.py` is the suite that it inherits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from cohorts.encoders.base import Encoder, EncoderKind, checkpoints_of
from cohorts.encoders.concat import Concat, Settings, parse_parts
from cohorts.encoders.needs import where_notes_are
from cohorts.encoders.saving import ABOUT, OBJECT, is_folder, read_about
from cohorts.encoders.settings import check_values, read_values
from cohorts.encoders.specs import EncoderSpec
from cohorts.encoders.views.mapped import Mapped, restore_maps
from cohorts.encoders.views.windowed import Windowed, as_of, restore_window
from cohorts.encoders.views.withholding import Withholding, restore_withheld
from cohorts.errors import EncoderError
from cohorts.extras import Extra, require
from cohorts.plugins import plugin, plugin_names
from cohorts.records.base import Source
from cohorts.records.codes.concepts.applied import Maps
from cohorts.records.window import WHOLE_STAY, Window
from cohorts.records.withheld import Withheld

DEFAULT = "concat:lsa+codes"
ENTRY_POINTS = "cohorts.encoders"
_BUILT_IN: Mapping[str, str] = {  # the modules of their kinds, imported when one is asked for
    "lsa": "cohorts.encoders.lsa",
    "codes": "cohorts.encoders.codes",
    "word2vec": "cohorts.encoders.word2vec",
    "fineehr": "cohorts.encoders.fineehr.encoder",
    "bert": "cohorts.encoders.bert.encoder",
    "clinicalnotebert": "cohorts.encoders.bert.clinicalnotebert",
    "fused": "cohorts.encoders.fused.encoder",
    "sepsis": "cohorts.encoders.sepsis.encoder",
}

_NEEDS: Mapping[str, Sequence[Extra]] = {
    "word2vec": ["word2vec"],
    "fineehr": ["word2vec", "text"],
    "bert": ["text"],
    "clinicalnotebert": ["text"],
    "fused": ["text"],
    "sepsis": ["text"],
}


class _Named(Protocol):
    @property
    def name(self) -> str: ...


def encoder_names() -> list[str]:
    """Return the names of all encoders that can be made here, those of other packages last."""
    others = plugin_names(ENTRY_POINTS) - {*_BUILT_IN, Concat.name}
    return [*_BUILT_IN, Concat.name, *sorted(others)]


def parse_encoder(
    text: str, withheld: Withheld | None = None, window: Window | None = None, maps: Maps | None = None
) -> EncoderSpec:
    """Read a name and settings, as in `word2vec:dim=64`, `fineehr:full`, `bert:biobert` or `concat:lsa+codes`.

    The first setting may stand without its name where it is text. Raises EncoderError, which names what there is.
    """
    name, _, rest = text.partition(":")
    if name == Concat.name:
        asked = parse_parts(rest, [one for one in encoder_names() if one != Concat.name], _settings_of)
        values = {"parts": asked.parts, "weights": asked.weights, "target": asked.target}
    elif (kind := _kind_of(name)) is not None:
        values = read_values(kind.settings, rest)
    elif is_folder(text):
        raise EncoderError(f"The encoder in {text} is trained already: load it, and nothing can be set.")
    else:
        raise _unknown(name)
    return EncoderSpec(name, values, withheld, window, maps, asked=text)


def _unknown(name: str) -> EncoderError:
    known = ", ".join(encoder_names())
    return EncoderError(f"There is no encoder {name!r}, nor a folder of that name. Encoders: {known}.")


def make_encoder(asked: EncoderSpec | str, **settings: Any) -> Encoder:
    """Make an untrained encoder from a spec, from a text as `parse_encoder` reads it, or from a name and settings.

    Raises EncoderError, which names what there is, and MissingExtra.
    """
    if isinstance(asked, str):
        asked = EncoderSpec(asked) if settings and ":" not in asked else parse_encoder(asked)
    spec = replace(asked, settings={**asked.settings, **settings}, asked="") if settings else asked
    made = _make_concat(spec.settings) if spec.name == Concat.name else _make(spec)
    return _seeing(made, spec.maps, spec.withheld, spec.window)


def _seeing(encoder: Encoder, maps: Maps | None, withheld: Withheld | None, window: Window | None) -> Encoder:
    """Return the encoder as it sees the records: cut to the window, less what is withheld, by the concepts of maps."""
    mapped = encoder if maps is None else Mapped(encoder, maps)
    left = mapped if withheld is None else Withholding(mapped, withheld)
    if window is not None and (own := as_of(encoder)) != WHOLE_STAY:
        raise EncoderError(
            f"{encoder.name} has a window of its own, which is {own}: it is set as in {encoder.name}:window={window}."
        )
    return left if window is None else Windowed(left, window)


def _make(spec: EncoderSpec) -> Encoder:
    kind = _kind_of(spec.name)
    if kind is None:
        raise _unknown(spec.name)
    require(f"What encoder {spec.name} needs", *_NEEDS.get(spec.name, ()))
    return kind.make(kind.settings(**check_values(kind.settings, spec.settings)))


def _make_concat(settings: Mapping[str, Any]) -> Concat:
    """Make a `concat` of `parts` (texts or specs), weighing 1 each where no `weights` are given."""
    values = {"weights": [], "target": "", **settings}
    if values.keys() != {"parts", "weights", "target"}:
        raise EncoderError(f"concat has the settings parts, weights and target; got {', '.join(settings)}.")
    parts: list[EncoderSpec | str] = list(values["parts"])
    weights = [float(weight) for weight in values["weights"]] or [1.0] * len(parts)
    asked = Settings([str(part) for part in parts], weights, values["target"])
    if any(isinstance(part, EncoderSpec) and part.window for part in parts):
        raise EncoderError("All parts of concat see the same records: give the window to concat itself.")
    return Concat(asked, [make_encoder(part) for part in parts])


def _kind_of(name: str) -> EncoderKind | None:
    """Return what is built in by this name, or what another package brings; None for neither."""
    if name in _BUILT_IN:
        kind: EncoderKind = import_module(_BUILT_IN[name]).KIND
        return kind
    return plugin(ENTRY_POINTS, name, EncoderKind, EncoderError)


@cache
def _settings_of(name: str) -> list[str]:
    kind = _kind_of(name)
    return [] if kind is None else [field.name for field in fields(kind.settings)]


def suited_to(asked: EncoderSpec, source: Source) -> EncoderSpec:
    """Return the default encoder, which sees what was asked for, less the part of which a source has nothing.

    Raises EncoderError where it holds neither notes nor codes.
    """
    if source.has_notes and source.has_codes:
        return asked
    if not source.has_notes and not source.has_codes:
        raise EncoderError("The source holds neither notes nor codes: there is nothing to encode.")
    return replace(asked, name="lsa" if source.has_notes else "codes", settings={}, asked="")


def told_lacking(asked: EncoderSpec, source: Source) -> str:
    """Return what the default encoder does without, which is now `asked`, and why; "" where it lacks nothing."""
    if source.has_notes and source.has_codes:
        return ""
    lacks, where = ("codes", "") if source.has_notes else ("notes", where_notes_are(source))
    return f"The source has no {lacks}: the encoder is {asked}, not {DEFAULT}.{where}"


def as_encoder(asked: Encoder | EncoderSpec) -> Encoder:
    """Return an encoder as it is, or the untrained one that a spec asks for. Raises EncoderError."""
    return make_encoder(asked) if isinstance(asked, EncoderSpec) else asked


def download_checkpoints(encoders: Sequence[_Named]) -> None:
    """Fetch the checkpoints of the text models among these encoders into the Hugging Face cache.

    Raises EncoderError, also where none of them has a checkpoint.
    """
    from cohorts.encoders.bert.checkpoints import find_checkpoint

    models = [model for one in encoders for model in checkpoints_of(one)]
    if not models:
        names = " or ".join(one.name for one in encoders) or "asked for"
        raise EncoderError(
            f"Encoder {names} has no checkpoint to download.",
            remedy="Ask for no download.",
            hint="no_download",
        )
    for model in dict.fromkeys(models):
        find_checkpoint(model, download=True)


def load_encoder(folder: Path) -> Encoder:
    """Load a saved encoder, which sees of records what it saw. Raises EncoderError for no such folder, MissingExtra."""
    about = folder / ABOUT
    if not about.is_file():
        raise EncoderError(
            f"No encoder in {folder}: {about.name} is missing.",
            remedy="Name the folder that an encoder was saved to.",
            hint="encoder_folder",
        )
    told = read_about(folder, dict[str, Any])
    if OBJECT in told:
        raise EncoderError(
            f"{folder} holds what {told[OBJECT]}, an object of your own, has saved, which your own code alone can "
            "load: give the object, as in store.collection(NAME, encoder=OBJECT)."
        )
    encoder = _load(str(told.get("name")), folder)
    return _seeing(encoder, restore_maps(folder), restore_withheld(folder), restore_window(folder))


def _load(name: str, folder: Path) -> Encoder:
    if name == Concat.name:
        return Concat.load(folder, load_encoder)
    kind = _kind_of(name)
    if kind is None or kind.load is None:
        known = ", ".join(encoder_names())
        raise EncoderError(f"{folder / ABOUT} names no encoder that this version knows: {known}.")
    # Its words are vectors by then: gensim trains them alone.
    require(f"What encoder {name} needs", *(one for one in _NEEDS.get(name, ()) if one != "word2vec"))
    return kind.load(folder)
