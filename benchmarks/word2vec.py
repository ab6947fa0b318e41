"""Word2Vec by one thread and by two, from a file of sentences as we train it, and from Python's own lines of it.

Texts are reports of mtsamples, their sentences dealt anew; without mtsamples beside the checkout nothing is measured.
Of each the fastest of some interleaved rounds: elapsed time, and processor time of all threads together.
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from cohorts.encoders.word2vec import Settings
from cohorts.records.notes.cleaning import clean, sentences, words
from gensim.models import Word2Vec
from gensim.models.word2vec import LineSentence
from lsa import dealt
from pooling import MTSAMPLES

MEGABYTES = 10
ROUNDS = 3


def trained(corpus: Path, way: str, workers: int) -> tuple[float, float]:
    """Train with our defaults; return elapsed and processor seconds."""
    asked = Settings()
    model = Word2Vec(
        vector_size=asked.dim,
        window=asked.window,
        min_count=asked.min_count,
        seed=asked.seed,
        workers=workers,
    )
    given: dict[str, Any] = (
        {"corpus_file": str(corpus)} if way == "file" else {"corpus_iterable": LineSentence(str(corpus))}
    )
    model.build_vocab(**given)
    began, spent = time.perf_counter(), time.process_time()
    model.train(
        **given,
        total_examples=model.corpus_count,
        total_words=model.corpus_total_words,
        epochs=asked.epochs,
    )
    return time.perf_counter() - began, time.process_time() - spent


def main() -> int:
    """Run it and print the ratios."""
    if not MTSAMPLES.is_file():
        print("mtsamples is not beside the checkout: nothing is measured.")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "words"
        with corpus.open("w") as stream:
            for text in dealt(MEGABYTES):
                stream.writelines(" ".join(words(part)) + "\n" for part in sentences(clean(text)))
        runs = [(way, workers) for way in ("file", "lines") for workers in (1, 2)]
        taken: dict[tuple[str, int], list[tuple[float, float]]] = {run: [] for run in runs}
        for _ in range(ROUNDS):
            for way, workers in runs:
                taken[way, workers].append(trained(corpus, way, workers))
    best = {run: tuple(min(times) for times in zip(*of_run, strict=True)) for run, of_run in taken.items()}
    print(f"CBOW, {MEGABYTES} MB of notes, {Settings().epochs} epochs, best of {ROUNDS}:")
    for (way, workers), (elapsed_s, cpu_s) in best.items():
        print(
            f"  {way:5} {workers} worker{'s' if workers > 1 else ' '}  {elapsed_s:5.1f} s, {cpu_s:5.1f} s of cores; "
            f"{best['file', 1][0] / elapsed_s:.2f} times as fast as one worker from the file"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
