"""Training `simcse`: a text is drawn to itself under another dropout, and away from the rest of its batch.

Source: Gao et al., SimCSE (2021), section 3; sentences, segments and notes as texts: ClinicalNoteBERT. Its further
layer on [CLS] while training is left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cohorts.encoders.bert.checkpoints import Checkpoint
from cohorts.encoders.pretrain import trainer as pretraining
from cohorts.errors import EncoderError


@dataclass(frozen=True)
class Settings(pretraining.Settings):
    """`temperature` is that of InfoNCE: the lower, the more the nearest negatives count, of `batch` less one."""

    batch: int = 64
    temperature: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.temperature > 0:
            raise EncoderError(f"simcse temperature is {self.temperature}; it is above 0.")
        if self.batch < 2:
            raise EncoderError("simcse batch is 1; a text needs another one to be drawn away from.")


class Simcse(pretraining.Objective):
    """The objective `simcse`, by SentenceTransformerTrainer."""

    name = "simcse"
    settings: Settings

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def trainer(self, base: Path, checkpoint: Checkpoint, texts: Any, arguments: Mapping[str, Any]) -> Any:  # noqa: ARG002
        """Return a trainer of the checkpoint; dropout is the only difference between a text and itself."""
        from datasets import concatenate_datasets
        from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
        from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

        class Trainer(SentenceTransformerTrainer):
            def add_model_card_callback(self, *_: Any) -> None:
                """Leave it out: the card of every checkpoint would quote training texts."""

        folder = Path(arguments["output_dir"]) / "base"  # as it was read here: a cased vocabulary stays cased
        checkpoint.model.save_pretrained(folder)
        checkpoint.tokenizer.save_pretrained(folder)
        model = pretraining.sentence_model(folder, self.settings.pooling)
        pairs = concatenate_datasets(
            [texts.select_columns("text").rename_column("text", name) for name in ("anchor", "positive")],
            axis=1,
        )
        loss = MultipleNegativesRankingLoss(model, scale=1 / self.settings.temperature)
        told = SentenceTransformerTrainingArguments(**arguments, dataloader_drop_last=True)
        return Trainer(model, told, train_dataset=pairs, loss=loss)

    def body(self, trainer: Any) -> Any:
        """Return the model without its pooling."""
        return trainer.model[0].auto_model
