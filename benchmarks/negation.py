"""What a text negates: is it better taken out of what is encoded, and left out by a filter? SYNTHETIC data.

Every pair of phenotypes is asked by `ONE, no history of OTHER`, in the phenotypes' own words, in three ways: as it is
written; with what is negated taken out of the text; and so with a filter on the codes too, as `cohorts query --text`
does. Asked by the product with exact search. Right are those of the first ten who have ONE, and have no OTHER.

    python benchmarks/negation.py [--patients N] [--encoder SPEC]

Prints the share that is right, of those with ONE at all, and of those with OTHER, and each step's gain with a 95 %
bootstrap interval over pairs. Exits 1 where taking out hurts with confidence, or all of it does not help with it.
"""

import argparse
import sys
import tempfile
from itertools import permutations
from pathlib import Path

import cohorts
import numpy as np
from cohorts.measures.intervals import of_mean
from cohorts.records.codes.phenotypes import load_phenotypes
from cohorts.search.negation import without_negated

K = 10


def main() -> int:
    """Run it and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=2_000)
    parser.add_argument("--encoder", default="concat:lsa+codes")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        hospital = cohorts.synthesize(Path(name) / "hospital", given.patients, seed=1)
        with (
            cohorts.open_source("mimic3", hospital) as source,
            cohorts.connect(f"qdrant:{name}/store") as store,
        ):
            asked = cohorts.ingest(source, given.encoder, store, index="flat")
            ways = {"as written": [], "taken out": [], "taken out, and filtered": []}
            for one, other in permutations(load_phenotypes(), 2):
                text = f"{one.title.lower()}, no history of {other.terms[0]}"
                answers = (
                    asked.like_text(text, K, as_written=True),
                    asked.like_text(without_negated(text), K, as_written=True),
                    asked.like_text(text, K),
                )
                for way, found in zip(ways, answers, strict=True):
                    has = [
                        ({one.name} <= {*hit.payload["phenotypes"]}, other.name in hit.payload["phenotypes"])
                        for hit in found
                    ]
                    ways[way].append([np.mean([a and not b for a, b in has]), *np.mean(has, axis=0)])
    rng, rows = np.random.default_rng(0), {way: np.array(values) for way, values in ways.items()}
    print(
        f"synthetic, {given.patients:,} patients, {given.encoder}, {len(rows['as written'])} pairs of phenotypes"
    )
    for way, values in rows.items():
        right, one, other = values.mean(axis=0)
        low, high = of_mean(values[:, 0], rng)
        print(
            f"{way:24} right {right:.3f} ({low:.3f} to {high:.3f}), with ONE {one:.3f}, with OTHER {other:.3f}"
        )
    taken, both = (rows[way][:, 0] - rows["as written"][:, 0] for way in (*ways,)[1:])
    of_taken, of_both = of_mean(taken, rng), of_mean(both, rng)
    print(f"gain of taking out {taken.mean():+.3f} ({of_taken[0]:+.3f} to {of_taken[1]:+.3f})")
    print(f"gain of both       {both.mean():+.3f} ({of_both[0]:+.3f} to {of_both[1]:+.3f})")
    return int(of_taken[1] < 0 or of_both[0] <= 0)


if __name__ == "__main__":
    sys.exit(main())
