"""Texts to batches of token ids, a share of them hidden; and what a model says of such a batch.

Source: Devlin et al., BERT (2019), section 3.1, task 1.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Batch = dict[str, Any]


class Masking:
    """Hides a share of the tokens of texts: always the same ones for the same texts in the same order.

    Batches are drawn ahead of the step, so random numbers of the run itself would be others after a stop.
    """

    def __init__(self, tokenizer: Any, share: float, seed: int) -> None:
        from transformers import DataCollatorForLanguageModeling, DataCollatorWithPadding

        self._tokenizer, self._seed = tokenizer, seed
        self._pad = DataCollatorWithPadding(tokenizer)
        self._hide = (
            DataCollatorForLanguageModeling(tokenizer, mlm_probability=share, seed=seed) if share else None
        )

    def plain(self, texts: Sequence[str]) -> Batch:
        """Return `input_ids` and `attention_mask`, (n, tokens)."""
        return dict(self._pad(self._cut(texts)))

    def __call__(self, texts: Sequence[str]) -> Batch:
        """Return the same with hidden tokens, and `labels`: these tokens, -100 elsewhere. A share of 0 hides none."""
        import torch

        if self._hide is None:
            return self.plain(texts)
        self._hide.generator = torch.Generator().manual_seed(seed_of(self._seed, texts))
        return dict(self._hide(self._cut(texts, return_special_tokens_mask=True)))

    def _cut(self, texts: Sequence[str], **more: bool) -> list[dict[str, Any]]:
        cut = self._tokenizer(list(texts), truncation=True, **more)
        return [{name: cut[name][row] for name in cut} for row in range(len(texts))]


def seed_of(seed: int, texts: Sequence[str]) -> int:
    """Return a seed that is these texts' own."""
    told = "\0".join([str(seed), *texts]).encode(errors="surrogatepass")
    return int.from_bytes(hashlib.blake2b(told, digest_size=7).digest())


def masked_model(base: Path) -> Any:
    """Return the checkpoint in a folder with its head for hidden tokens, a new one where it has none."""
    from transformers import AutoModelForMaskedLM

    return AutoModelForMaskedLM.from_pretrained(base, local_files_only=True, weights_only=True)


def read_batch(model: Any, batch: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return the last hidden states, (n, tokens, width), and the loss of the hidden tokens, 0 where none is hidden."""
    if "labels" not in batch:
        return model.base_model(**batch).last_hidden_state, 0.0
    read = model(**batch, output_hidden_states=True)
    return read.hidden_states[-1], read.loss
