"""Raw notes to unit vectors on one core: cleaning, and sparse pooling against a Python mean, in one run.

Texts are the transcriptions of mtsamples beside the checkout, else synthetic notes, and called so. Bars: the sparse
product pools at least 5 times as many notes per second as `KeyedVectors.get_mean_vector`; cleaning with words 8 MB/s.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from cohorts.encoders.word2vec import Settings, Word2Vec
from cohorts.records.base import Batch, Report, Unit
from cohorts.records.cleaning import clean, sentences, words
from cohorts.records.synth import synthesize
from gensim.models import KeyedVectors
from safetensors.numpy import load_file

ROUNDS = 3
MTSAMPLES = Path(__file__).resolve().parents[2] / "shared" / "data" / "mtsamples" / "mtsamples.csv.gz"


class Notes:
    """A source of notes, one patient each."""

    name = "texts"
    unit = Unit.PATIENT
    fingerprint = "texts"

    def __init__(self, texts: list[str], *, synthetic: bool) -> None:
        ids = [str(row) for row in range(len(texts))]
        self.synthetic = synthetic
        self.report = Report(counts={"notes": len(texts)})
        notes = pd.DataFrame({"unit_id": ids, "text": texts})
        self.batch = Batch(pd.DataFrame({"unit_id": ids}), pd.DataFrame(), notes, pd.DataFrame())

    def batches(self) -> Iterator[Batch]:
        """Yield all of it."""
        yield self.batch


def texts(folder: Path) -> Notes:
    """Return the notes to measure on."""
    if MTSAMPLES.is_file():
        return Notes(list(pd.read_csv(MTSAMPLES)["text"].dropna()), synthetic=False)
    synthesize(folder, 500, seed=2026)
    return Notes(list(pd.read_csv(folder / "NOTEEVENTS.csv")["TEXT"].dropna()), synthetic=True)


def keyed_vectors(encoder: Word2Vec, folder: Path) -> KeyedVectors:
    """Return the encoder's words and weights as gensim holds them."""
    encoder.save(folder)
    weights = load_file(folder / "model.safetensors")["embedding"]
    vectors = KeyedVectors(encoder.dim)
    vectors.add_vectors(encoder.vocabulary, weights)
    return vectors


def seconds(work: Callable[[], object]) -> float:
    """Return the median processor time of one run, all threads together."""
    spent = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        spent.append(time.process_time() - began)
    return statistics.median(spent)


def main() -> int:
    """Run it and print the ratios."""
    with tempfile.TemporaryDirectory() as name:
        source = texts(Path(name) / "hospital")
        encoder = Word2Vec(Settings()).fit(source)
        vectors = keyed_vectors(encoder, Path(name) / "encoder")
    notes = list(source.batch.notes["text"])
    tokens = [words(clean(text)) for text in notes]

    def mean_of_each() -> np.ndarray:
        return np.array(
            [vectors.get_mean_vector(note, pre_normalize=False, post_normalize=True) for note in tokens]
        )

    def sparse() -> np.ndarray:
        return encoder.pool(enumerate(tokens), len(tokens))

    np.testing.assert_allclose(sparse(), mean_of_each(), atol=1e-4)
    size = sum(len(text.encode()) for text in notes) / 1e6
    as_words = size / seconds(lambda: [words(clean(text)) for text in notes])
    as_sentences = size / seconds(
        lambda: [[words(part) for part in sentences(clean(text))] for text in notes]
    )
    pooled, plain = len(notes) / seconds(sparse), len(notes) / seconds(mean_of_each)
    whole = len(notes) / seconds(lambda: encoder.encode(source.batch))
    print(
        f"{'synthetic notes' if source.synthetic else 'mtsamples'}: {len(notes):,}, {size:.1f} MB, one core"
    )
    print(f"cleaning and words {as_words:.1f} MB/s; cleaning, sentences and words {as_sentences:.1f} MB/s")
    print(
        f"words to vectors: sparse {pooled:,.0f} notes/s, Python mean {plain:,.0f}: {pooled / plain:.1f} times"
    )
    print(f"raw text to vectors: {whole:,.0f} notes/s")
    return int(pooled < 5 * plain or as_words < 8)


if __name__ == "__main__":
    sys.exit(main())
