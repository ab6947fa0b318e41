"""From raw results to the page: figures by hand from planted files, faults shown, `cohorts bench` as it is typed."""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from bench_answers import Answer, by_columns, experiment_from
from cohorts.connectors.index import Hnsw, SearchParams, index_to_json, search_to_json
from cohorts.errors import EngineError, InputError, MeasurementError
from cohorts.harness.bench import results as raw
from cohorts.harness.bench.load.modes import Closed, Open, Single
from cohorts.harness.bench.plan.dataset import make_dataset
from cohorts.harness.bench.plan.experiment import Experiment
from cohorts.harness.bench.plan.ground_truth import exact
from cohorts.harness.bench.plan.matrix import Cell, asked, builds, cells
from cohorts.harness.bench.report import as_published
from cohorts.harness.bench.report import tables as views
from cohorts.harness.bench.report.equal_recall import at_equal_recall
from cohorts.harness.bench.report.growth import grown
from cohorts.harness.bench.report.page import Origin, markdown, warnings, write_report
from cohorts.harness.bench.report.setting import Row
from cohorts.harness.bench.report.summary import Summary, summarize
from cohorts.harness.bench.results import Answers
from cohorts.harness.bench.run.runner import BUILDS, DATA, failed_file
from cohorts.harness.reports import published
from cohorts.harness.reports.charts import log_scale, recall_scale
from cohorts.provenance import write_manifest
from command_line import ok, refused
from servers import QdrantNode

QUERIES, K, ROWS = 20, 10, 200
TEXT = f"""
name = "planted"
repeats = 2
queries = {QUERIES}
k = [{K}]
clients = [2]
rates = [50]
seconds = 2
[data]
rows = {ROWS}
dim = 8
clusters = 4
[filters]
selectivities = [0.5]
[[store]]
name = "Ours"
address = "qdrant:ours"
[[store]]
name = "Theirs"
address = "milvus:theirs.db"
[[store]]
name = "faiss"
address = "reference:faiss"
[[index]]
build = "hnsw:m=8,ef_construction=40"
search = ["ef_search=10", "ef_search=20"]
"""
ALONE = Single()
FOUND = {10: 8, 20: 10}  # of 10 neighbours, by ef_search
MS = {
    ("Ours", 10): 2.0,
    ("Ours", 20): 4.0,
    ("Theirs", 10): 4.0,
    ("Theirs", 20): 8.0,
    ("faiss", 10): 0.5,
    ("faiss", 20): 1.0,
}


def experiment_of(folder: Path, text: str = TEXT) -> Experiment:
    return experiment_from(folder, text)


