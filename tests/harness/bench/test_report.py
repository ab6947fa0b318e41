"""From raw results to the page: figures by hand from planted files, and faults shown."""

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from math import isnan, nan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from bench_answers import Answer, by_columns
from cohorts.connectors.index import Hnsw, SearchParams
from cohorts.errors import InputError, MeasurementError
from cohorts.harness.bench import results as raw
from cohorts.harness.bench.load.modes import Closed, Open
from cohorts.harness.bench.plan.matrix import builds, cells
from cohorts.harness.bench.report import as_published
from cohorts.harness.bench.report.equal_recall import at_equal_recall
from cohorts.harness.bench.report.growth import grown
from cohorts.harness.bench.report.page import tables_of, warnings
from cohorts.harness.bench.report.run_table import csv_tables, effect
from cohorts.harness.bench.report.setting import name_of
from cohorts.harness.bench.report.summary import Summary, summarize
from cohorts.harness.bench.report.tables import equal
from cohorts.harness.bench.run.runner import DATA, failed_file
from cohorts.provenance import write_manifest
from cohorts.reports import published
from cohorts.reports.long_table import ReportTable, chosen, long_table, records
from cohorts.reports.markdown import markdown
from planted.bench import (
    QUERIES,
    ROWS,
    TEXT,
    K,
    Planter,
    estimates_of,
    experiment_of,
    figures_of,
    page_of,
    summary_of,
)


def builds_of(summary: Summary) -> pd.DataFrame:
    return csv_tables(summary.run)["builds"]


def at_recalls(summary: Summary, recalls: Sequence[float]) -> pd.DataFrame:
    """Return a long table of nothing but these recalls."""
    return long_table(at_equal_recall(summary.run, summary.samples, [K], recalls))


def alone_of(summary: Summary) -> ReportTable:
    (made,) = [one for one in tables_of(summary, K) if one.title.startswith("One client, no filter")]
    return made


def test_figures_are_those_of_the_files(planted: Planter) -> None:
    summary = summary_of(planted)
    assert (summary.settings, summary.missing, summary.faults) == (2 * 2 * 4 + 2 * 3, 0, {})
    assert len(csv_tables(summary.run)["settings"]) == summary.settings
    told = estimates_of(summary, planted.cell("Ours", 10))
    assert told["recall"] == pytest.approx((0.8, 0.8, 0.8))
    p50_ms, measured = told["p50_ms"], figures_of(summary, planted.cell("Ours", 10))
    assert measured["recall_p5"] == pytest.approx(0.8)
    every = 2 + np.arange(QUERIES) / 1000
    assert p50_ms.value == pytest.approx(np.median(every))
    assert 2 <= p50_ms.low < p50_ms.value < p50_ms.high <= 2.019
    twice = np.percentile(np.repeat(every, 2), [95, 99])
    assert (measured["p95_ms"], measured["p99_ms"]) == pytest.approx(tuple(twice))
    assert isnan(measured["p999_ms"])  # of 40 answers there is none
    assert (measured["answers"], measured["asked"], measured["got"]) == (40, 400, 400)
    assert (measured["cold_ms"], measured["floor_ms"], measured["client_cores"]) == (32.0, 0.001, 0.5)
    assert isnan(measured["server_cores"])
    assert isnan(measured["qps"])


def test_closed_loop_counts_what_was_answered_in_time(planted: Planter) -> None:
    told = estimates_of(summary_of(planted), planted.cell("Ours", 10, Closed(2)))
    # Of 21 answers the last began at 2.0 s; of the 40 of the second repeat 20 began from 2.0 s on.
    assert told["qps"] == pytest.approx((10, 10, 10))
    assert isnan(told["recall"].value)
    assert told["got"].value == 0  # ids are not kept


def test_open_loop_tells_how_far_behind_it_was(planted: Planter) -> None:
    measured = figures_of(summary_of(planted), planted.cell("Ours", 20, Open(50.0)))
    assert measured["behind_ms"] == 6.0  # of the worse repeat
    assert measured["recall"] == 1
    assert measured["qps"] == pytest.approx(20 / (1.9 + 4.019 / 1000))


def test_builds_are_those_of_the_files(planted: Planter) -> None:
    first = builds_of(summary_of(planted)).iloc[0]
    assert (first["load_s"], first["searchable_s"], first["indexed_s"], first["build_s"]) == (
        1.0,
        1.5,
        4.0,
        3.0,
    )
    assert (first["rss_anon_mib"], first["how"]) == (50.0, "as planted")
    assert isnan(first["disk_mib"])
    planted.write_build(builds(planted.experiment)[0], checksum="0123456789abcdef")
    with pytest.raises(InputError, match="is of the data 0123456789abcdef"):
        summary_of(planted)


