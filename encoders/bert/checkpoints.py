"""BERT-like checkpoints: where they are looked for, and how they are read.

A folder comes first, then the Hugging Face cache. Nothing is downloaded unless asked for: a checkpoint that is not
there is told at once, without a try at the network.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cohorts.documents import conform, read_json
from cohorts.encoders.bert.sentence_folder import (
    files_of,
    modules_of,
    transformer_folder,
    transformer_settings,
)
from cohorts.encoders.saving import is_folder
from cohorts.errors import CheckpointNotFound, EncoderError
from cohorts.extras import require

PRESETS = {
    "clinicalbert": "emilyalsentzer/Bio_ClinicalBERT",
    "biobert": "dmis-lab/biobert-base-cased-v1.1",
}
_WEIGHTS = ("model*.safetensors", "pytorch_model*.bin")  # in the order of preference
_READ = (
    "config.json",
    "*.index.json",
    *_WEIGHTS,
    "vocab*",
    "tokenizer*",
    "special_tokens_map.json",
    "merges.txt",
    "modules.json",
    "config_sentence_transformers.json",
    "sentence_*_config.json",
    "[0-9]*_*/*",  # where sentence-transformers keeps a module's files, as 1_Pooling
)
_MAX_TOKENS = 512  # of a plain checkpoint
_LARGEST = {  # of what a configuration says, well beyond every model that there is
    "hidden_size": 65_536,
    "intermediate_size": 1_000_000,
    "num_hidden_layers": 1_000,
    "num_attention_heads": 1_000,
    "vocab_size": 10_000_000,
    "max_position_embeddings": 10_000_000,
    "type_vocab_size": 1_000,
}


@dataclass(frozen=True)
class Checkpoint:
    """A tokenizer and a model (float32, in evaluation mode). `max_tokens` counts the special tokens in."""

    tokenizer: Any
    model: Any
    max_tokens: int
    width: int


def find_checkpoint(model: str, *, download: bool = False) -> Path:
    """Return the folder of a checkpoint, which is named by a folder, a preset or a Hugging Face id.

    Raises CheckpointNotFound, EncoderError, MissingExtra.
    """
    if is_folder(model):
        return _complete(Path(model))
    require("What a text model needs", "text")
    from huggingface_hub import snapshot_download
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    name = PRESETS.get(model, model)

    def not_here(tried: str) -> CheckpointNotFound:
        return CheckpointNotFound(
            f"{tried}. It was looked for as a folder and in the cache {HF_HUB_CACHE}.",
            remedy="Fetch it once where there is a network, or copy its folder here and name that.",
            hint="download",
        )

    try:
        return _complete(
            Path(snapshot_download(name, allow_patterns=list(_READ), local_files_only=not download))
        )
    except HFValidationError as error:
        raise EncoderError(
            f"{model!r} is no folder, no preset ({', '.join(PRESETS)}), and no id like OWNER/NAME."
        ) from error
    except LocalEntryNotFoundError as error:
        tried = (
            f"Checkpoint {name} can't be fetched from the network"
            if download
            else f"There is no checkpoint {name}"
        )
        raise not_here(tried) from error
    except (HfHubHTTPError, OSError) as error:
        raise not_here(f"Checkpoint {name} can't be fetched: {type(error).__name__}") from error


def content_hash(folder: Path) -> str:
    """Return a hash of all that the vectors depend on: weights, configuration, vocabulary, modules (hex)."""
    digest, words = hashlib.sha256(), transformer_folder(folder)
    own = (_weights_of(words), "config.json", "vocab*", "tokenizer*", "merges.txt")
    for file in sorted({*files_of(folder), *(file for pattern in own for file in words.glob(pattern))}):
        with file.open("rb") as stream:
            name = file.relative_to(folder).as_posix()
            digest.update(name.encode() + hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]


def width_of(folder: Path) -> int:
    """Return how many numbers a token's last hidden state has, without reading the weights. Raises EncoderError."""
    from transformers import AutoConfig  # which knows by what other names a model may say it

    words = transformer_folder(folder)
    _check_sizes(words / "config.json")
    try:
        config = AutoConfig.from_pretrained(words, local_files_only=True, trust_remote_code=False)
        return int(config.hidden_size)
    except Exception as error:  # as in `load_checkpoint`
        raise EncoderError(
            f"{words / 'config.json'} is of no BERT-like model: {type(error).__name__}."
        ) from error


