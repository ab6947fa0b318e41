"""Tables in the terminal: no name is broken and nothing is cut, however narrow the terminal is."""

import itertools
import re
import sys

import pandas as pd
import pytest
from cohorts.commands.output.evaluation import show_quality
from cohorts.commands.output.plain_table import PlainTable, show
from cohorts.harness.evaluate.retrieval.rankings import EXACT
from cohorts.harness.evaluate.retrieval.tables import MEASURES, Tables
from command_line import ok

LONG = "fused:gated,objective=contrastive,model=/models/clinicalbert, centred"
NAMES = ["random", "BM25", "TF-IDF", "word2vec:dim=24,epochs=2, centred", LONG, "age and sex", "lsa"]
INDEX = "qdrant:./quality hnsw(m=32, ef_construction=400, quantization=scalar) ef_search=128"
COHORTS = {"all": 90, "heart_failure": 60, "sepsis": 12}


def tables(views: list[str]) -> Tables:
    """Tables in which an encoder is the better the later it is named, and an index finds .97 to .99."""
    ways = [(name, EXACT) for name in NAMES] + [(LONG, INDEX), ("lsa", INDEX)]
    rows = [
        {"view": view, "cohort": cohort, "encoder": name, "route": route, "k": 10, "measure": measure}
        | {"value": NAMES.index(name) / 10, "low": 0.0, "high": 0.9}
        for view, cohort, (name, route), measure in itertools.product(views, COHORTS, ways, MEASURES)
    ]
    figures = pd.DataFrame(rows)
    found = (figures["measure"] == "neighbour_recall") & (figures["route"] == INDEX)
    figures.loc[found, "value"] = figures.loc[found, "encoder"].map({LONG: 0.97, "lsa": 0.99})
    facts = [
        {"cohort": name, "questions": many, "matches": 31.4, "base_rate": 0.02}
        for name, many in COHORTS.items()
    ]
    frames = {"cohorts": pd.DataFrame(facts), "not_measured": pd.DataFrame()}
    return Tables(figures=figures, frames=frames, k=10)


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("views", [["codes withheld"], ["codes withheld", "nothing withheld"]])
def test_a_table_for_each_cohort_has_the_best_ways_whole(
    columns: int, views: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    show_quality(tables(views), synthetic=False)
    shown = capsys.readouterr().out
    assert "…" not in shown
    parts = re.split(r"^(all|heart failure|sepsis): ", shown, flags=re.MULTILINE)
    assert parts[1::2] == ["all", "heart failure", "sepsis"]
    for part in parts[2::2]:
        lines = [line.strip() for line in part.splitlines() if re.match(r" *0\.\d+ \[", line)]
        assert [next(name for name in NAMES if line.endswith(name)) for line in lines] == NAMES[:1:-1]
    assert "too few" in parts[-1]
    assert "too few" not in parts[2]
    assert re.search(rf"0\.970 +0\.990 +{re.escape(INDEX)} *$", shown, re.MULTILINE)


def test_any_table_keeps_its_words_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    table = PlainTable("a title that goes over several lines")
    table.add_column("name")
    table.add_column("lines", no_wrap=True)
    table.add_column("figures")
    table.add_row(
        f"words of {LONG}", "a line that is not to wrap\nand another", "0.5\n[0.4,\u00a00.6]\u00a0held"
    )
    show(table)
    shown = capsys.readouterr().out
    assert "…" not in shown
    for whole in (*LONG.split(), "a line that is not to wrap", "and another", "[0.4,\u00a00.6]\u00a0held"):
        assert whole in shown


def test_text_models_are_listed_where_nothing_that_reads_them_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("torch", "huggingface_hub"):
        monkeypatch.setitem(sys.modules, module, None)
    shown = ok("models")
    assert "clinicalnotebert:tiny" in shown
    assert "yes" not in shown
