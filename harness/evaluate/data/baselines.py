"""What encoders have to beat in every table of neighbours: codes in common, age and sex, BM25 and TF-IDF.

All are of one view of a source: what is withheld from the view is withheld from them.
"""

from collections.abc import Iterator, Sequence

from cohorts.harness.evaluate.data.words import Bm25, TfIdf, WordCounter
from cohorts.harness.evaluate.retrieval.population import Rows
from cohorts.harness.evaluate.retrieval.scorers import OF_CODES, OF_NOTES, ByVectors, Scorer, Seen


def scorers_of(seen: Seen) -> dict[str, Scorer]:
    """Return the baselines that learn from nobody, by name: of codes where there are any, and BM25."""
    known = (OF_CODES if seen.has_codes else {}) | OF_NOTES
    return {name: make(seen) for name, make in known.items()}


class Baselines:
    """All of them, the same for every split but for the weights of TF-IDF; `notes` (n,) are a note of each unit."""

    def __init__(self, seen: Seen, notes: Sequence[str]) -> None:
        self._seen, self._asked = seen, WordCounter().add(notes).counts()
        self._fixed = [
            (name, scorer, scorer.asked_by(self._asked) if isinstance(scorer, Bm25) else None)
            for name, scorer in scorers_of(seen).items()
        ]

    def learnt_from(self, training: Rows) -> Iterator[tuple[str, Scorer, Scorer | None]]:
        """Yield names, what ranks, and what ranks for the notes alone, None where these can't ask."""
        yield from self._fixed
        learnt = TfIdf().learn(self._seen.words, training)
        vectors = learnt.weigh(self._seen.words)
        yield TfIdf.name, ByVectors(vectors), ByVectors(vectors, learnt.weigh(self._asked))