def _check_sizes(file: Path) -> None:
    """Raise EncoderError for a configuration that is none, or says sizes that no model has.

    A model is made before its weights are read: it would take hours, or all memory.
    """
    config = read_json(file, dict[str, Any], error=EncoderError)
    for name, most in _LARGEST.items():
        if not 1 <= conform(config.get(name, 1), int, f"{file}, {name},", error=EncoderError) <= most:
            raise EncoderError(f"{file} is damaged: {name} must lie between 1 and {most:,}.")


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read tokenizer and weights: safetensors where there are any, else a .bin by torch's weights-only reader.

    Raises EncoderError where they can't be read, or where weights of the model are missing: transformers would make
    them up.
    """
    from transformers import AutoModel, AutoTokenizer

    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    words, told = transformer_folder(folder), transformer_settings(folder)
    _check_sizes(words / "config.json")
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(words, **options, **_case(words))
            model, loaded = AutoModel.from_pretrained(
                words,
                **options,
                use_safetensors=_weights_of(words) == _WEIGHTS[0],
                weights_only=True,
                output_loading_info=True,
            )
    except Exception as error:  # transformers has no error of its own: a damaged file ends in any of Python's
        raise EncoderError(f"The checkpoint in {folder} can't be read: {type(error).__name__}.") from error
    lacking = [key for key in loaded["missing_keys"] if not key.startswith("pooler.")]  # which is not used
    if lacking:
        raise EncoderError(
            f"The checkpoint in {folder} lacks {len(lacking)} weights of its model, as {lacking[0]}."
        )
    if told.get("do_lower_case"):
        _lower(tokenizer)
    longest = told.get("max_seq_length") or tokenizer.model_max_length
    positions = getattr(model.config, "max_position_embeddings", _MAX_TOKENS)
    limit = min(longest, positions) if modules_of(folder) else min(longest, positions, _MAX_TOKENS)
    return Checkpoint(tokenizer, model.eval(), limit, model.config.hidden_size)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from writing bars and reports to stderr, which belongs to the user's program."""
    from transformers.utils import logging

    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _complete(folder: Path) -> Path:
    words = transformer_folder(folder)
    if not (words / "config.json").is_file() or not any(
        True for pattern in _WEIGHTS for _ in words.glob(pattern)
    ):
        raise CheckpointNotFound(
            f"{folder} holds no whole checkpoint: it has config.json and model.safetensors, or pytorch_model.bin."
        )
    return folder


def _weights_of(folder: Path) -> str:
    return next(pattern for pattern in _WEIGHTS if any(folder.glob(pattern)))


def _case(folder: Path) -> dict[str, bool]:
    """Say whether to lower the case, where only the vocabulary knows: without this, cased ones would be lowered too."""
    about = folder / "tokenizer_config.json"
    told = about.is_file() and "do_lower_case" in read_json(about, dict[str, Any], error=EncoderError)
    vocabulary = folder / "vocab.txt"
    if told or (folder / "tokenizer.json").is_file() or not vocabulary.is_file():
        return {}
    tokens = vocabulary.read_text(encoding="utf-8").split("\n")
    return {"do_lower_case": not any(token != token.lower() for token in tokens if not token.startswith("["))}


def _lower(tokenizer: Any) -> None:
    """Make a tokenizer lower the case before all else, as sentence-transformers does where a folder says so."""
    from tokenizers import normalizers

    backend = tokenizer.backend_tokenizer
    then = [backend.normalizer] if backend.normalizer else []
    backend.normalizer = normalizers.Sequence([normalizers.Lowercase(), *then])
