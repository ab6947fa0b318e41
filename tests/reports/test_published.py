"""Every published figure that is shown here, against the text of its paper, cell by cell and both ways."""

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from cohorts.encoders.bert.clinicalnotebert import PARAMETERS
from cohorts.harness.bench.report import as_published as bench
from cohorts.harness.evaluate.retrieval import as_published
from cohorts.records.synthetic.notes import RATES
from cohorts.reports import published
from cohorts.reports.published import Names, Table

Cells = dict[Names, Names]
ROOT = Path(__file__).resolve().parents[2]
PERCENT = r"\d+\.\d+%"


def fineehr_categories(text: str) -> tuple[Names, Cells]:
    body = " ".join(
        between(text, "TOP-FREQUENT CLINICAL NOTE CATEGORIES", "MIMIC III is a real-world").split()
    )
    (heading,) = re.findall(r"Category (\w+) Descriptions", body)
    cells = re.findall(rf"(?:Descriptions|\.) ([A-Z][^.%]*?) ({PERCENT})", body)
    assert len(cells) == len(re.findall(PERCENT, body))
    return (heading,), {(name,): (ratio,) for name, ratio in cells}


def fineehr_settings(text: str) -> tuple[Names, Cells]:
    body = between(text, "TABLE II\n", "B. Accuracy Improvements")
    models, measures = re.findall(r"^(RF .+)\nApproach (.+)$", body, re.MULTILINE)[0]
    names = zip([one for one in models.split() for _ in range(2)], measures.split(), strict=True)
    rows = re.findall(rf"^([A-Z][A-Za-z ]+?)((?: {PERCENT})+)$", body, re.MULTILINE)
    return tuple(map(" ".join, names)), {(name,): tuple(cells.split()) for name, cells in rows}


def fineehr_averages(text: str) -> tuple[Names, Cells]:
    told = re.findall(rf"(average AUC) of ({PERCENT}) and an (average AUC-PR) of ({PERCENT})", one_line(text))
    assert len(told) == 2, "the abstract and the conclusions"
    assert told[0] == told[1]
    return told[0][::2], {("FineEHR",): told[0][1::2]}


def fineehr_others(text: str) -> tuple[Names, Cells]:
    body = between(text, "Approaches Approach AUC\n", "prediction. Therefore")
    rows = [re.fullmatch(rf"(.+) (\S+ \S+|Hybrid) ({PERCENT})", line) for line in body.split("\n") if line]
    return ("AUC",), {(one[1], one[2]): (one[3],) for one in rows if one}


def cohort_sizes(text: str) -> tuple[Names, Cells]:
    cells: Cells = {}
    for told in re.findall(r"For (MIMIC-\w+) \(N = [\d,]+\), the cohorts \w+(?: of)?: ([^.]+)\.", text):
        for name, size in re.findall(r"(\w+) \(N = ([\d,]+)\)", told[1]):
            cells[told[0], name.replace("SepsIS", "Sepsis")] = (size,)
    return ("N",), cells


def retrieval(number: int) -> Callable[[str], tuple[Names, Cells]]:
    def parse(text: str) -> tuple[Names, Cells]:
        heading, *rows = lines_of(text, number)
        (columns,) = re.findall(r"CohortModelANN Algorithm(Precision)(Recall)(F1-Score)", heading)
        cells: Cells = {}
        cohort = model = ""
        for row in rows:
            one = re.fullmatch(
                r"(Diabetes|CHF|Sepsis)?(\w+BERT)?([A-Z]+)(0\.\d\d)(0\.\d\d)(0\.\d\d ± 0\.\d\d)", row
            )
            assert one, row
            cohort, model = one[1] or cohort, one[2] or model
            cells[cohort, model, one[3]] = one.groups()[3:]
        return columns, cells

    return parse


def search(text: str) -> tuple[Names, Cells]:
    heading, *rows = lines_of(text, 4)
    (columns,) = re.findall(r"ANN Method(Index .+?\))(Avg.+?\))(Thr.+?\))", heading)
    return columns, {
        (one[1],): one.groups()[1:]
        for row in rows
        for one in [re.fullmatch(r"([A-Z]+)(\d+\.\d)(\d+\.\d ± \d\.\d)(\d+)", row)]
        if one
    }


def fusions(text: str) -> tuple[Names, Cells]:
    heading, *rows = lines_of(text, 5)
    (columns,) = re.findall(r"Model Configuration(\w+ F1)(\w+ F1)(\w+ F1)", heading)
    made = [re.fullmatch(r"(\D+)" + r"(0\.\d\d)" * 3, row) for row in rows]
    return columns, {(one[1],): one.groups()[1:] for one in made if one}