def test_equal_recall_lies_between_settings_and_never_beyond(planted: Planter) -> None:
    summary = summary_of(planted)
    run = at_recalls(summary, (0.7, 0.9, 1.0))
    found = csv_tables(run)["equal_recall"]
    ours, theirs, faiss = (records(found[found["store"] == name]) for name in ("Ours", "Theirs", "faiss"))
    own = 0.0095  # the median of what queries add
    assert [one["p50_ms"] for one in ours] == pytest.approx([nan, 3 + own, 4 + own], nan_ok=True)
    assert [one["all_above"] for one in ours] == ["True", "False", "False"]
    assert [one["qps"] for one in ours] == pytest.approx([nan, 7.5, 5], nan_ok=True)
    assert ours[1]["speed_up"] == pytest.approx((6 + own) / (3 + own))
    assert ours[1]["beside"] == "Theirs, hnsw"  # the reference is faster, and no rival
    assert theirs[1]["speed_up"] == pytest.approx((3 + own) / (6 + own))
    assert faiss[1]["beside"] == "Ours, hnsw"
    shown = [cell.text for cell in equal(K, (0.7, 0.9, 1.0)).of(run).lines[0].cells]
    assert shown == ["all above", "3.01", "4.01", "all above", "7.50", "5.00"]


def test_a_recall_that_nothing_reaches_has_no_figure(planted: Planter) -> None:
    for repeat in (1, 2):
        cell = planted.cell("Ours", 20, repeat=repeat)
        planted.write(cell, planted.answers(cell, found=9))
    summary = summary_of(planted)
    run = at_recalls(summary, (0.95,))
    ours = csv_tables(run)["equal_recall"].iloc[0]
    assert (ours["store"], isnan(ours["p50_ms"]), ours["all_above"]) == ("Ours", True, "False")
    assert equal(K, (0.95,)).of(run).lines[0].cells[0].text == "–"


def test_the_best_of_a_column_is_marked_and_no_reference(planted: Planter) -> None:
    view = alone_of(summary_of(planted))
    marked = {
        column.title: [line.names for line in view.lines if line.cells[place].best]
        for place, column in enumerate(view.columns)
    }
    index = "hnsw(m=8, ef_construction=40)"
    assert marked["p50, ms"] == [("Ours", index, "ef_search=10")]
    assert marked["recall@10"] == [(name, index, "ef_search=20") for name in ("Ours", "Theirs")]
    assert marked["asked"] == []
    assert {line.names[0] for line in view.lines if line.quiet} == {"faiss (reference)"}


def test_default_and_translated_settings_say_so() -> None:
    assert effect("hnsw(m=32)", "hnsw(m=32)", default=True) == "hnsw(m=32) (default)"
    assert effect("default", "ef_search=128", default=True) == "default → ef_search=128"
    assert effect("ivf(nlist=8)", "hnsw(m=32)", default=False) == "ivf(nlist=8) → hnsw(m=32)"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda made: replace(made, ids=np.repeat("0", len(made.ids))), "came twice"),
        (lambda made: replace(made, ids=np.repeat("999", len(made.ids))), "never loaded"),
        (lambda made: replace(made, ids=made.ids[:0], scores=made.scores[:0], got=made.got * 0), "empty"),
        (
            lambda made: replace(
                made, ids=made.ids[1:], scores=made.scores[1:], got=np.array([K - 1, *made.got[1:]])
            ),
            "1 of 20 answers are short",
        ),
        (
            lambda made: by_columns(
                Answer(0, 1.0, K, [str(row) for row in range(K)], [0.5] * K, 0.0, 0.0) for _ in range(QUERIES)
            ),
            "1 of 20 queries were asked",
        ),
    ],
)
def test_a_fault_stands_in_place_of_figures(planted: Planter, change: Any, words: str) -> None:
    cell = planted.cell("Ours", 20, repeat=2)
    planted.write(cell, change(planted.answers(cell)))
    summary = summary_of(planted)
    assert list(summary.faults) == [str(cell.setting)]
    assert set(figures_of(summary, cell)) == {"fault", "notes", "most_qps"}  # which is of the closed loop
    page = page_of(planted)
    assert "<strong>FAULT</strong> " in page
    assert words in page
    assert "1 of 22 settings have faults" in warnings(summary)[0]
    assert words in markdown(alone_of(summary))
    told = pd.read_csv(planted.folder / "settings.csv")
    faulty = told[told["faults"].notna()]
    assert len(faulty) == 1
    assert faulty[["recall", "p50_ms", "got"]].isna().all(axis=None)


