"""Tiny BERT checkpoints, made in a second: the vocabulary of some texts, and random weights."""

import re
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import torch
from transformers import BertConfig, BertModel

WORDS = 1_900


def make_checkpoint(
    folder: Path,
    texts: Iterable[str],
    *,
    cased: bool = True,
    seed: int = 0,
    width: int = 64,
    positions: int = 512,
    spread: float = 0.02,
) -> Path:
    """Write config, vocabulary and safetensors; no tokenizer_config.json, as the published clinical checkpoints.

    `spread` is the standard deviation of the weights: of BERT's own, all texts have nearly the same vector.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(re.findall(r"\w+|[^\w\s]", text if cased else text.lower()))
    letters = sorted({letter for word in counts for letter in word})
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    pieces += [word for word, _ in counts.most_common(WORDS) if len(word) > 1]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(pieces),
        hidden_size=width,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=2 * width,
        max_position_embeddings=positions,
        initializer_range=spread,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


def in_cache(folder: Path, cache: Path, name: str) -> None:
    """Lay a checkpoint into a Hugging Face cache as a download would."""
    place = cache / f"models--{name.replace('/', '--')}"
    shutil.copytree(folder, place / "snapshots" / "abc")
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("abc")
