"""Training `mlm`: 15 % of the tokens are hidden, and told from the rest.

Source: Devlin et al., BERT (2019), section 3.1, task 1.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cohorts.encoders import pretraining
from cohorts.encoders.checkpoints import Checkpoint
from cohorts.errors import EncoderError


@dataclass(frozen=True)
class Settings(pretraining.Settings):
    """`mask` is the share of the tokens that are to be told."""

    mask: float = 0.15

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.mask < 1:
            raise EncoderError(f"mlm mask is {self.mask}; it is a share, above 0 and below 1.")


class Mlm:
    """The objective `mlm`, by transformers' Trainer."""

    name = "mlm"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def trainer(self, base: Path, checkpoint: Checkpoint, texts: Any, arguments: Mapping[str, Any]) -> Any:
        """Return a trainer of the checkpoint with its head, a new one where it has none."""
        from transformers import AutoModelForMaskedLM, Trainer, TrainingArguments

        model = AutoModelForMaskedLM.from_pretrained(base, local_files_only=True, weights_only=True)
        told = TrainingArguments(**arguments, remove_unused_columns=False)
        return Trainer(model, told, _Masked(checkpoint.tokenizer, self.settings), texts)

    def body(self, trainer: Any) -> Any:
        """Return the model without its head."""
        return trainer.model.base_model


class _Masked:
    """Texts to a batch with hidden tokens: always the same ones for the same texts in the same order.

    Batches are drawn ahead of the step, so random numbers of the run itself would be others after a stop.
    """

    def __init__(self, tokenizer: Any, settings: Settings) -> None:
        from transformers import DataCollatorForLanguageModeling

        self._tokenizer, self._seed = tokenizer, settings.seed
        self._collate = DataCollatorForLanguageModeling(
            tokenizer, mlm_probability=settings.mask, seed=settings.seed
        )

    def __call__(self, rows: Sequence[Mapping[str, str]]) -> Any:
        import torch

        texts = [row["text"] for row in rows]
        told = "\0".join([str(self._seed), *texts]).encode(errors="surrogatepass")
        number = int.from_bytes(hashlib.blake2b(told, digest_size=7).digest())
        self._collate.generator = torch.Generator().manual_seed(number)
        cut = self._tokenizer(texts, truncation=True, return_special_tokens_mask=True)
        return self._collate([{name: cut[name][row] for name in cut} for row in range(len(texts))])
