"""Precision and neighbour recall on the synthetic hospital, on both embedded engines. Exits 1 where a bar is missed.

Bars: precision@10 for a shared principal phenotype at least 3 times its base rate; recall@10 against exact search
at least .99. Everything printed is synthetic data.
"""

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path
from threading import Event

import numpy as np
from cohorts.connectors.base import Connector, Points
from cohorts.connectors.index import SearchParams
from cohorts.connectors.registry import connect
from cohorts.encoders.registry import make_encoder
from cohorts.loaders.journal.journal import Journal
from cohorts.loaders.lease import Lease
from cohorts.loaders.load import Load, Summary
from cohorts.loaders.points.records import EncodedRecords, train
from cohorts.loaders.targets import LoadRequest
from cohorts.records.sources.registry import open_source
from cohorts.records.synthetic.hospital import synthesize

K = 10
SEARCH = SearchParams(ef_search=128)


def silent(stage: str, units: int, expected: int | None = None, /) -> None:
    """Show no progress."""


def everything(connector: Connector) -> Points:
    """Return all points of the collection."""
    pages = list(connector.scroll("icu"))
    ids = [one for page in pages for one in page.ids]
    payloads = [one for page in pages for one in page.payloads]
    return Points(ids, np.concatenate([page.vectors for page in pages]), payloads)


def measure(connector: Connector, held: Points, truth: np.ndarray) -> tuple[float, float]:
    """Return precision@10 by principal phenotype and tie-safe recall@10 against exact search.

    `truth` is (n,): the similarity of each point's 10th neighbour by exact search, itself left out.
    """
    place = {one: row for row, one in enumerate(held.ids)}
    phenotype = [row["phenotype"] for row in held.payloads]
    same, near = [], []
    for start in range(0, len(held.ids), 500):
        rows = range(start, min(start + 500, len(held.ids)))
        found = connector.search("icu", held.vectors[start : start + 500], K + 1, params=SEARCH)
        for row, hits in zip(rows, found.hits, strict=True):
            others = [place[hit.id] for hit in hits if hit.id != held.ids[row]][:K]
            scores = held.vectors[others] @ held.vectors[row]
            near.append((scores >= truth[row] - 1e-6).sum() / K)
            if phenotype[row]:
                same.append(sum(phenotype[other] == phenotype[row] for other in others) / K)
    return float(np.mean(same)), float(np.mean(near))


def tenth_similarity(vectors: np.ndarray) -> np.ndarray:
    """Return (n,): the similarity of each row's 10th neighbour, itself left out."""
    scores = [
        np.partition(block @ vectors.T, -K - 1, axis=1)[:, -K - 1] for block in np.array_split(vectors, 20)
    ]
    return np.concatenate(scores)


def fill(origin: EncodedRecords, connector: Connector, folder: Path) -> None:
    """Load the origin's units into collection icu."""
    with Journal(folder / "journal.sqlite") as journal, Lease(connector, journal.id, None) as lease:
        Load(origin, connector, LoadRequest("icu"), journal, lease, {}, Summary(), silent, Event()).run()


def base_rate(held: Points) -> float:
    """Return the chance that a random other patient shares a patient's principal phenotype."""
    counts = Counter(row["phenotype"] for row in held.payloads if row["phenotype"])
    known = sum(counts.values())
    return sum(count * (count - 1) for count in counts.values()) / (known * (len(held.ids) - 1))


def main() -> int:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=5_000)
    parser.add_argument("--encoder", default="word2vec")
    arguments = parser.parse_args()
    missed = False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        synthesize(folder / "hospital", arguments.patients, seed=2026)
        with open_source(
            "mimic3", folder / "hospital", work_dir=folder, quarantine_file=folder / "bad.csv"
        ) as source:
            encoder = make_encoder(arguments.encoder)
            train(source, encoder, Summary(), silent)
            for store in (f"qdrant:{folder}/qdrant", f"milvus:{folder}/milvus.db", "memory:"):
                with connect(store) as connector:
                    fill(EncodedRecords(source, encoder), connector, folder / connector.abilities.engine)
                    held = everything(connector)
                    precision, recall = measure(connector, held, tenth_similarity(held.vectors))
                base = base_rate(held)
                missed |= precision < 3 * base or recall < 0.99
                engine = connector.abilities.engine
                print(
                    f"synthetic, {len(held.ids):,} patients, {arguments.encoder}, {engine:11}: precision@{K} "
                    f"{precision:.3f}, base rate {base:.3f} ({precision / base:.1f} times), recall@{K} {recall:.4f}"
                )
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