def test_short_answers_of_the_closed_loop_are_a_fault(planted: Planter) -> None:
    cell = planted.cell("Ours", 10, Closed(2), repeat=2)
    planted.write(cell, planted.answers(cell), fewest_found=K - 1)
    summary = summary_of(planted)
    fault = "short answers: of 10 neighbours, one query found 9"
    assert summary.faults == {str(cell.setting): (fault,)}
    assert set(figures_of(summary, cell)) == {"fault", "notes"}


def test_a_measurement_at_which_the_engine_failed_is_told(planted: Planter) -> None:
    cell = planted.cell("Ours", 10, repeat=2)
    (planted.folder / failed_file(cell)).write_text("The engine died.\n", encoding="utf-8")
    assert summary_of(planted).faults == {}  # it was measured since
    shutil.rmtree(planted.folder / cell.path)
    summary = summary_of(planted)
    assert summary.faults == {str(cell.setting): ("The engine died.",)}
    assert summary.missing == 1
    assert "The engine died." in page_of(planted)


def test_results_of_other_data_are_refused(planted: Planter, tmp_path: Path) -> None:
    other = experiment_of(tmp_path / "other", TEXT.replace(f"rows = {ROWS}", "rows = 201"))
    with pytest.raises(InputError, match=r"data .* there, .* now"):
        summarize(other, planted.folder)


def test_a_damaged_measurement_is_told(planted: Planter) -> None:
    cell = planted.cell("Ours", 10)
    (planted.folder / cell.path / raw.ANSWERS).write_bytes(b"PAR1")
    with pytest.raises(MeasurementError, match="no whole measurement"):
        summary_of(planted)


def test_what_was_built_twice_cost_the_mean(planted: Planter) -> None:
    build = builds(planted.experiment)[0]
    planted.write_build(build, 2, build_s=5.0)
    found = builds_of(summary_of(planted)).iloc[0]
    assert found["store"] == build.store.name
    assert (found["build_s"], found["indexed_s"], found["engine"]) == (4, 4, "planted 1.0")
    assert np.isnan(found["disk_mib"])


def test_nothing_measured_is_refused_and_what_is_missing_counted(tmp_path: Path) -> None:
    planter = Planter(experiment_of(tmp_path), tmp_path / "planted")
    with pytest.raises(InputError, match="no measurement"):
        summary_of(planter)
    cell = planter.cell("Ours", 10)
    planter.write(cell, planter.answers(cell))
    summary = summary_of(planter)
    assert (summary.settings, summary.missing) == (1, 2 * 22 - 1)
    assert any("43 measurements" in warning for warning in warnings(summary))


def test_repeats_that_disagree_make_the_machine_too_noisy(planted: Planter) -> None:
    quiet = summary_of(planted)
    assert quiet.noise is not None
    assert not quiet.noise.too_noisy
    for store, ef in (("Ours", 10), ("Theirs", 20)):
        cell = planted.cell(store, ef, repeat=2)
        slow = planted.answers(cell)
        planted.write(cell, replace(slow, latency_ms=slow.latency_ms * 3))
    noisy = summary_of(planted)
    assert noisy.noise is not None
    assert noisy.noise.apart == tuple(
        f"{name_of(planted.cell(*one))}, k=10" for one in (("Ours", 10), ("Theirs", 20))
    )
    assert "too noisy" in warnings(noisy)[0]


