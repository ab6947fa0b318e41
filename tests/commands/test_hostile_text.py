"""Ids, labels and names of others on every way out: no markup, no control sequence, no formula, and JSON as it is."""

import csv
import io
import json
import sys
from typing import Any

import pandas as pd
import pytest
from cohorts import cli
from cohorts.commands.hints import told
from cohorts.commands.output import log
from cohorts.commands.output.collections import show_description
from cohorts.commands.output.neighbours import show_neighbours
from cohorts.connectors.base import Collection, Description, Hit, Points
from cohorts.connectors.memory import MemoryConnector
from cohorts.errors import PatientNotFound
from cohorts.reports.long_table import Cell, ColumnSpec, Line, ReportTable
from cohorts.reports.markdown import markdown
from cohorts.reports.page import keep, render
from cohorts.search.neighbours import Neighbours, of_patient
from loading import vectors

FORMULAS = ["=HYPERLINK(1)", "+1+1", "-2+3", "@SUM(1)", "\t=1", "\r=1", " =1", "＝1"]
CONTROLS = [
    "\x1b[31mred",
    "\x9b31m",
    "a\x07b",
    "\x7f",
    "a\nb",
    "\u202egnp.exe",
    "\u2028x",
    "\ud800",
    "\u200b",
]
MARKUP = ["[/b]", "[bold red]x[/]", ":smile:", "<script>alert(1)</script>", "[link=http://x]y"]
HOSTILE = [*FORMULAS, *CONTROLS, *MARKUP]


def found(*, attached: bool) -> Neighbours:
    payloads: list[dict[str, Any]] = [
        {"patient_id": one, "sex": one, "principal_title": one, "label_[/b]\x1b": one, "died": False}
        for one in HOSTILE
    ]
    hits = [Hit(one, 0.5, payload) for one, payload in zip(HOSTILE, payloads, strict=True)]
    fields = {"sex": str, "label_[/b]\x1b": str} if attached else {}
    metadata: dict[str, Any] = {"attached": True} if attached else {"unit": "patient", "[/i]\x1b": "[/b]\x1b"}
    about = Collection("c", 4, fields=fields, metadata=metadata, translation="[/b] \x1b")
    description = Description(about, "[/b]", "cosine", 9, 9, "[/b]\x1b")
    return Neighbours(hits, len(hits), description, ("[/b] \x1b",), ())


def is_harmless(text: str) -> bool:
    return all(
        one == "\n" or (one.isprintable() and one not in "\u2028\u2029") or one == "\xa0" for one in text
    )


@pytest.mark.parametrize("attached", [False, True])
def test_neighbours(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, attached: bool
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    neighbours = found(attached=attached)
    show_neighbours(neighbours, "table")
    show_description(neighbours.description, "c")
    table = capsys.readouterr()
    assert is_harmless(table.out)
    assert is_harmless(table.err)
    for one in (*MARKUP, r"\x1b[31mred"):
        assert one in table.out
    show_neighbours(neighbours, "csv")
    text = capsys.readouterr().out
    assert is_harmless(text)
    rows = list(csv.reader(io.StringIO(text)))
    assert len(rows) == len(HOSTILE) + 1
    assert not [cell for row in rows for cell in row if cell[:1] in tuple("=+-@\t\r＝")]
    show_neighbours(neighbours, "json")
    text = capsys.readouterr().out
    assert is_harmless(text)
    assert [row["patient"] for row in json.loads(text)["neighbours"]] == HOSTILE


def test_numbers_of_a_csv_stay_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    hits = [Hit("1", -0.25, {"patient_id": "1", "age": 60.5})]
    show_neighbours(Neighbours(hits, 1, found(attached=False).description), "csv")
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (row["patient"], row["similarity"], row["age"]) == ("1", "-0.25", "60.5")


@pytest.mark.parametrize("form", list(log.LogFormat))
def test_what_is_said(capsys: pytest.CaptureFixture[str], form: log.LogFormat) -> None:
    log.choose(form)
    try:
        for one in HOSTILE:
            log.say("warning", one, patient=one)
    finally:
        log.choose(log.LogFormat.TEXT)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(HOSTILE)  # none of them makes a line of its own
    assert is_harmless("\n".join(lines))
    if form is log.LogFormat.JSON:
        assert [json.loads(line)["message"] for line in lines] == HOSTILE


def test_an_error_about_an_id(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    monkeypatch.setattr(
        sys,
        "argv",
        ["cohorts", "query", "--store", f"qdrant:{tmp_path}/s", "--patient", "x", "--collection", "\x1b[2J"],
    )
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert is_harmless(capsys.readouterr().err)


def test_tables_and_pages_of_a_measurement(tmp_path: Any) -> None:
    hostile = [one for one in HOSTILE if one != "\ud800"]  # pandas holds none
    frame = pd.DataFrame({"=name": hostile, "value": [-1.5] * len(hostile)})
    keep(tmp_path, render("base.html"), {}, [("made", frame)])
    rows = list(csv.reader((tmp_path / "made.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == len(hostile) + 1
    assert not [row for row in rows if row[0][:1] in tuple("=+-@\t\r")]
    assert {row[1] for row in rows[1:]} == {"-1.5"}


def test_a_report_in_markdown() -> None:
    hostile = [*HOSTILE, "![x](http://x/y.png)", "a|b", "`", "[x][y]"]
    lines = tuple(Line((one, one), (Cell(one, one, best=True),), fault="") for one in hostile)
    columns = (ColumnSpec(title="p50", measure="p50_ms"),)
    broken = Line(("a", "b"), (), fault="<img src=x>")
    text = markdown(ReportTable("<b>x</b>\n# y", ("store", "<i>"), columns, (*lines, broken)))
    assert is_harmless(text)
    assert "<" not in text
    assert "](" not in text.replace("\\](", "")
    assert len(text.splitlines()) == 4 + len(hostile) + 1
    assert {line.count("|") for line in text.splitlines()[2:]} == {4}


def test_ids_of_other_patients_are_shown_when_asked_for_alone() -> None:
    store = MemoryConnector()
    store.create(Collection("c", 16, metadata={"unit": "patient"}))
    store.upsert("c", Points(["100", "101"], vectors(2), [{}, {}]))
    with pytest.raises(PatientNotFound) as refused:
        of_patient(store, "c", "102", 5)
    assert "100" not in str(refused.value)
    assert "--suggest" in told(refused.value)
    with pytest.raises(PatientNotFound, match="The nearest ids: 101, 100"):
        of_patient(store, "c", "102", 5, suggest=True)
