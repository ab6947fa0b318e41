"""Folders of sentence-transformers: the modules behind the transformer, which make one vector of a window's tokens.

The library's own classes read and run them, each by its name in a table: a class that a folder brings, or names in
another package, is never imported.
"""

from collections.abc import Iterator
from pathlib import Path
from pickle import UnpicklingError  # what torch's weights-only reader raises at what is no tensor
from typing import Any, NamedTuple

from cohorts.documents import conform, read_json
from cohorts.errors import EncoderError

_LIST = "modules.json"
_ABOUT_MODEL = "config_sentence_transformers.json"
_ABOUT_TRANSFORMER = "sentence_*_config.json"  # sentence_bert_config.json, and names of older versions
_OURS = "sentence_transformers."
_TRANSFORMER = "Transformer"
_BEHIND = ("Pooling", "Dense", "LayerNorm", "Normalize", "Dropout")
# What the library's Transformer does by default: the last hidden states of a text's tokens.
_PLAIN = {
    "transformer_task": "feature-extraction",
    "module_output_name": "token_embeddings",
    "processing_kwargs": {},
}
_FILES = ("config.json", "*.safetensors", "*.bin")


class Module(NamedTuple):
    """One line of modules.json: the class as it is written there, and the folder that its files are in."""

    type: str
    folder: Path

    @property
    def name(self) -> str:
        """Return the name of the class where it is the library's, else the whole of what is written."""
        return self.type.rpartition(".")[2] if self.type.startswith(_OURS) else self.type


def modules_of(folder: Path) -> list[Module]:
    """Return the modules of a folder in the order they run, none for a plain checkpoint. Raises EncoderError."""
    if not (folder / _LIST).is_file():
        return []
    listed = read_json(folder / _LIST, list[dict[str, Any]], error=EncoderError)
    modules = []
    for one in listed:
        kind, path = (
            conform(one.get(key), str, f"{folder / _LIST}, {key},", error=EncoderError)
            for key in ("type", "path")
        )
        module = Module(kind, folder / path)
        if "\0" in path or not module.folder.resolve().is_relative_to(folder.resolve()):
            raise EncoderError(f"{folder / _LIST} names a path outside of its folder.")
        modules.append(module)
    if not modules or modules[0].name != _TRANSFORMER:
        first = modules[0].type if modules else "none"
        raise EncoderError(
            f"The first of the modules in {folder / _LIST} is {first}. bert reads folders that begin with a "
            f"{_TRANSFORMER} of sentence-transformers: name another folder."
        )
    return modules


def transformer_folder(folder: Path) -> Path:
    """Return where the transformer's files are: the folder itself, or one within it. Raises EncoderError."""
    modules = modules_of(folder)
    return modules[0].folder if modules else folder


def transformer_settings(folder: Path) -> dict[str, Any]:
    """Return what a folder says of its transformer beside transformers' own files, as `max_seq_length`.

    Empty for a plain checkpoint. Raises EncoderError.
    """
    for file in sorted(transformer_folder(folder).glob(_ABOUT_TRANSFORMER)) if modules_of(folder) else ():
        about = _read(file)
        longest = about.get("max_seq_length")
        if longest is not None and (not isinstance(longest, int) or longest < 1):
            raise EncoderError(f"max_seq_length in {file} is no count of tokens.")
        return about
    return {}


def files_of(folder: Path) -> Iterator[Path]:
    """Yield the files that the modules' vectors depend on, but for those of the transformer's own checkpoint."""
    modules = modules_of(folder)
    if modules:
        yield folder / _LIST
        yield from modules[0].folder.glob(_ABOUT_TRANSFORMER)
    for module in modules[1:]:
        for pattern in _FILES:
            yield from module.folder.glob(pattern)


def check_modules(folder: Path) -> None:
    """Raise EncoderError where the vectors that a folder describes can't be had from it here."""
    if why := _obstacle(folder):
        raise EncoderError(
            f"The modules of the sentence-transformers folder {folder} can't be used: {why}. Name another folder, or "
            "ask for pooling=chunk-mean or pooling=chunk-cls, which read its transformer alone."
        )


def _obstacle(folder: Path) -> str | None:
    names = [module.name for module in modules_of(folder)]
    unknown = [name for name in names[1:] if name not in _BEHIND]
    if unknown:
        return f"there is {', '.join(unknown)}; behind the {_TRANSFORMER} can stand {', '.join(_BEHIND)}"
    if "Pooling" not in names:
        return "no Pooling makes one vector of a text's tokens"
    transformer = transformer_settings(folder)
    told = {key: transformer[key] for key in _PLAIN if transformer.get(key, _PLAIN[key]) != _PLAIN[key]}
    if told:
        return f"its {_TRANSFORMER} has {', '.join(told)} of its own"
    model = _read(folder / _ABOUT_MODEL) if (folder / _ABOUT_MODEL).is_file() else {}
    default = model.get("default_prompt_name")
    if default and (model.get("prompts") or {}).get(default):
        return f"every text is to begin with its prompt {default!r}, which windows of a note don't"
    measure = model.get("similarity_fn_name") or "cosine"
    if measure != "cosine" and names[-1] != "Normalize":  # by which unit vectors have the same neighbours
        return f"its vectors are to be compared by {measure}, and cohorts compares by cosine"
    return None


class WindowModules:
    """The modules behind a folder's transformer. `dim` is how many numbers a window's vector has."""

    def __init__(self, folder: Path, width: int) -> None:
        """`width` is that of the transformer's states. Raises EncoderError where a module can't be read."""
        import torch
        from safetensors import SafetensorError
        from sentence_transformers.sentence_transformer import modules

        unreadable = (OSError, ValueError, KeyError, TypeError, RuntimeError, ImportError, AttributeError)
        check_modules(folder)
        try:
            self._run = torch.nn.Sequential(
                *(_loaded(modules, one, folder) for one in modules_of(folder)[1:])
            )
            self._run.eval().requires_grad_(False)
            self.dim = int(self(torch.zeros(1, 1, width), torch.ones(1, 1)).shape[1])
        except (*unreadable, SafetensorError, UnpicklingError) as error:
            raise EncoderError(
                f"The modules of the sentence-transformers folder {folder} can't be read, or don't fit each other: "
                f"{type(error).__name__}."
            ) from error

    def __call__(self, hidden: Any, mask: Any) -> Any:
        """Return (n, dim) of the last hidden states, (n, tokens, width), and their mask, (n, tokens): tensors all."""
        self._run.to(hidden.device)
        return self._run({"token_embeddings": hidden, "attention_mask": mask})["sentence_embedding"]


def _loaded(library: Any, module: Module, folder: Path) -> Any:
    about = module.folder / "config.json"
    activation = _read(about).get("activation_function", "torch.") if about.is_file() else "torch."
    if not str(activation).startswith("torch."):  # the library would take another one in its place
        raise EncoderError(
            f"{about} names {activation}, which is no function of torch: code of a folder is not run."
        )
    subfolder = module.folder.relative_to(folder).as_posix()
    return getattr(library, module.name).load(str(folder), subfolder=subfolder, local_files_only=True)


def _read(file: Path) -> dict[str, Any]:
    return read_json(file, dict[str, Any], error=EncoderError)
