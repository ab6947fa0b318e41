"""What the distribution is called, and what each of its parts needs."""

import re
import tomllib
from pathlib import Path
from typing import get_args

from cohorts.extras import DISTRIBUTION, Extra

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TEXTS = {".py", ".md", ".sh", ".toml", ".html"}
HINT = re.compile(r"pip install '?((?:[\w.]+-)*cohorts\b)(?:\\?\[([a-z0-9,-]+))?")


def texts() -> list[str]:
    """Return every text of the repository that a user may read."""
    places = [place for place in ROOT.iterdir() if place.name[0] != "."]
    files = [file for place in places for file in (place.rglob("*") if place.is_dir() else [place])]
    return [file.read_text(encoding="utf-8") for file in files if file.suffix in TEXTS]


def test_every_hint_names_our_distribution_and_an_extra_that_there_is() -> None:
    assert PROJECT["name"] == DISTRIBUTION
    hints = {hint for text in texts() for hint in HINT.findall(text)}
    assert {name for name, _ in hints} == {DISTRIBUTION}
    named = {extra for _, extras in hints for extra in extras.split(",") if extra}
    assert named <= set(PROJECT["optional-dependencies"])


def test_the_extras_that_are_asked_for_are_those_of_the_project() -> None:
    groups = {"all", "dev", "docs", "embedded"}  # nothing in the code needs one of these
    assert set(get_args(Extra)) == set(PROJECT["optional-dependencies"]) - groups


def test_the_floors_are_what_the_oldest_pass_installs() -> None:
    lock = (ROOT / "requirements-oldest.lock").read_text(encoding="utf-8").splitlines()
    pins = {
        name.lower().replace("_", "-"): version
        for name, _, version in (line.partition("==") for line in lock)
    }
    extras = ("text", "word2vec", "report", "qdrant-embedded", "milvus-embedded")
    asked = [
        *PROJECT["dependencies"],
        *(one for name in extras for one in PROJECT["optional-dependencies"][name]),
    ]
    floors = dict(re.split(">=|,", one)[:2] for one in asked)
    assert {name: pins.get(name) for name in floors} == floors