def resources(text: str) -> tuple[Names, Cells]:
    heading, *rows = lines_of(text, 6)
    cells: Cells = {}
    group = ""
    for row in rows:
        one = re.fullmatch(r"(.+?\))\s*(≈?\d.*)", row)
        if one:
            cells[group, one[1]] = (one[2],)
        else:
            group = row
    return (heading.removeprefix("Metric"),), cells


def sepsis(text: str) -> tuple[Names, Cells]:
    body = between(text, "Table 1. Changes in model performance ", "Learning Rate Schedule")
    (first, second, of) = re.findall(r"^(before) and (after) (using .+)$", body, re.MULTILINE)[0]
    rows = re.findall(r"^(.+?) (0\.\d{4}) (0\.\d{4})$", body, re.MULTILINE)
    # The names were Chinese, and scanning spoilt the first two: section 3.2 has their order, and their figures.
    assert [next((one for one in ("F1", "Recall", "AUROC") if one in name), "") for name, *_ in rows] == [
        *("", "", "F1", "Recall", "AUROC")
    ]
    names = ("Accuracy", "Specificity", "F1 Score", "Recall", "AUROC")
    return (f"{first} {of}", f"{second} {of}"), {
        (name,): (before, after) for name, (_, before, after) in zip(names, rows, strict=True)
    }


def note_models(text: str) -> tuple[Names, Cells]:
    heading, *rows = markdown(text)[0]
    return tuple(heading[1:3]), {
        (row[0], *re.findall(r"huggingface\.co/([\w./-]+)", row[3])): tuple(map(plain, row[1:3]))
        for row in rows
    }


def note_tasks(text: str) -> tuple[Names, Cells]:
    heading, *rows = markdown(text)[1]
    cells: Cells = {}
    for row in rows:
        links = [
            re.findall(r"^(\S+) \(\[(simcse_\w+)\]\(https://huggingface\.co/(.+)-\2\)\)", one)[0]
            for one in row[1:]
        ]
        assert [variant for _, variant, _ in links] == ["simcse_sentence", "simcse_segment", "simcse_note"]
        (base,) = {base for _, _, base in links}
        cells[row[0], base] = tuple(plain(printed) for printed, _, _ in links)
    return tuple(heading[1:]), cells


PARSERS: dict[str, tuple[str, Callable[[str], tuple[Names, Cells]]]] = {
    "FINEEHR_CATEGORIES": ("fineehr.txt", fineehr_categories),
    "FINEEHR_SETTINGS": ("fineehr.txt", fineehr_settings),
    "FINEEHR_AVERAGES": ("fineehr.txt", fineehr_averages),
    "FINEEHR_OTHERS": ("fineehr.txt", fineehr_others),
    "COHORT_SIZES": ("cohort-discovery.txt", cohort_sizes),
    "RETRIEVAL_MIMIC3": ("cohort-discovery.txt", retrieval(2)),
    "RETRIEVAL_MIMIC4": ("cohort-discovery.txt", retrieval(3)),
    "SEARCH": ("cohort-discovery.txt", search),
    "FUSIONS": ("cohort-discovery.txt", fusions),
    "RESOURCES": ("cohort-discovery.txt", resources),
    "SEPSIS": ("sepsis-prognosis.txt", sepsis),
    "NOTE_MODELS": ("clinicalnotebert.md", note_models),
    "NOTE_TASKS": ("clinicalnotebert.md", note_tasks),
}


def test_no_table_is_kept_that_is_not_compared() -> None:
    kept = {name for name, one in vars(published).items() if isinstance(one, Table)}
    assert kept == set(PARSERS)


@pytest.mark.parametrize("name", PARSERS)
def test_a_table_is_the_papers(name: str, shared_papers: Path) -> None:
    file, parse = PARSERS[name]
    ours: Table = getattr(published, name)
    columns, cells = parse((shared_papers / file).read_text(encoding="utf-8"))
    assert ours.columns == columns
    assert dict(ours.rows) == cells


@pytest.mark.parametrize(
    ("name", "cells"), [("FINEEHR_SETTINGS", 32), ("FINEEHR_OTHERS", 9), ("RETRIEVAL_MIMIC3", 54)]
)
def test_no_table_was_read_by_halves(name: str, cells: int) -> None:
    ours: Table = getattr(published, name)
    assert sum(map(len, ours.rows.values())) == cells
    assert {len(row) for row in ours.rows.values()} == {len(ours.columns)}


def test_search_was_measured_on_what_the_paper_says(shared_papers: Path) -> None:
    text = (shared_papers / "cohort-discovery.txt").read_text(encoding="utf-8")
    rows, dim, k = published.SEARCH_OF
    assert f"includes {rows // 1000} , {rows % 1000} unique patients" in one_line(text)
    assert f"The final {dim}-dimensional fused vector" in text
    assert f"k set to {k}" in text
    assert k == published.RETRIEVAL_K


