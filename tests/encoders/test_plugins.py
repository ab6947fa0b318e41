"""Every encoder holds the contract: those that learn here, and one that another package brings by an entry point."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cohorts.encoders.registry import encoder_names, make_encoder
from cohorts.errors import EncoderError
from command_line import ok
from encoder_contract import EncoderContract
from own_package import own_package

PACKAGE = '''
import hashlib, json
from dataclasses import asdict, dataclass
from typing import Any
import numpy as np
from cohorts.encoders.base import EncoderKind
from cohorts.encoders.saving import identity_of, read_about, write_about
from cohorts.errors import EncoderError, NoText

@dataclass(frozen=True)
class Settings:
    dim: int = 8

class Letters:
    """Counts of a code's first characters: a small encoder of another package."""
    name, uses_transformer, needs_notes, counts = "letters", False, False, {}

    def __init__(self, settings=None):
        self.settings, self.firsts = settings or Settings(), None

    @property
    def dim(self):
        return self.settings.dim

    @property
    def fingerprint(self):
        if self.firsts is None:
            raise EncoderError("letters is not trained.")
        facts = json.dumps([asdict(self.settings), self.firsts])
        return hashlib.sha256(facts.encode()).hexdigest()[:16]

    def fit(self, source):
        found = {code for batch in source.batches() for code in batch.codes["code"]}
        self.firsts = sorted(found)[: self.settings.dim]
        return self

    def encode(self, batch):
        places = {one: place for place, one in enumerate(self.firsts)}
        rows = np.zeros((len(batch), self.dim), np.float32)
        units = {unit: row for row, unit in enumerate(batch.units["unit_id"])}
        for unit, code in zip(batch.codes["unit_id"], batch.codes["code"]):
            if code in places:
                rows[units[unit], places[code]] += 1
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        return rows / np.where(lengths == 0, 1, lengths)

    def encode_text(self, texts):
        raise NoText("letters reads no text.")

    def describe(self):
        return identity_of(self) | {"dim": self.dim}

    def save(self, folder):
        write_about(folder, identity_of(self) | {"firsts": self.firsts})

    @classmethod
    def load(cls, folder):
        about = read_about(folder, dict[str, Any])
        made = cls(Settings(**about["settings"]))
        made.firsts = about["firsts"]
        return made

KIND = EncoderKind(settings=Settings, make=Letters, load=Letters.load)
'''


@pytest.fixture(scope="class")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Install a package that brings an encoder."""
    points = {"letters": "KIND", "broken": "Settings"}
    with own_package(tmp_path_factory.mktemp("package"), "letters", PACKAGE, "cohorts.encoders", points):
        yield


class TestLsa(EncoderContract):
    asked = "lsa:dim=8"


class TestCodes(EncoderContract):
    asked = "codes:dim=8"


class TestConcat(EncoderContract):
    asked = "concat:lsa:dim=8+codes:dim=8"


class TestWord2Vec(EncoderContract):
    asked = "word2vec:dim=8,min_count=1"


@pytest.mark.usefixtures("installed")
class TestLetters(EncoderContract):
    asked = "letters:dim=6"

    def test_it_stands_among_the_others(self) -> None:
        assert encoder_names()[-1] == "letters"

    def test_it_is_part_of_a_concat(self) -> None:
        assert make_encoder("concat:lsa:dim=8+letters:dim=4").dim == 16

    def test_it_is_ingested_by_name_and_asked_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        ok("synth hospital --patients 30 --seed 3")
        ok("ingest --source mimic3 --path hospital --encoder letters:dim=16 --collection c")
        assert '"got": 3' in ok("query --collection c --patient 10003 -k 3 --format json")
        (kept,) = Path("cohorts.qdrant.runs/c/encoders").iterdir()
        ok(f"ingest --source mimic3 --path hospital --encoder {kept} --collection d")

    def test_an_entry_point_that_is_no_kind_is_told(self) -> None:
        with pytest.raises(
            EncoderError, match=r"entry point broken = letters:Settings is no EncoderKind: type"
        ):
            make_encoder("broken")


def test_without_the_package_the_name_is_unknown() -> None:
    with pytest.raises(EncoderError, match="no encoder 'letters'"):
        make_encoder("letters")
