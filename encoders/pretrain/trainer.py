"""What every training of a text model shares: its texts, its run, going on after a stop, and the folder it leaves.

The run is that of transformers' Trainer. While it lasts, `checkpoints/` holds what it needs to go on, PyTorch's own
files of the optimizer and the random numbers among them; at the end the folder goes, and safetensors alone stay.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from cohorts.documents import read_json
from cohorts.encoders.bert.checkpoints import Checkpoint, content_hash, load_checkpoint, quiet
from cohorts.encoders.bert.encoder import CLEANING
from cohorts.encoders.bert.sentence_folder import transformer_folder
from cohorts.encoders.bert.transformer import best_precision
from cohorts.encoders.bert.windows import LEVELS, passages
from cohorts.encoders.features.kept_notes import text_key
from cohorts.encoders.needs import check_notes
from cohorts.encoders.settings import at_least_one, one_of
from cohorts.errors import EncoderError, InputError
from cohorts.extras import require
from cohorts.private_files import Scratch, make_private, private_folder, touch_private, write_private
from cohorts.records.base import Source
from cohorts.records.notes.cleaning import clean

CHECKPOINTS = "checkpoints"
_STATES = "checkpoint-*/trainer_state.json"  # as transformers names them
_ASKED = "asked.json"  # what a run that goes on must have been asked for
_POINTS = 200  # of the loss that is kept, at most about
_WRITTEN_AT_ONCE = 1_000

ProgressCallback = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class Settings:
    """`level` is what a training text is, `pooling` what makes its vector.

    A step learns from `batch` × `accumulate` texts. `warmup` is the share of the steps in which the rate rises. After
    every `keep_every` steps stands a checkpoint to go on from.
    """

    level: str = "note"
    pooling: str = "mean"
    steps: int = 1_000
    batch: int = 16
    accumulate: int = 1
    rate: float = 3e-5
    warmup: float = 0.1
    keep_every: int = 500
    precision: str = "auto"
    gradient_checkpointing: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        one_of(
            "train", self, level=tuple(LEVELS), pooling=("mean", "cls"), precision=("auto", "fp32", "bf16")
        )
        at_least_one("train", self, "steps", "batch", "accumulate", "keep_every")
        if not 0 <= self.warmup <= 1 or not self.rate > 0:
            raise EncoderError("train warmup is a share, from 0 to 1, and rate is above 0.")


class Objective(Protocol):
    """What is trained, and how: it makes the library's trainer, and takes the encoder out of what that trained.

    An objective derives from this class: what is said here is what most of them do.
    """

    name: str
    settings: Settings

    def passages(self, checkpoint: Checkpoint, text: str, category: str | None) -> list[str]:  # noqa: ARG002
        """Return what is learnt from of a note: its passages of the level, none where it is of no use."""
        return passages(checkpoint, text, self.settings.level)

    def trainer(self, base: Path, checkpoint: Checkpoint, texts: Any, arguments: Mapping[str, Any]) -> Any:
        """Return a trainer on `texts`, a datasets.Dataset with the columns `text` and `category`."""
        ...

    def body(self, trainer: Any) -> Any:
        """Return the BERT-like model in the trainer, without its heads."""
        return trainer.model.base_model


class Text(NamedTuple):
    """What is learnt from, and the category of its note."""

    text: str
    category: str | None


class Trace(NamedTuple):
    """How a training went: `losses` by step, each the mean since the one before; `notes_left_out` gave no text.

    `texts_per_s` counts a text as often as a step learnt from it, since the training was resumed.
    """

    texts: int
    notes_left_out: int
    losses: dict[int, float]
    texts_per_s: float


def pretrain(
    objective: Objective,
    base: Path,
    source: Source,
    out: Path,
    tick: ProgressCallback,
    *,
    resume: bool = False,
) -> Trace:
    """Train the checkpoint in `base` on a source's notes, and leave a sentence-transformers folder in `out`.

    With `resume` it goes on from the last checkpoint of a run that ended early, and comes to what that would have come
    to. Raises InputError, EncoderError, MissingExtra.
    """
    from transformers import set_seed

    check_installed()
    check_notes(source, objective.name)
    check_out(out, resume=resume)
    asked = _asked(objective, base, source)
    last = _last(out, asked)
    set_seed(objective.settings.seed)  # of the weights that a checkpoint lacks: a head, the unused pooler
    checkpoint = load_checkpoint(base)
    checkpoint.tokenizer.model_max_length = min(LEVELS[objective.settings.level], checkpoint.max_tokens)
    with Scratch(out) as work, quiet():
        reading = Reading(objective, checkpoint)
        texts = _written(reading.texts(source, tick), work)
        if len(texts) < objective.settings.batch:
            raise EncoderError(
                f"There are {len(texts):,} different texts to learn from ({reading.left_out:,} notes are of no use to "
                f"{objective.name}), fewer than a batch of {objective.settings.batch}: take a larger source, or a "
                "smaller batch."
            )
        trainer = objective.trainer(
            transformer_folder(base), checkpoint, texts, _arguments(objective.settings, out)
        )
        _listen(trainer, tick, objective.settings.steps)
        write_private(private_folder(out / CHECKPOINTS) / _ASKED, json.dumps(asked))
        began, done = time.perf_counter(), _steps_done(last)
        trainer.train(resume_from_checkpoint=last)
        seconds = time.perf_counter() - began
        _save(objective.body(trainer), checkpoint, objective.settings.pooling, work, out)
    shutil.rmtree(out / CHECKPOINTS)
    losses = {int(one["step"]): float(one["loss"]) for one in trainer.state.log_history if "loss" in one}
    settings = objective.settings
    learnt = (settings.steps - done) * settings.batch * settings.accumulate
    return Trace(len(texts), reading.left_out, losses, round(learnt / seconds, 1))


class Reading:
    """The texts that an objective learns from, and how many notes gave none."""

    def __init__(self, objective: Objective, checkpoint: Checkpoint) -> None:
        self._objective, self._checkpoint = objective, checkpoint
        self.left_out = 0

    def texts(self, source: Source, tick: ProgressCallback) -> Iterator[Text]:
        """Yield every different text of the source's notes, cleaned, in the source's order."""
        seen: set[bytes] = set()
        for batch in source.batches():
            categories = batch.notes["category"].astype(object).where(batch.notes["category"].notna(), None)
            for note, category in zip(batch.notes["text"], categories, strict=True):
                found = self._objective.passages(self._checkpoint, clean(note, CLEANING), category)
                self.left_out += not found
                for text in found:
                    key = text_key(text)
                    if key not in seen:  # what was copied from note to note would be its own negative
                        seen.add(key)
                        yield Text(text, category)
            tick("read", len(batch), None)


def trainer_by(
    loss: Callable[[Any, Any], Any], model: Any, collate: Callable[[Any], Any], texts: Any, arguments: Any
) -> Any:
    """Return transformers' Trainer with another loss: `loss(model, batch)`, a batch being what `collate` makes."""
    from transformers import Trainer, TrainingArguments

    class ByLoss(Trainer):
        def compute_loss(self, model: Any, inputs: Any, *_: Any, **__: Any) -> Any:
            return loss(self.accelerator.unwrap_model(model), inputs)

    trainer = ByLoss(model, TrainingArguments(**arguments, remove_unused_columns=False), collate, texts)
    trainer.model_accepts_loss_kwargs = False  # the loss is a mean: what is accumulated is to be divided
    return trainer