def test_the_settings_of_the_indexes_are_the_papers(shared_papers: Path) -> None:
    text = (shared_papers / "cohort-discovery.txt").read_text(encoding="utf-8")
    printed = {
        name.replace(" ", ""): int(value)
        for name, value in re.findall(r"^ +([A-Za-z_ ]+) = (\d+) : ", text, re.MULTILINE)
    }
    (hnsw, ef), (ivf, probes), (annoy, _) = bench.SETTINGS.values()
    ours = {"M": vars(hnsw)["m"], "efConstruction": vars(hnsw)["ef_construction"], "efSearch": ef.ef_search}
    ours |= {"nlist": vars(ivf)["nlist"], "nprobe": probes.nprobe, "n_trees": vars(annoy)["n_trees"]}
    assert ours == printed


def test_models_have_the_sizes_that_were_published() -> None:
    sizes = {
        hub_id.removeprefix("jhliu/ClinicalNoteBERT-"): cells[0]
        for (_, hub_id), cells in published.NOTE_MODELS.rows.items()
    }
    assert sizes == PARAMETERS


def test_a_figure_says_where_it_stands() -> None:
    figure = published.RETRIEVAL_MIMIC3.figure(("Sepsis", "BioBERT", "IVF"), "F1-Score")
    assert figure is not None
    assert figure.printed == "0.67 ± 0.05"
    assert figure.source.endswith("Table 2, Sepsis, BioBERT, IVF: F1-Score")
    assert published.RETRIEVAL_MIMIC3.figure(("Stroke", "BioBERT", "IVF"), "F1-Score") is None


def test_the_documents_quote_the_tables() -> None:
    text = one_line((ROOT / "docs" / "retrieval.md").read_text(encoding="utf-8"))
    for table in (published.RETRIEVAL_MIMIC3, published.RETRIEVAL_MIMIC4):
        for low, high, ceiling in as_published.ranges(table).values():
            assert f"{low.removeprefix('0')} to {high.removeprefix('0')}" in text
            assert ceiling < 0.0201 < float(low)
    recalls = [
        float(cells[1])
        for table in (published.RETRIEVAL_MIMIC3, published.RETRIEVAL_MIMIC4)
        for cells in table.rows.values()
    ]
    told = f"recall@100 of {min(recalls):.2f} to {max(recalls):.2f}".replace("0.", ".")
    assert told in (ROOT / "docs" / "fused.md").read_text(encoding="utf-8")


def test_invented_patients_have_the_papers_categories() -> None:
    ratios = {name.replace(" ", ""): ratio for (name,), (ratio,) in published.FINEEHR_CATEGORIES.rows.items()}
    assert {name.replace(" ", ""): f"{100 * rate:.2f}%" for name, (rate, _) in RATES.items()} == ratios


@pytest.mark.parametrize(
    ("hub_id", "printed"),
    [
        ("jhliu/ClinicalNoteBERT-base-note_ntp", "80.6"),
        ("jhliu/ClinicalNoteBERT-base-simcse_sentence", "79.8"),
        ("jhliu/ClinicalNoteBERT-base-note_only-simcse_segment", "14.0"),
        ("jhliu/ClinicalNoteBERT-small-simcse_note", "66.8"),
        ("jhliu/ClinicalNoteBERT-base-note_ntp-simcse_note", None),
        ("/models/mine-simcse_words", None),
        ("emilyalsentzer/Bio_ClinicalBERT", None),
    ],
)
def test_a_checkpoint_is_scored_by_what_it_was_trained_for(hub_id: str, printed: str | None) -> None:
    figure = published.of_checkpoint(hub_id)
    assert (figure.printed if figure else None) == printed


def between(text: str, start: str, end: str) -> str:
    (_, found), *more = pairwise(text.split(start))
    assert not more, f"{start!r} stands more than once"
    return found[: found.index(end)]


def lines_of(text: str, number: int) -> list[str]:
    """Return the lines of a table of the fusion paper, the headings first; its title stands twice above it."""
    title = rf"(?:Table {number}\. .+\n){{2}}"
    body = re.split(title, text)[1]
    return [
        one_line(line)
        for line in re.split(r"^(?:Table|Disclaimer)", body, flags=re.MULTILINE)[0].strip().split("\n")
    ]


def markdown(text: str) -> list[list[list[str]]]:
    """Return the tables of a Markdown text: their rows, headings first, as stripped cells."""
    return [[row for row in rows if not set("".join(row)) <= set("- ")] for rows in _blocks(text.split("\n"))]


def _blocks(lines: list[str]) -> Iterator[list[list[str]]]:
    block: list[list[str]] = []
    for line in [*lines, ""]:
        if line.startswith("|"):
            block.append([cell.strip() for cell in line.strip().strip("|").split("|")])
        elif block:
            yield block
            block = []


def plain(cell: str) -> str:
    return cell.replace("**", "")


def one_line(text: str) -> str:
    return " ".join(text.split())
