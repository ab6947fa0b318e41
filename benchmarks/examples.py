"""Half of a phenotype's patients as examples: how many of the first 100 found are of the other half? SYNTHETIC data.

Of every phenotype of a synthetic hospital one half of its patients, drawn at random, are the examples, and none of them
an answer; the other half is to be found among all other patients. The encoder and the baselines never see the codes
that define or imply a phenotype, nor its mentions in notes. Asked by the product (`of_question`, exact search): the
mean of the examples as many examples are asked by (less what everybody has in common), their plain mean, and the best
of them (`--any`). Beside them each example alone: the one that finds most of the other examples, which is what can be
chosen by, and the one that finds most of what is to be found, which nobody knows who has to ask; codes in common and
BM25 of every example, fused as a mean, as the best, and as a mean less that of everybody (the same share of it).

    python benchmarks/examples.py [--patients N] [--seeds N] [--encoder SPEC]

Prints P@100 of every way, and the mean's lead over each other with a 95 % bootstrap interval over phenotypes and seeds.
Exits 1 where the mean's lead over a single example, codes in common or BM25 is not above 0 with confidence.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from cohorts.connectors.base import Collection, Points
from cohorts.connectors.index import Flat
from cohorts.connectors.memory import MemoryConnector
from cohorts.connectors.padding import PADDING, as_questions
from cohorts.encoders.base import padding_of
from cohorts.encoders.registry import make_encoder
from cohorts.harness.evaluate.data.words import Bm25
from cohorts.harness.evaluate.retrieval.population import Population, read_patients
from cohorts.harness.evaluate.retrieval.scorers import ByCodes, Seen
from cohorts.measures.intervals import of_mean
from cohorts.records.sources.registry import open_source
from cohorts.records.synthetic.hospital import synthesize
from cohorts.records.withheld import WithheldSource, parse_withheld
from cohorts.search.contrast import share_taken
from cohorts.search.neighbours import of_question
from cohorts.search.question import Question, examples_of

K, LEAST = 100, 20  # found; members of a phenotype
MEAN, PLAIN, ANY = "the examples", "plain mean", "any of them"
BEST, ORACLE, TYPICAL = "best by examples", "best by the answer", "a single example"
OF_RECORDS = [f"{name}, {how}" for name in ("codes", "BM25") for how in ("mean", "any", "contrast")]
BAR = (BEST, ORACLE, *(name for name in OF_RECORDS if not name.endswith("contrast")))
UNSEEN = 1  # the first seed of a hospital that nothing was chosen on: seed 0 told the 5 of search/contrast.py


def store(ids: list[str], vectors: Any, padding: int | None) -> MemoryConnector:
    """Return an exact engine that holds the vectors."""
    connector, filled = MemoryConnector(), np.flatnonzero(vectors.any(axis=1))
    metadata = {} if padding is None else {PADDING: padding}
    connector.create(Collection("c", vectors.shape[1], Flat(), {}, metadata))
    payloads = [dict[str, Any]()] * len(filled)
    connector.upsert("c", Points([ids[row] for row in filled], vectors[filled], payloads))
    return connector


def share(scores: Any, own: Any, wanted: Any) -> float:
    """Return P@100 of the order by scores (n,), without the examples' own rows; what is as like stays in its order."""
    scores = np.where(own, -np.inf, scores)
    return float(wanted[np.argsort(-scores, kind="stable")[:K]].mean())


