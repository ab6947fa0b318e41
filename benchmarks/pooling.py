"""Raw notes to unit vectors on one core: cleaning, and sparse pooling against a Python mean, in one run.

Texts are synthetic notes, and the transcriptions of mtsamples where they stand beside the checkout. Bars: the sparse
product pools at least 5 times as many notes per second as `KeyedVectors.get_mean_vector`; on mtsamples, cleaning
with words 8 MB/s; on synthetic notes, of some 500 characters, raw text to vectors 8,000 notes/s.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from cohorts.encoders.fineehr.note_vectors import note_vectors
from cohorts.encoders.word2vec import Settings, Word2Vec
from cohorts.records.base import Batch, Report, Unit
from cohorts.records.notes.cleaning import clean, sentences, words
from cohorts.records.synthetic.hospital import synthesize
from gensim.models import KeyedVectors
from safetensors.numpy import load_file

ROUNDS = 3
MTSAMPLES = Path(__file__).resolve().parents[2] / "shared" / "data" / "mtsamples" / "mtsamples.csv.gz"


class Notes:
    """A source of notes, one patient each."""

    name = "texts"
    unit = Unit.PATIENT
    fingerprint = "texts"
    work_dir = Path(tempfile.gettempdir())
    has_notes = has_codes = True

    def __init__(self, texts: list[str], *, synthetic: bool) -> None:
        ids = [str(row) for row in range(len(texts))]
        self.synthetic = synthetic
        self.report = Report(counts={"notes": len(texts)})
        notes = pd.DataFrame({"unit_id": ids, "text": texts}).assign(
            admission_id=None, category=None, time=pd.NaT
        )
        self.batch = Batch(pd.DataFrame({"unit_id": ids}), pd.DataFrame(), notes, pd.DataFrame())

    def batches(self) -> Iterator[Batch]:
        """Yield all of it."""
        yield self.batch


def texts(folder: Path) -> Iterator[Notes]:
    """Yield the notes to measure on."""
    synthesize(folder, 1_500, seed=2026)
    yield Notes(list(pd.read_csv(folder / "NOTEEVENTS.csv")["TEXT"].dropna()), synthetic=True)
    if MTSAMPLES.is_file():
        yield Notes(list(pd.read_csv(MTSAMPLES)["text"].dropna()), synthetic=False)


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


def measure(source: Notes, folder: Path) -> bool:
    """Measure on these notes, print the ratios, and tell whether a bar is missed."""
    encoder = Word2Vec(Settings(pooling="mean")).fit(source)
    vectors = keyed_vectors(encoder, folder)
    notes = list(source.batch.notes["text"])
    tokens = [words(clean(text)) for text in notes]

    def mean_of_each() -> np.ndarray:
        return np.array(
            [vectors.get_mean_vector(note, pre_normalize=False, post_normalize=True) for note in tokens]
        )

    def sparse() -> np.ndarray:
        return encoder.pool(enumerate(map(encoder.places, tokens)), len(tokens))

    np.testing.assert_allclose(sparse(), mean_of_each(), atol=1e-4)
    size = sum(len(text.encode()) for text in notes) / 1e6
    as_words = size / seconds(lambda: [words(clean(text)) for text in notes])
    as_sentences = size / seconds(
        lambda: [[words(part) for part in sentences(clean(text))] for text in notes]
    )
    pooled, plain = len(notes) / seconds(sparse), len(notes) / seconds(mean_of_each)
    loaded = Word2Vec.load(folder)  # has read none of these notes
    whole, learnt = (
        len(notes) / seconds(lambda one=one: note_vectors(source.batch, one)) for one in (loaded, encoder)
    )
    print(
        f"{'synthetic notes' if source.synthetic else 'mtsamples'}: {len(notes):,}, {size:.1f} MB, one core"
    )
    print(f"cleaning and words {as_words:.1f} MB/s; cleaning, sentences and words {as_sentences:.1f} MB/s")
    print(
        f"words to vectors: sparse {pooled:,.0f} notes/s, Python mean {plain:,.0f}: {pooled / plain:.1f} times"
    )
    print(f"raw text to vectors: {whole:,.0f} notes/s; of notes that were learnt from {learnt:,.0f}")
    return pooled < 5 * plain or (whole < 8_000 if source.synthetic else as_words < 8)


def main() -> int:
    """Run it on all notes there are."""
    with tempfile.TemporaryDirectory() as name:
        return max(
            int(measure(source, Path(name) / str(place)))
            for place, source in enumerate(texts(Path(name) / "hospital"))
        )


if __name__ == "__main__":
    sys.exit(main())
