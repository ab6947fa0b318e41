"""One long table, and what is made of it: by hand, on a page, in Markdown, in the terminal and as CSV."""

import re
from dataclasses import replace
from math import isnan, nan

import pandas as pd
import pytest
from cohorts.commands.output.report_table import report_table
from cohorts.reports.csv_table import wide
from cohorts.reports.formats import count, decimals, interval, number, percent, plain, share
from cohorts.reports.long_table import (
    FAULT,
    ColumnSpec,
    TableSpec,
    by_half_width,
    chosen,
    long_table,
)
from cohorts.reports.markdown import markdown
from cohorts.reports.page import environment
from rich.console import Console

RECORDS = [
    {"encoder": "codes", "k": 10, "measure": "precision", "value": 0.5, "low": 0.4, "high": 0.6},
    {"encoder": "codes", "k": 10, "measure": "ms", "value": 1234.0, "note": "at 2 clients"},
    {"encoder": "codes", "k": 10, "measure": "published", "text": "0.80 ± 0.03"},
    {"encoder": "lsa|<b>", "k": 10, "measure": "precision", "value": 0.25},
    {"encoder": "lsa|<b>", "k": 10, "measure": "ms", "value": 2.0},
    {"encoder": "broken", "k": 10, "measure": FAULT, "text": "the engine died"},
    {"encoder": "chance", "k": 10, "quiet": True, "measure": "precision", "value": 0.9},
    {"encoder": "codes", "k": 20, "measure": "precision", "value": 0.7},
]
SPEC = TableSpec(
    title="All questions",
    where={"k": 10},
    rows={"ranked by": "encoder", "k": lambda record: f"k={record['k']}"},
    columns=(
        ColumnSpec(title="P@10", measure="precision", show=decimals(3), best=max, short="P", group="ours"),
        ColumnSpec(title="p50, ms", measure="ms", best=min, short="ms", group="ours"),
        ColumnSpec(title="P", measure="published", missing="", published=True, group="theirs"),
    ),
    quiet="quiet",
)


def frame_of() -> pd.DataFrame:
    return long_table({"quiet": False} | one for one in RECORDS)


def test_a_table_by_hand() -> None:
    made = SPEC.of(frame_of())
    assert [line.names for line in made.lines] == [
        (name, "k=10") for name in ("codes", "lsa|<b>", "broken", "chance")
    ]
    codes, lsa, broken, chance = made.lines
    assert codes.cells == (
        ("0.500", "[0.400,\u00a00.600]", True),
        ("1,234", "at 2 clients", False),
        ("0.80 ± 0.03", "", False),
    )
    assert [(cell.text, cell.best) for cell in lsa.cells] == [("0.250", False), ("2.00", True), ("", False)]
    assert (broken.cells, broken.fault) == ((), "the engine died")
    assert chance.quiet
    assert not chance.cells[0].best  # .9 is the most, but chance competes with nobody
    assert [(title, len(below)) for title, below in made.groups] == [("ours", 2), ("theirs", 1)]


def test_the_best_is_marked_among_comparable_rows_and_never_alone() -> None:
    everything = replace(SPEC, where={}, among=("k",))
    marks = {line.names: line.cells[0].best for line in everything.of(frame_of()).lines if line.cells}
    assert [names for names, best in marks.items() if best] == [("codes", "k=10")]  # k=20 has but one


def test_two_figures_in_one_cell_are_refused() -> None:
    unclear = replace(SPEC, where={}, rows={"ranked by": "encoder"})
    with pytest.raises(ValueError, match="Two figures of precision in one cell of All questions"):
        unclear.of(frame_of())


def test_columns_are_narrowed_by_settings() -> None:
    columns = tuple(ColumnSpec(title=f"at {k}", measure="precision", where={"k": k}) for k in (10, 20))
    made = TableSpec(title="", rows={"by": "encoder"}, columns=columns).of(frame_of())
    assert [cell.text for cell in made.lines[0].cells] == ["0.500", "0.700"]
    assert [cell.text for cell in made.lines[1].cells] == ["0.250", "–"]
    assert len(chosen(frame_of(), {"k": (10, 20), "encoder": "codes"})) == 4


