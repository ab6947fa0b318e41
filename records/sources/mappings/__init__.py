"""Mappings of `tables` that come with the package, by name: of hospitals whose tables many have."""

from pathlib import Path

_FOLDER = Path(__file__).parent


def shipped_mappings() -> list[str]:
    """Return their names."""
    return sorted(file.stem for file in _FOLDER.glob("*.toml"))


def find_mapping(asked: Path | None) -> Path | None:
    """Return the file of a mapping: the one that comes with the package by this name, else what was asked for."""
    return _FOLDER / f"{asked}.toml" if asked is not None and str(asked) in shipped_mappings() else asked