def measured(folder: Path, patients: int, seed: int, spec: str) -> Iterator[dict[str, Any]]:
    """Yield P@100 of every way for every phenotype of one hospital."""
    synthesize(folder / "hospital", patients, seed=seed)
    bad = folder / "bad.csv"
    with open_source("mimic3", folder / "hospital", work_dir=folder, quarantine_file=bad) as source:
        population = read_patients(source)
        seen = WithheldSource(source, parse_withheld("all", text=True))
        encoder = make_encoder(spec).fit(seen)
        vectors = np.concatenate([encoder.encode(batch) for batch in seen.batches()])
        read = Seen.read(seen)
    asked = as_questions(vectors, padding_of(encoder))
    cosines: Callable[[Any], Any] = lambda rows: asked[rows] @ vectors.T  # noqa: E731
    by_codes, by_words = ByCodes(read.codes).jaccard, Bm25(read.words).similarity
    sample = np.random.default_rng(seed).permutation(len(population))[:1_000]
    codes, words = by_codes(sample).mean(axis=0), by_words(sample).mean(axis=0)
    with store(population.ids, vectors, padding_of(encoder)) as connector:
        for place, name in enumerate(population.cohorts):
            members = np.flatnonzero(population.member[:, place])
            if len(members) < LEAST:
                continue
            half = np.random.default_rng([seed, place]).permutation(members)[: len(members) // 2]
            own = np.isin(np.arange(len(population)), half)
            wanted = population.member[:, place] & ~own
            rows = cosines(half)
            alone = [share(row, own, wanted) for row in rows]
            others = [
                share(row, np.arange(len(own)) == one, own) for one, row in zip(half, rows, strict=True)
            ]
            row = {"seed": seed, "phenotype": name, "examples": len(half), "to find": int(wanted.sum())}
            row |= {"chance": wanted.sum() / (~own).sum(), "at most": min(1, wanted.sum() / K)}
            for title, how in ((MEAN, {}), (PLAIN, {"contrast": False}), (ANY, {"any_of": True})):
                row[title] = found(connector, population, half, wanted, **how)
            row |= {BEST: alone[int(np.argmax(others))], ORACLE: max(alone), TYPICAL: float(np.mean(alone))}
            taken = share_taken(np.ones(len(half)))
            for title, scores, of in (("codes", by_codes, codes), ("BM25", by_words, words)):
                mine = scores(half)
                row[f"{title}, mean"] = share(mine.mean(axis=0), own, wanted)
                row[f"{title}, any"] = share(mine.max(axis=0), own, wanted)
                row[f"{title}, contrast"] = share(mine.mean(axis=0) - taken * of, own, wanted)
            yield row


def found(connector: MemoryConnector, population: Population, half: Any, wanted: Any, **how: bool) -> float:
    """Return P@100 of the product's own answer."""
    examples = examples_of([population.ids[row] for row in half])
    hits = of_question(connector, "c", Question(examples=examples, k=K, **how)).hits
    of = dict(zip(population.ids, wanted, strict=True))
    return float(np.mean([of[hit.id] for hit in hits]))


def main() -> int:
    """Run it and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=3_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--encoder", default="concat:lsa+codes")
    given = parser.parse_args()
    rows = []
    for seed in range(UNSEEN, UNSEEN + given.seeds):
        with tempfile.TemporaryDirectory() as name:
            rows += measured(Path(name), given.patients, seed, given.encoder)
    table = pd.DataFrame(rows)
    ways = list(table.columns[4:])
    print(
        f"synthetic, {given.patients:,} patients, {given.seeds} seeds, {given.encoder}, phenotypes withheld"
    )
    print(table.groupby("phenotype")[["examples", "to find", *ways]].mean().round(3).to_string())
    missed = False
    rng = np.random.default_rng(0)
    for way in ways:
        values = table[way].to_numpy(np.float64)
        low, high = of_mean(values, rng)
        line = f"{way:22} P@{K} {values.mean():.3f} ({low:.3f} to {high:.3f})"
        if way not in (MEAN, "chance", "at most"):
            lead = table[MEAN].to_numpy(np.float64) - values
            low, high = of_mean(lead, rng)
            missed |= way in BAR and low <= 0
            line += f"; the mean's lead {lead.mean():+.3f} ({low:+.3f} to {high:+.3f}), n = {len(lead)}"
        print(line)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
