"""The worked example of docs/tables.md runs as it stands there, and the page names all that a mapping may have."""

import re
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest
from cohorts.records.sources.declared.declaration import ColumnKind, DeclaredTable
from cohorts.records.sources.declared.selects import FRAME_COLUMNS
from command_line import ok, run
from small_hospitals import OWN_TABLES_PAGE, worked_example

TEXT = OWN_TABLES_PAGE.read_text(encoding="utf-8")


def test_the_commands_of_the_example_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worked_example(tmp_path)
    monkeypatch.chdir(tmp_path)
    dry, load = (
        line[len("$ cohorts ") :] for line in TEXT.splitlines() if line.startswith("$ cohorts ingest")
    )
    code, out, err = run(dry)
    assert (code, out) == (0, "")
    told = [" ".join(line.split()) for line in err.splitlines()]
    (expected,) = re.findall(r"^```text\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    first = told.index(expected.splitlines()[0])
    assert told[first : first + len(expected.splitlines())] == expected.splitlines()
    ok(load)
    assert "P-002" in ok("query --collection ours --patient P-001 -k 1 --format csv")


def test_the_page_names_every_key_kind_frame_and_column() -> None:
    keys = [one.name for one in fields(DeclaredTable) if one.name != "part"]
    kinds = [kind.rstrip("?") for kind in get_args(ColumnKind)]
    for word in (*keys, *kinds, *FRAME_COLUMNS):
        assert f"`{word}`" in TEXT, word
    for frame, columns in FRAME_COLUMNS.items():
        rows = re.search(rf"^\| `{frame}` \|.*?(?=^\| `|^$)", TEXT, re.MULTILINE | re.DOTALL)
        assert rows, frame
        told = re.findall(r"`(\w+)`", " ".join(row.split("|")[2] for row in rows[0].splitlines()))
        assert sorted(told) == sorted(columns), frame
