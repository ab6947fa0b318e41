"""Training `note-category`: a note's category is told from its vector, beside hidden tokens.

The head is linear, on the pooled tokens; it is left out of the result. Source: Taylor et al., 2024, arXiv:2403.19802:
the category takes the place of BERT's next sentence prediction, which stands beside the hidden tokens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cohorts.encoders.bert.checkpoints import Checkpoint
from cohorts.encoders.pooling import pool_tokens
from cohorts.encoders.pretrain import trainer as pretraining
from cohorts.encoders.pretrain.masking import Batch, Masking, masked_model, read_batch
from cohorts.errors import EncoderError


@dataclass(frozen=True)
class Settings(pretraining.Settings):
    """`mask` is the share of the tokens that are hidden and told beside the category; 0 for none."""

    mask: float = 0.15

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.mask < 1:
            raise EncoderError(f"note-category mask is {self.mask}; it is a share, from 0 to below 1.")


class NoteCategory(pretraining.Objective):
    """The objective `note-category`, by transformers' Trainer."""

    name = "note-category"
    settings: Settings

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def passages(self, checkpoint: Checkpoint, text: str, category: str | None) -> list[str]:
        """Return the note's passages of the level, where it has a category."""
        return [] if category is None else super().passages(checkpoint, text, category)

    def trainer(self, base: Path, checkpoint: Checkpoint, texts: Any, arguments: Mapping[str, Any]) -> Any:
        """Return a trainer of the checkpoint with heads for the category and for hidden tokens."""
        import torch

        names = sorted(texts.unique("category"))
        if len(names) < 2:
            raise EncoderError(
                "All notes are of one category: there is nothing to tell apart.",
                remedy="Of notes-csv, map the column: id=…, text=…, category=….",
                hint="category_column",
            )
        number = {name: place for place, name in enumerate(names)}
        masking = Masking(checkpoint.tokenizer, self.settings.mask, self.settings.seed)
        model = masked_model(base)
        model.category = torch.nn.Linear(checkpoint.width, len(names))

        def collate(rows: Sequence[Mapping[str, str]]) -> Batch:
            wanted = torch.tensor([number[row["category"]] for row in rows])
            return {**masking([row["text"] for row in rows]), "category": wanted}

        return pretraining.trainer_by(self._loss, model, collate, texts, arguments)

    def _loss(self, model: Any, batch: Batch) -> Any:
        from torch.nn.functional import cross_entropy

        wanted = batch.pop("category")
        hidden, told = read_batch(model, batch)
        pooled = pool_tokens(hidden, batch["attention_mask"], self.settings.pooling)
        return cross_entropy(model.category(pooled).float(), wanted) + told