def test_half_widths_and_further_columns_stand_beside_a_figure() -> None:
    one = {"by": "a", "measure": "auc", "value": 0.5, "low": 0.4, "high": 0.6, "sd": 0.125}
    per_cent = ColumnSpec(title="", measure="auc", show=decimals(1, 100), beside=by_half_width)
    deviation = replace(per_cent, beside=lambda cell, show: f"sd {show(cell['sd'])}")
    made = TableSpec(title="", rows={"": "by"}, columns=(per_cent, deviation)).of(long_table([one]))
    assert [(cell.text, cell.small) for cell in made.lines[0].cells] == [
        ("50.0", "± 10.0"),
        ("50.0", "sd 12.5"),
    ]


def test_the_same_table_on_a_page_in_markdown_and_in_the_terminal() -> None:
    made = SPEC.of(frame_of())
    page = str(environment().get_template("table.html").module.table(made))
    assert page.count("<tr") == 2 + 4
    assert '<td class="best">0.500<br><span class="sd">[0.400,\u00a00.600]</span></td>' in page
    assert '<td class="published">0.80 ± 0.03</td>' in page
    assert "lsa|&lt;b&gt;" in page
    assert '<td class="fault" colspan="3"><strong>FAULT</strong> the engine died</td>' in page
    assert re.search(r'<tr class="quiet"><td class="name">chance', page)
    assert '<th colspan="2">ours</th><th class="published" colspan="1">theirs</th>' in page
    text = markdown(made).splitlines()
    assert text[:4] == [
        "## All questions",
        "",
        "| ranked by | k | P@10 | p50, ms | P |",
        "| --- | --- | ---: | ---: | ---: |",
    ]
    assert "| codes | k=10 | **0.500** [0.400,\u00a00.600] | 1,234 at 2 clients | 0.80 ± 0.03 |" in text
    assert "| broken | k=10 | **FAULT: the engine died** |  |  |" in text
    assert any(line.startswith("| lsa/&lt;b&gt; |") for line in text)
    console = Console(width=100)
    with console.capture() as held:
        console.print(report_table(made, synthetic=True))
    told = held.get()
    assert "synthetic data" in told
    assert "0.500" in told
    assert "FAULT the engine died" in told
    assert "published" not in told  # it has no short title
    assert "0.80 ± 0.03" not in told


def test_csv_has_a_row_per_setting_and_intervals_beside_their_measure() -> None:
    told = wide(
        long_table(
            [
                {"store": "a", "filter": None, "measure": "p50_ms", "value": 2.0, "low": 1.0, "high": 3.0},
                {"store": "a", "filter": None, "measure": "got", "value": 40.0},
                {"store": "b", "filter": None, "measure": "how", "text": "read"},
            ]
        ),
        ["store", "filter"],
        ["p50_ms", "got", "how"],
        intervals=["p50_ms"],
        counts=["got"],
    )
    assert list(told) == ["store", "filter", "p50_ms", "p50_low_ms", "p50_high_ms", "got", "how"]
    assert told.iloc[0, 2:6].to_list() == [2, 1, 3, 40]
    assert isnan(told["p50_ms"][1])
    assert told.to_csv(index=False).splitlines()[1:] == ["a,,2.0,1.0,3.0,40,", "b,,,,,,read"]


def test_an_empty_run_makes_empty_tables() -> None:
    assert SPEC.of(long_table([])).lines == ()
    assert list(wide(long_table([]), ["store"], ["p50_ms"])) == ["store", "p50_ms"]


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (number(0.0123456), "0.0123"),
        (number(1234.5), "1,234"),
        (number(nan), "–"),
        (number(0), "0"),
        (share(0.99962), "0.9996"),
        (count(1234), "1,234"),
        (plain(0.00001), "0.00001"),
        (percent(0.125), "12.5 %"),
        (decimals(1, 100)(0.125), "12.5"),
        (interval(nan, nan, number), ""),
        (interval(1, 2, number), "[1.00,\u00a02.00]"),
    ],
)
def test_formats(shown: str, expected: str) -> None:
    assert shown == expected
