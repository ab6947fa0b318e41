"""What encoders have to beat in every table of neighbours: codes in common, age and sex, BM25 and TF-IDF.

All are of one view of a source: what is withheld from the view is withheld from them.
"""

from collections.abc import Iterator, Sequence

from cohorts.harness.evaluate.data.text_baselines import TfIdf
from cohorts.harness.evaluate.data.tfidf import text_counts, tfidf, word_counts
from cohorts.harness.evaluate.data.words import Bm25, WordCounter
from cohorts.harness.evaluate.retrieval.population import Rows
from cohorts.harness.evaluate.retrieval.scorers import OF_CODES, OF_NOTES, ByVectors, Scorer, Seen
from cohorts.records.base import Source

TFIDF = TfIdf.name


def scorers_of(view: Source) -> dict[str, Scorer]:
    """Return the baselines that learn from nobody, by name: of codes where the view has any, and BM25."""
    seen = Seen.read(view)
    known = (OF_CODES if seen.has_codes else {}) | OF_NOTES
    return {name: make(seen) for name, make in known.items()}


class Baselines:
    """All of them, the same for every split but for the weights of TF-IDF; `notes` (n,) are a note of each unit."""

    def __init__(self, view: Source, notes: Sequence[str]) -> None:
        self._counts, self._asked = word_counts(view), text_counts([text] for text in notes)
        words = WordCounter().add(notes).counts()
        self._fixed = [
            (name, scorer, scorer.asked_by(words) if isinstance(scorer, Bm25) else None)
            for name, scorer in scorers_of(view).items()
        ]

    def learnt_from(self, training: Rows) -> Iterator[tuple[str, Scorer, Scorer | None]]:
        """Yield names, what ranks, and what ranks for the notes alone, None where these can't ask.

        TF-IDF has the weights of words among the units in `training`.
        """
        yield from self._fixed
        learnt = self._counts[training]
        vectors = tfidf(learnt, self._counts)
        yield TFIDF, ByVectors(vectors), ByVectors(vectors, tfidf(learnt, self._asked))