class Elements(HTMLParser):
    """What a page holds: figures with their parts, and every attribute that could load something."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.figures: list[list[str]] = []
        self.loads: list[str] = []
        self.open = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.loads += [
            value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "srcset")
        ]
        if tag == "figure":
            self.open = True
            self.figures.append([])
        elif self.open:
            self.figures[-1].append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag == "figure":
            self.open = False


def test_the_page_holds_every_setting_and_loads_nothing(planted: Planter) -> None:
    page = page_of(planted)
    elements = Elements(page)
    assert elements.loads == []
    assert not re.search(r"url\(|@import|<script|<link", page)
    assert len(elements.figures) == 8  # fronts, percentiles, filters, clients, rates, builds
    for parts in elements.figures:
        assert {"svg", "details", "table", "pre"} <= set(parts)
    for build in builds(planted.experiment):
        assert all(name_of(cell) in page for cell in cells(planted.experiment, build, 1))
    assert page.count("done otherwise") == 1
    assert "Synthetic data" in page
    assert "nan" not in re.sub(r"<[^>]*>", " ", page).lower().split()
    assert "prefers-color-scheme: dark" in page
    told = pd.read_csv(planted.folder / "settings.csv")
    assert len(told) == 22
    manifest = json.loads((planted.folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["experiment"] == TEXT
    assert manifest["checksum"] == planted.data.checksum
    text = (planted.folder / "report.md").read_text(encoding="utf-8")
    assert "| Ours | hnsw(m=8, ef_construction=40) | ef_search=10 | 0.8000" in text


def test_published_figures_stand_only_beside_data_of_their_size(
    planted: Planter, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "published, other hardware" not in page_of(planted)
    monkeypatch.setattr("cohorts.reports.published.SEARCH_OF", (ROWS, 8, K))
    page = page_of(planted)
    assert "published, other hardware" in page
    for table in (published.SEARCH, published.RESOURCES):
        for row in table.rows:
            if table is published.SEARCH or "Index RAM" in row[1]:
                for printed in table.rows[row]:
                    assert f'<td class="published">{printed}</td>' in page


def test_the_papers_settings_stand_beside_what_was_measured_of_them(
    planted: Planter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cohorts.reports.published.SEARCH_OF", (ROWS, 8, K))
    same = (Hnsw(m=8, ef_construction=40), SearchParams(ef_search=10))
    monkeypatch.setitem(as_published.SETTINGS, "HNSW", same)
    frame = as_published.published_table(summary_of(planted))
    lines = as_published.PUBLISHED.of(frame).lines
    assert [line.names[1] for line in lines] == ["Ours", "Theirs", "faiss", "–", "–"]  # no ivf, no annoy
    ours = frame[frame["store"] == "Ours"].set_index("measure")["value"]
    assert ours["build, min"] == pytest.approx(3.0 / 60)
    assert ours["p50, ms"] == pytest.approx(2.0, abs=0.02)
    assert ours["core-min"] == pytest.approx(0.1)
    assert ours["RssAnon, GB"] == pytest.approx(50 * 2**20 / 1e9)
    assert [cell.text for cell in lines[0].cells[5:]] == ["21.5", "8.9 ± 1.1", "112", "≈5.2 GB"]
    assert lines[-1].cells[1].text == "–"  # not measured
    assert lines[-1].cells[-1].text == "–"  # of memory the paper tells HNSW's alone
    cell = planted.cell("Ours", 10)
    twice = planted.answers(cell)
    planted.write(cell, replace(twice, ids=np.repeat("0", len(twice.ids))))
    frame = as_published.published_table(summary_of(planted))
    faulty = frame[frame["store"] == "Ours"].set_index("measure")["value"]
    assert "p50, ms" not in faulty
    assert faulty["most q/s"] == pytest.approx(10)  # of the closed loop, which has no fault


def test_growth_of_what_was_nothing_at_first_has_a_page(planted: Planter, tmp_path: Path) -> None:
    """Memory of an embedded engine is what the process grew by: nothing, where it had enough already."""
    page_of(planted)
    other = tmp_path / "other"
    other.mkdir()
    for number, folder in enumerate((planted.folder, other)):
        write_manifest(folder / DATA, {"rows": ROWS * (1 + number)})
    for build in builds(planted.experiment):
        planted.write_build(build, rss_anon_mib=0.0)
    for name in ("settings", "builds"):
        shutil.copy(planted.folder / f"{name}.csv", other)
    page = page_of(planted, [other])
    assert "Growth: RssAnon, MiB" in page
    assert "Growth: build, s" in page


def test_growth_is_fitted_to_several_sizes(planted: Planter, tmp_path: Path) -> None:
    page_of(planted)
    for factor in (1, 2, 4):
        folder = tmp_path / str(factor)
        folder.mkdir()
        write_manifest(folder / DATA, {"rows": 1000 * factor})
        for name in ("settings", "builds"):
            frame = pd.read_csv(planted.folder / f"{name}.csv")
            for column in {"build_s", "p50_ms"} & set(frame.columns):
                frame[column] = 2.0 * factor**1.5 if column == "build_s" else [*frame[column]]
            frame.to_csv(folder / f"{name}.csv", index=False)
    lines = grown([tmp_path / "1", tmp_path / "2", tmp_path / "4"])
    exponents = chosen(lines, {"measure": "exponent"})
    built = chosen(exponents, {"figure": "build, s"})
    assert built["store"].tolist() == ["Ours", "Theirs", "faiss"]
    assert built["value"].tolist() == pytest.approx([1.5] * 3)
    points = chosen(lines, {"measure": "value", "name": built["name"].iloc[0], "figure": "build, s"})
    assert points["n"].tolist() == [1000, 2000, 4000]
    assert points["value"].tolist() == pytest.approx([2, 2 * 2**1.5, 16])
    flat = chosen(exponents, {"figure": "p50, ms"})
    assert flat["value"].iloc[0] == pytest.approx(0, abs=1e-9)
    assert "recall" in lines["figure"].tolist()
    assert "recall" not in exponents["figure"].tolist()
    with pytest.raises(InputError, match="holds no report"):
        grown([tmp_path / "1", tmp_path])
    with pytest.raises(InputError, match=r"1,000 vectors"):
        grown([tmp_path / "1", tmp_path / "1"])