class Planter:
    """Writes results as they would have been measured: every figure is known beforehand."""

    def __init__(self, experiment: Experiment, folder: Path) -> None:
        self.experiment, self.folder, self.data = experiment, folder, make_dataset(experiment)

    def all(self) -> None:
        for build in builds(self.experiment):
            for repeat in range(1, self.experiment.repeats + 1):
                for cell in cells(self.experiment, build, repeat):
                    if not (build.store.reference and cell.where):
                        self.write(cell, self.answers(cell))
            self.write_build(build)

    def write_build(self, build: Any, number: int = 1, **changes: Any) -> None:
        seconds = {"load_s": 1.0, "searchable_s": 1.5, "indexed_s": 4.0, "build_s": 3.0}
        sizes = {"rss_anon_mib": 50.0, "rss_file_mib": 5.0, "disk_mib": None}
        words = {"engine": "planted 1.0", "says": "", "how": "as planted", "rows": ROWS}
        told = {"checksum": self.data.checksum, **seconds, **sizes, **words, **changes}
        write_manifest(self.folder / build.path / f"build-{number}.json", told)

    def write(self, cell: Cell, answers: Answers, **measured: Any) -> None:
        facts: dict[str, Any] = {"client_cores": 0.5, "server_cores": None}
        if isinstance(cell.mode, Single):
            facts |= {"cold_ms": [30.0 + cell.repeat, 2.0], "floor_ms": 0.001}
        else:
            facts |= {"how": "threads", "qps": 0.0, "behind_ms": 3.0 * cell.repeat, "fewest_found": K}
        manifest = raw.manifest_of(
            asked(self.experiment, cell),
            self.data.checksum,
            synthetic=True,
            server="planted 1.0",
            effective_index=index_to_json(cell.build.index),
            effective_search=search_to_json(cell.search),
            notes=["done otherwise"] if cell.build.store.name == "Theirs" else [],
            measured=facts | measured,
        )
        raw.write(self.folder / cell.path, answers, manifest)

    def answers(self, cell: Cell, found: int | None = None, many: int = 3) -> Answers:
        """Return answers with `found` true neighbours; latencies of query q are the setting's own, q/1000 on top."""
        ef = cell.search.ef_search or 0
        ms = MS[cell.build.store.name, ef]
        if isinstance(cell.mode, Closed):  # one answer each 100 or 200 ms; the last comes too late
            starts = np.arange(40) * ef / 100
            return by_columns(Answer(0, ms, K, [], [], at, at) for at in starts[: 210 // ef * cell.repeat])
        where = cell.where.column if cell.where else None
        nearest, passing = exact(self.data, where, K), np.arange(ROWS)
        if where:
            passing = np.flatnonzero(self.data.attributes[where])
        furthest = passing[np.argsort(self.data.queries @ self.data.vectors[passing].T, axis=1)]
        made = []
        for query in range(QUERIES):
            true = nearest.rows[query, : FOUND[ef] if found is None else found].tolist()
            ids = [str(row) for row in (*true, *furthest[query, : K - len(true)].tolist())]
            made.append(Answer(query, ms + query / 1000, K, ids, [0.5] * K, query / 10, query / 10))
        return by_columns(made)

    def cell(self, store: str, ef: int, mode: Any = ALONE, repeat: int = 1, *, where: bool = False) -> Cell:
        (build,) = [one for one in builds(self.experiment) if one.store.name == store]
        (found,) = [
            one
            for one in cells(self.experiment, build, repeat)
            if one.search.ef_search == ef and one.mode == mode and bool(one.where) == where
        ]
        return found


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Planter:
    monkeypatch.setattr(
        "cohorts.measures.intervals.RESAMPLES", 40
    )  # intervals are tested where they are made
    planter = Planter(experiment_of(tmp_path), tmp_path / "planted")
    planter.all()
    return planter


def summary_of(planter: Planter) -> Summary:
    return summarize(planter.experiment, planter.folder)


def row_of(summary: Summary, cell: Cell) -> Row:
    (row,) = [one for one in summary.rows if one.cell.setting == cell.setting]
    return row


def report_of(planter: Planter, others: Sequence[Path] = ()) -> str:
    origin = Origin("cohorts bench experiment.toml --out results", TEXT)
    page, _ = write_report(planter.folder, summary_of(planter), origin, others)
    return page.read_text(encoding="utf-8")


def test_figures_are_those_of_the_files(planted: Planter) -> None:
    summary = summary_of(planted)
    assert (len(summary.rows), summary.missing, summary.faulty) == (2 * 2 * 4 + 2 * 3, 0, ())
    measured = row_of(summary, planted.cell("Ours", 10)).measured
    assert measured is not None
    assert measured.recall == pytest.approx((0.8, 0.8, 0.8))
    assert measured.recall_p5 == pytest.approx(0.8)
    every = 2 + np.arange(QUERIES) / 1000
    assert measured.p50_ms.value == pytest.approx(np.median(every))
    assert 2 <= measured.p50_ms.low < measured.p50_ms.value < measured.p50_ms.high <= 2.019
    twice = np.percentile(np.repeat(every, 2), [95, 99])
    assert (measured.p95_ms, measured.p99_ms) == pytest.approx(tuple(twice))
    assert isnan(measured.p999_ms)  # of 40 answers there is none
    assert (measured.answers, measured.asked, measured.got) == (40, 400, 400)
    assert (measured.cold_ms, measured.floor_ms, measured.client_cores) == (32.0, 0.001, 0.5)
    assert isnan(measured.server_cores)
    assert isnan(measured.qps.value)


def test_closed_loop_counts_what_was_answered_in_time(planted: Planter) -> None:
    row = row_of(summary_of(planted), planted.cell("Ours", 10, Closed(2)))
    assert row.measured is not None
    # Of 21 answers the last began at 2.0 s; of the 40 of the second repeat 20 began from 2.0 s on.
    assert row.measured.qps == pytest.approx((10, 10, 10))
    assert isnan(row.measured.recall.value)
    assert row.measured.got == 0  # ids are not kept


def test_open_loop_tells_how_far_behind_it_was(planted: Planter) -> None:
    row = row_of(summary_of(planted), planted.cell("Ours", 20, Open(50.0)))
    assert row.measured is not None
    assert row.measured.behind_ms == 6.0  # of the worse repeat
    assert row.measured.recall.value == 1
    assert row.measured.qps.value == pytest.approx(20 / (1.9 + 4.019 / 1000))


def test_builds_are_those_of_the_files(planted: Planter) -> None:
    first = summary_of(planted).builds[0]
    assert (first.load_s, first.searchable_s, first.indexed_s, first.build_s) == (1.0, 1.5, 4.0, 3.0)
    assert (first.rss_anon_mib, first.how) == (50.0, "as planted")
    assert isnan(first.disk_mib)
    planted.write_build(first.build, checksum="0123456789abcdef")
    with pytest.raises(InputError, match="is of the data 0123456789abcdef"):
        summary_of(planted)


def test_equal_recall_lies_between_settings_and_never_beyond(planted: Planter) -> None:
    found = at_equal_recall(summary_of(planted), (0.7, 0.9, 1.0))
    ours, theirs, faiss = (
        [one for one in found if one.rival.store == name] for name in ("Ours", "Theirs", "faiss")
    )
    own = 0.0095  # the median of what queries add
    assert [one.p50_ms for one in ours] == [None, pytest.approx(3 + own), pytest.approx(4 + own)]
    assert [one.passed for one in ours] == [True, False, False]
    assert [one.qps for one in ours] == [None, pytest.approx(7.5), pytest.approx(5)]
    assert [one.qps_passed for one in ours] == [True, False, False]
    assert ours[1].speed_up is not None
    assert ours[1].speed_up.value == pytest.approx((6 + own) / (3 + own))
    assert ours[1].beside == "Theirs, hnsw"  # the reference is faster, and no rival
    assert theirs[1].speed_up is not None
    assert theirs[1].speed_up.value == pytest.approx((3 + own) / (6 + own))
    assert faiss[1].beside == "Ours, hnsw"
    view = views.equal(found, K)
    assert [entry.text for entry in view.lines[0].entries[:3]] == ["all above", "3.01", "4.01"]


def test_a_recall_that_nothing_reaches_has_no_figure(planted: Planter) -> None:
    for repeat in (1, 2):
        cell = planted.cell("Ours", 20, repeat=repeat)
        planted.write(cell, planted.answers(cell, found=9))
    found = at_equal_recall(summary_of(planted), (0.95,))
    assert [(one.p50_ms is None, one.passed) for one in found if one.rival.store == "Ours"] == [(True, False)]
    assert views.equal(found, K).lines[0].entries[0].text == "–"


def test_the_best_of_a_column_is_marked_and_no_reference(planted: Planter) -> None:
    view = views.alone(summary_of(planted), K)
    marked = {
        column: [line.names for line in view.lines if line.entries[place].best]
        for place, column in enumerate(view.columns)
    }
    index = "hnsw(m=8, ef_construction=40)"
    assert marked["p50, ms"] == [("Ours", index, "ef_search=10")]
    assert marked["recall@10"] == [(name, index, "ef_search=20") for name in ("Ours", "Theirs")]
    assert marked["asked"] == []
    assert {line.names[0] for line in view.lines if line.reference} == {"faiss (reference)"}


def test_default_and_translated_settings_say_so() -> None:
    assert views.effect("hnsw(m=32)", "hnsw(m=32)", default=True) == "hnsw(m=32) (default)"
    assert views.effect("default", "ef_search=128", default=True) == "default → ef_search=128"
    assert views.effect("ivf(nlist=8)", "hnsw(m=32)", default=False) == "ivf(nlist=8) → hnsw(m=32)"


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
    assert [row.cell.setting for row in summary.faulty] == [cell.setting]
    assert row_of(summary, cell).measured is None
    page = report_of(planted)
    assert "<strong>FAULT</strong> " in page
    assert words in page
    assert "1 of 22 settings have faults" in warnings(summary)[0]
    assert words in markdown(views.alone(summary, K))
    told = pd.read_csv(planted.folder / "settings.csv")
    faulty = told[told["faults"].notna()]
    assert len(faulty) == 1
    assert faulty[["recall", "p50_ms", "got"]].isna().all(axis=None)


def test_short_answers_of_the_closed_loop_are_a_fault(planted: Planter) -> None:
    cell = planted.cell("Ours", 10, Closed(2), repeat=2)
    planted.write(cell, planted.answers(cell), fewest_found=K - 1)
    row = row_of(summary_of(planted), cell)
    assert row.faults == ("short answers: of 10 neighbours, one query found 9",)
    assert row.measured is None


def test_a_measurement_at_which_the_engine_failed_is_told(planted: Planter) -> None:
    cell = planted.cell("Ours", 10, repeat=2)
    (planted.folder / failed_file(cell)).write_text("The engine died.\n", encoding="utf-8")
    assert summary_of(planted).faulty == ()  # it was measured since
    shutil.rmtree(planted.folder / cell.path)
    summary = summary_of(planted)
    assert [row.faults for row in summary.faulty] == [("The engine died.",)]
    assert summary.missing == 1
    assert "The engine died." in report_of(planted)


def test_a_run_goes_on_behind_a_measurement_that_failed(
    real: tuple[str, Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command, folder, _ = real
    before = manifests(folder)
    lost = [file for file in folder.glob("faiss/*/*/*/*/closed*/repeat=*") if file.is_dir()]
    assert len(lost) == 4
    for one in lost:
        shutil.rmtree(one)

    def refuse(*_: object, **__: object) -> None:
        raise EngineError("It is too slow.")

    with monkeypatch.context() as patched:
        patched.setattr(Closed, "measure", refuse)
        assert "FAULT It is too slow." not in ok(command)  # the terminal shows one client
    assert "It is too slow." in (folder / "report.html").read_text(encoding="utf-8")
    ok(command)
    assert manifests(folder).keys() == before.keys()
    assert not list(folder.rglob("*.failed.txt"))


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
    found = next(row for row in summary_of(planted).builds if row.build == build)
    assert (found.build_s, found.indexed_s, found.engine) == (4, 4, "planted 1.0")
    assert np.isnan(found.disk_mib)


def test_nothing_measured_is_refused_and_what_is_missing_counted(tmp_path: Path) -> None:
    planter = Planter(experiment_of(tmp_path), tmp_path / "planted")
    with pytest.raises(InputError, match="no measurement"):
        summary_of(planter)
    cell = planter.cell("Ours", 10)
    planter.write(cell, planter.answers(cell))
    summary = summary_of(planter)
    assert (len(summary.rows), summary.missing) == (1, 2 * 22 - 1)
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
        f"{row_of(noisy, planted.cell(*one)).name}, k=10" for one in (("Ours", 10), ("Theirs", 20))
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
    page = report_of(planted)
    elements = Elements(page)
    assert elements.loads == []
    assert not re.search(r"url\(|@import|<script|<link", page)
    assert len(elements.figures) == 8  # fronts, percentiles, filters, clients, rates, builds
    for parts in elements.figures:
        assert {"svg", "details", "table", "pre"} <= set(parts)
    for row in summary_of(planted).rows:
        assert row.name in page
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
    assert "published, other hardware" not in report_of(planted)
    monkeypatch.setattr("cohorts.harness.reports.published.SEARCH_OF", (ROWS, 8, K))
    page = report_of(planted)
    assert "published, other hardware" in page
    for table in (published.SEARCH, published.RESOURCES):
        for row in table.rows:
            if table is published.SEARCH or "Index RAM" in row[1]:
                for printed in table.rows[row]:
                    assert f'<td class="published">{printed}</td>' in page


def test_the_papers_settings_stand_beside_what_was_measured_of_them(
    planted: Planter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cohorts.harness.reports.published.SEARCH_OF", (ROWS, 8, K))
    same = (Hnsw(m=8, ef_construction=40), SearchParams(ef_search=10))
    monkeypatch.setitem(as_published.SETTINGS, "HNSW", same)
    lines = as_published.published_lines(summary_of(planted))
    assert [line.store for line in lines] == ["Ours", "Theirs", "faiss", "", ""]  # no ivf, no annoy
    ours = lines[0]
    assert ours.build_min == pytest.approx(3.0 / 60)
    assert ours.p50_ms == pytest.approx(2.0, abs=0.02)
    assert ours.rss_anon_gb == pytest.approx(50 * 2**20 / 1e9)
    assert [one.printed for one in ours.published if one] == ["21.5", "8.9 ± 1.1", "112", "≈5.2 GB"]
    assert isnan(lines[-1].p50_ms)
    assert lines[-1].published[-1] is None


def test_growth_is_fitted_to_several_sizes(planted: Planter, tmp_path: Path) -> None:
    report_of(planted)
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
    builds_ = [line for line in lines if line.measure == "build, s"]
    assert [line.store for line in builds_] == ["Ours", "Theirs", "faiss"]
    assert builds_[0].growth is not None
    assert builds_[0].growth.exponent == pytest.approx(1.5)
    assert [n for n, _ in builds_[0].points] == [1000, 2000, 4000]
    assert [value for _, value in builds_[0].points] == pytest.approx([2, 2 * 2**1.5, 16])
    flat = next(line for line in lines if line.measure == "p50, ms")
    assert flat.growth is not None
    assert flat.growth.exponent == pytest.approx(0, abs=1e-9)
    assert all(line.growth is None for line in lines if line.measure == "recall")
    with pytest.raises(InputError, match="holds no report"):
        grown([tmp_path / "1", tmp_path])
    with pytest.raises(InputError, match=r"1,000 vectors"):
        grown([tmp_path / "1", tmp_path / "1"])


def test_scales_put_every_value_between_their_ends() -> None:
    for values in ([0.013, 4.7], [3.0, 3.0], [1.0, 1.0], [120.0, 99_000.0]):
        scale = log_scale("ms", values)
        assert all(0 <= scale.place(value) <= 1 for value in values)
        assert len(scale.ticks) >= 2
        assert all(-1e-3 <= scale.place(tick) <= 1.001 for tick, _ in scale.ticks)
    recall = recall_scale("recall", [0.93, 1.0])
    assert recall.place(1.0) == 1
    assert [text for _, text in recall.ticks] == ["0.9", "0.95", "0.99", "0.999", "1"]
    assert recall_scale("recall", [0.0]).ticks[0] == (0, "0")


def test_the_example_of_the_documentation_is_an_experiment(tmp_path: Path) -> None:
    text = (Path(__file__).resolve().parents[3] / "docs" / "bench.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    found = experiment_of(tmp_path, example)
    assert (found.repeats, found.queries, found.k, len(found.filters)) == (3, 1000, (10, 100), 8)
    assert [plan.stores for plan in found.plans][1] == ("Qdrant server", "faiss")


REAL = """
name = "Real"
repeats = 2
queries = 40
k = [5]
clients = [2]
rates = [100]
seconds = 0.2
[data]
rows = 2_000
dim = 16
clusters = 10
[filters]
selectivities = [0.1]
[[store]]
name = "Qdrant embedded"
address = "qdrant:{folder}/store"
[[store]]
name = "faiss"
address = "reference:faiss"
[[index]]
build = "hnsw:m=8,ef_construction=40"
search = ["ef_search=8", "ef_search=64"]
"""


def manifests(folder: Path) -> Mapping[str, str]:
    return {
        str(file.relative_to(folder)): file.read_text(encoding="utf-8")
        for file in folder.rglob("repeat=*/manifest.json")
    }


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, str]:
    """Return the command of an experiment that has run, its results, and what was printed."""
    folder = tmp_path_factory.mktemp("bench")
    (folder / "real.toml").write_text(REAL.format(folder=folder), encoding="utf-8")
    command = f"bench {folder}/real.toml --out {folder}/results"
    return command, folder / "results" / "real", ok(command)


def test_bench_measures_real_engines_and_tells(real: tuple[str, Path, str]) -> None:
    _, folder, out = real
    assert len(manifests(folder)) == 2 * 2 * 4 + 2 * 2 * 3  # a library has no filter
    for words in (
        "2,000 × 16 vectors",
        "At equal recall, k = 5",
        "Synthetic data",
        "Qdrant embedded",
        "faiss (reference)",
    ):
        assert words in out
    told = pd.read_csv(folder / "settings.csv")
    assert len(told) == 14
    assert told["faults"].isna().all()
    alone = told[(told["mode"] == "single") & told["selectivity"].isna()].set_index(["store", "search"])
    assert (alone.loc[:, "recall"] > 0.5).all()
    assert (alone.xs("ef_search=64", level="search")["recall"] > 0.99).all()
    assert (told["p50_ms"] > 0).all()
    assert (told[told["mode"] == "closed"]["qps"] > 0).all()
    assert {path.name for path in folder.iterdir() if path.is_file()} == {
        "report.html",
        "report.md",
        "manifest.json",
        "settings.csv",
        "builds.csv",
        "equal_recall.csv",
        "data.json",
    }


def test_what_is_there_is_not_measured_again(real: tuple[str, Path, str]) -> None:
    command, folder, _ = real
    before = manifests(folder)
    built = {path: path.stat().st_mtime_ns for path in folder.rglob(BUILDS)}
    ok(command)
    assert manifests(folder) == before
    assert {path: path.stat().st_mtime_ns for path in folder.rglob(BUILDS)} == built


def test_a_run_that_died_goes_on_with_what_is_missing(real: tuple[str, Path, str]) -> None:
    command, folder, _ = real
    kept = {path: path.stat().st_ino for path in folder.rglob("repeat=*/manifest.json")}
    lost = next(path for path in kept if path.is_relative_to(folder / "faiss"))
    left = lost.parent.with_name(f".{lost.parent.name}.dead.part")
    lost.parent.rename(left)  # as it lies when a run is killed while it writes
    ok(command)
    after = {path: path.stat().st_ino for path in kept}
    assert {path for path in kept if kept[path] != after[path]} <= {lost}
    assert lost.exists()
    assert len(list(folder.rglob("faiss/**/build-2.json"))) == 1  # what the first build cost is kept
    assert "measurements of the experiment are not there" not in (folder / "report.html").read_text(
        encoding="utf-8"
    )


def test_force_measures_a_store_again_and_no_other(real: tuple[str, Path, str]) -> None:
    command, folder, _ = real
    before = {path: path.stat().st_ino for path in folder.rglob("repeat=*/manifest.json")}
    ok(f"{command} --only faiss --force")
    after = {path: path.stat().st_ino for path in before}
    changed = {path for path in before if before[path] != after[path]}
    assert changed == {path for path in before if path.is_relative_to(folder / "faiss")}
    assert not list(folder.rglob("build-2.json"))


def test_a_client_of_another_age_than_the_server_measures_nothing(qdrant: QdrantNode, tmp_path: Path) -> None:
    file, address = tmp_path / "served.toml", f"qdrant+grpc://127.0.0.1:{qdrant.grpc}"
    text = REAL.format(folder=tmp_path).replace(f"qdrant:{tmp_path}/store", address)
    file.write_text(text, encoding="utf-8")
    told = refused(f"bench {file} --out {tmp_path} --only 'Qdrant embedded'")
    assert "Nothing was measured. The Qdrant client is version" in told
    assert not list(tmp_path.rglob("manifest.json"))


def test_bench_refuses_what_it_can_not_measure(real: tuple[str, Path, str], tmp_path: Path) -> None:
    command, folder, _ = real
    assert "no store Milvus. Stores: Qdrant embedded, faiss" in refused(f"{command} --only Milvus")
    file = tmp_path / "real.toml"
    file.write_text(REAL.format(folder=tmp_path).replace("rows = 2_000", "rows = 2_001"), encoding="utf-8")
    assert "measurement of something else" in refused(f"bench {file} --out {folder.parent}")
    assert "can't be read" in refused(f"bench {tmp_path}/none.toml --out {tmp_path}")
    assert "holds no report" in refused(f"{command} --growth {tmp_path}")