def sentence_model(folder: Path, pooling: str) -> Any:
    """Return the BERT-like checkpoint in a folder as a SentenceTransformer."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    words = Transformer(str(folder))
    return SentenceTransformer(modules=[words, Pooling(words.get_embedding_dimension(), pooling)])


def check_installed() -> None:
    """Raise MissingExtra where what training needs is not there."""
    require("What training needs", "train")


def _asked(objective: Objective, base: Path, source: Source) -> dict[str, Any]:
    return {
        "objective": objective.name,
        "settings": asdict(objective.settings),
        "base": content_hash(base),
        "source": source.fingerprint,
    }


def check_out(out: Path, *, resume: bool) -> None:
    """Raise InputError where a folder holds what would be written over, or nothing to go on with."""
    begun = (out / CHECKPOINTS / _ASKED).is_file()
    if begun and not resume:
        raise InputError(
            f"{out} holds a training that ended early.",
            remedy="Resume it, or remove the folder.",
            hint="resume_training",
        )
    if not begun and (resume or (out / "config.json").exists()):
        raise InputError(f"{out} holds {'no training to go on with' if resume else 'a model already'}.")


def _last(out: Path, asked: Mapping[str, Any]) -> str | None:
    """Return the checkpoint to go on from, None for a start. Raises InputError where that would mix two trainings."""
    kept = out / CHECKPOINTS / _ASKED
    if not kept.is_file():
        return None
    before = read_json(kept, dict[str, Any], remedy=f"Remove {out} and train anew.")
    other = [name for name, value in asked.items() if before.get(name) != value]
    if other:
        raise InputError(
            f"The training in {out} began with another {', another '.join(other)}: it can't go on so."
        )
    return max(
        (str(one.parent) for one in kept.parent.glob(_STATES) if _is_whole(one)),
        key=_steps_done,
        default=None,
    )


def _is_whole(state: Path) -> bool:
    """Say whether a checkpoint was written to its end: its state is written last, and not in one piece."""
    try:
        json.loads(state.read_bytes())
    except ValueError:
        return False
    return True


def _steps_done(last: str | None) -> int:
    return int(last.rpartition("-")[2]) if last else 0


def _written(texts: Iterator[Text], folder: Path) -> Any:
    """Return texts as a datasets.Dataset that lies on disk, read from there as it is needed."""
    import datasets
    import pyarrow as pa

    schema = pa.schema([("text", pa.large_string()), ("category", pa.string())])
    file = touch_private(folder / "texts.arrow")
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, schema) as stream:
        while rows := list(islice(texts, _WRITTEN_AT_ONCE)):
            stream.write_batch(pa.RecordBatch.from_pylist([row._asdict() for row in rows], schema=schema))
    return datasets.Dataset.from_file(str(file))


def _arguments(settings: Settings, out: Path) -> dict[str, Any]:
    """Return what the trainers of both libraries are told. Nothing is reported to anybody."""
    import torch

    precision = best_precision() if settings.precision == "auto" else settings.precision
    return {
        "output_dir": str(out / CHECKPOINTS),
        "max_steps": settings.steps,
        "per_device_train_batch_size": settings.batch,
        "gradient_accumulation_steps": settings.accumulate,
        "learning_rate": settings.rate,
        "warmup_steps": round(settings.warmup * settings.steps),
        "weight_decay": 0.01,
        "bf16": precision == "bf16",
        "activation_checkpointing": bool(settings.gradient_checkpointing),
        "seed": settings.seed,
        "save_steps": settings.keep_every,
        "save_total_limit": 2,
        "logging_steps": -(-settings.steps // _POINTS),
        "use_cpu": not torch.cuda.is_available(),
        "dataloader_pin_memory": torch.cuda.is_available(),
        "disable_tqdm": True,
        "report_to": [],
    }


def _listen(trainer: Any, tick: ProgressCallback, steps: int) -> None:
    """Tell of every step; keep the trainer from printing its logs."""
    from transformers.trainer_callback import PrinterCallback, TrainerCallback

    class Told(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            tick("train", state.global_step, steps)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            tick("train", 1, steps)

    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(Told())


def _save(body: Any, checkpoint: Checkpoint, pooling: str, work: Path, out: Path) -> None:
    """Write what sentence-transformers, transformers and `bert` here read. A model card would quote training texts."""
    folder, made = work / "model", work / "made"
    body.cpu().save_pretrained(folder)
    checkpoint.tokenizer.save_pretrained(folder)
    sentence_model(folder, pooling).save(str(made), create_model_card=False)
    make_private(made)
    for path in made.iterdir():
        if path.is_dir():
            shutil.rmtree(out / path.name, ignore_errors=True)  # of a run that was killed in this loop
        path.replace(out / path.name)
