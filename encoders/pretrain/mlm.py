"""Training `mlm`: 15 % of the tokens are hidden, and told from the rest.

Source: Devlin et al., BERT (2019), section 3.1, task 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cohorts.encoders.bert.checkpoints import Checkpoint
from cohorts.encoders.pretrain import trainer as pretraining
from cohorts.encoders.pretrain.masking import Masking, masked_model
from cohorts.errors import EncoderError


@dataclass(frozen=True)
class Settings(pretraining.Settings):
    """`mask` is the share of the tokens that are to be told."""

    mask: float = 0.15

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.mask < 1:
            raise EncoderError(f"mlm mask is {self.mask}; it is a share, above 0 and below 1.")


class Mlm(pretraining.Objective):
    """The objective `mlm`, by transformers' Trainer."""

    name = "mlm"
    settings: Settings

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def trainer(self, base: Path, checkpoint: Checkpoint, texts: Any, arguments: Mapping[str, Any]) -> Any:
        """Return a trainer of the checkpoint with its head, a new one where it has none."""
        from transformers import Trainer, TrainingArguments

        masking = Masking(checkpoint.tokenizer, self.settings.mask, self.settings.seed)
        told = TrainingArguments(**arguments, remove_unused_columns=False)
        return Trainer(masked_model(base), told, lambda rows: masking([row["text"] for row in rows]), texts)
