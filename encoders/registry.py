"""The encoders by name, as `--encoder` knows them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from cohorts.encoders import codes, lsa, word2vec
from cohorts.encoders.base import Encoder
from cohorts.encoders.bert import clinicalnotebert
from cohorts.encoders.bert import encoder as bert
from cohorts.encoders.bert.checkpoints import find_checkpoint
from cohorts.encoders.bert.encoder import Bert
from cohorts.encoders.codes import Codes
from cohorts.encoders.concat import Concat, parse_parts
from cohorts.encoders.fineehr import training as fineehr_training
from cohorts.encoders.fineehr.encoder import FineEhr
from cohorts.encoders.fused import settings as fusion_settings
from cohorts.encoders.fused.encoder import Fused
from cohorts.encoders.lsa import Lsa
from cohorts.encoders.needs import where_notes_are
from cohorts.encoders.saving import ABOUT, is_folder, read_about
from cohorts.encoders.settings import read_settings
from cohorts.encoders.withholding import Withholding, parse_asked, restore_withheld
from cohorts.encoders.word2vec import Word2Vec
from cohorts.errors import EncoderError
from cohorts.records.base import Source

DEFAULT = "concat:lsa+codes"
_MAKERS: Mapping[str, tuple[type[Any], Callable[[Any], Encoder]]] = {
    "lsa": (lsa.Settings, Lsa),
    "codes": (codes.Settings, Codes),
    "word2vec": (word2vec.Settings, Word2Vec),
    "fineehr": (fineehr_training.Settings, FineEhr),
    "bert": (bert.Settings, Bert),
    "clinicalnotebert": (clinicalnotebert.Settings, clinicalnotebert.make_clinicalnotebert),
    "fused": (fusion_settings.Settings, Fused),
}
_LOADERS: Mapping[str, Callable[[Path], Encoder]] = {
    "lsa": Lsa.load,
    "codes": Codes.load,
    "concat": lambda folder: Concat.load(folder, load_encoder),
    "word2vec": Word2Vec.load,
    "fineehr": FineEhr.load,
    "bert": Bert.load,
    "fused": Fused.load,
}


def make_encoder(spec: str) -> Encoder:
    """Make an untrained encoder from its name and settings, as in `word2vec:dim=64`, `fineehr:full` or `bert:biobert`.

    The first setting may stand without its name where it is text. What is withheld from it follows, as in
    `fused:gated without sepsis+stroke`.

    Raises EncoderError, which names what there is.
    """
    spec, withheld = parse_asked(spec)
    if withheld is not None:
        return Withholding(make_encoder(spec), withheld)
    name, _, rest = spec.partition(":")
    if is_folder(spec):
        raise EncoderError(
            f"The encoder in {spec} is trained already: phenotypes are withheld from one that is yet to be trained."
        )
    if name == Concat.name:
        return _make_concat(rest)
    if name not in _MAKERS:
        known = ", ".join((*_MAKERS, Concat.name))
        raise EncoderError(f"There is no encoder {name!r}, nor a folder of that name. Encoders: {known}.")
    settings, make = _MAKERS[name]
    return make(read_settings(settings, rest))


def _make_concat(text: str) -> Concat:
    own = {name: [field.name for field in fields(settings)] for name, (settings, _) in _MAKERS.items()}
    settings = parse_parts(text, own)
    return Concat(settings, [make_encoder(part) for part in settings.parts])


def suited_to(asked: str, source: Source) -> str:
    """Return the default encoder, with what is withheld, less the part of which a source has nothing.

    Raises EncoderError where it holds neither notes nor codes.
    """
    if source.has_notes and source.has_codes:
        return asked
    if not source.has_notes and not source.has_codes:
        raise EncoderError("The source holds neither notes nor codes: there is nothing to encode.")
    return asked.replace(DEFAULT, Lsa.name if source.has_notes else Codes.name, 1)


def told_lacking(asked: str, source: Source) -> str:
    """Return what the default encoder does without, which is now `asked`, and why; "" where it lacks nothing."""
    if source.has_notes and source.has_codes:
        return ""
    lacks, where = ("codes", "") if source.has_notes else ("notes", where_notes_are(source))
    return f"The source has no {lacks}: the encoder is {asked}, not {DEFAULT}.{where}"


def download_checkpoints(specs: Sequence[str]) -> None:
    """Fetch those of the untrained text encoders among these into the Hugging Face cache.

    Raises EncoderError, also where none of them has a checkpoint.
    """
    made = [make_encoder(parse_asked(spec)[0]) for spec in specs]
    models = [text.settings.model for one in made for text in _text_models(one)]
    if not models:
        names = " or ".join(one.name for one in made) or "asked for"
        raise EncoderError(f"Encoder {names} has no checkpoint to download: leave --download out.")
    for model in dict.fromkeys(models):
        find_checkpoint(model, download=True)


def ready_encoder(spec: str) -> Encoder:
    """Return the encoder of a text or of a folder, after a look at all that it will need but the source.

    Asked before a source is read. Raises EncoderError, CheckpointNotFound, MissingExtra.
    """
    encoder = load_encoder(Path(spec)) if is_folder(spec) else make_encoder(spec)
    check_ready(encoder)
    return encoder


def check_ready(encoder: object) -> None:
    """Raise CheckpointNotFound, EncoderError or MissingExtra where an encoder's text model could not encode."""
    for text in _text_models(encoder):
        text.check_ready()


def _text_models(encoder: object) -> list[Bert]:
    """Return the text models that an encoder is, or has within."""
    if isinstance(encoder, Withholding):
        return _text_models(encoder.encoder)
    if isinstance(encoder, Concat):
        return [text for part in encoder.parts for text in _text_models(part)]
    inner = encoder.text if isinstance(encoder, Fused) else encoder
    return [inner] if isinstance(inner, Bert) else []


def load_encoder(folder: Path) -> Encoder:
    """Load a saved encoder, from which is withheld what was. Raises EncoderError where the folder holds none."""
    about = folder / ABOUT
    if not about.is_file():
        raise EncoderError(
            f"No encoder in {folder}: {about.name} is missing. Name its folder with --encoder."
        )
    load = _LOADERS.get(str(read_about(folder, dict[str, Any]).get("name")))
    if load is None:
        raise EncoderError(f"{about} names no encoder that this version knows: {', '.join(_LOADERS)}.")
    encoder, withheld = load(folder), restore_withheld(folder)
    return encoder if withheld is None else Withholding(encoder, withheld)
