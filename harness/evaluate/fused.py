"""The ablation of the gated fusion on any source: five fusions, three objectives, and what they have to beat.

Source: the gated fusion for cohort discovery (docs/fused.md). The codes of the phenotypes that neighbours are judged by
are withheld; with `mask_notes`, everything is measured again with their mentions in notes masked too. Whatever is
trained sees training patients alone; TrainingIds checks it.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from cohorts.encoders.base import Vectors
from cohorts.encoders.bert.encoder import Bert
from cohorts.encoders.fused.encoder import fuse
from cohorts.encoders.fused.inputs import Inputs, RecordFeatures
from cohorts.encoders.fused.settings import FUSIONS, OBJECTIVES, Settings
from cohorts.encoders.fused.training import Known, train_fusion
from cohorts.encoders.needs import check_notes
from cohorts.encoders.pooling import unit_rows
from cohorts.encoders.training import Checked, TrainingIds
from cohorts.errors import InputError
from cohorts.harness.evaluate.base import Run, Sheet, Task, figures
from cohorts.harness.evaluate.data.baselines import Baselines
from cohorts.harness.evaluate.data.classifiers import score
from cohorts.harness.evaluate.data.pairs import pair_auc, without_hard
from cohorts.harness.evaluate.data.precision import precision_by_phenotype
from cohorts.harness.evaluate.data.splits import Split, SplitBy, listed, split
from cohorts.harness.evaluate.data.units import Units, read_units
from cohorts.harness.evaluate.fused_search import Questions, members_of, why_not
from cohorts.harness.evaluate.fused_tables import CENTRED, RAW, read
from cohorts.harness.evaluate.retrieval.population import CohortBy
from cohorts.harness.evaluate.retrieval.scorers import ByVectors, Scorer, Seen
from cohorts.harness.evaluate.seeds import check_seeds
from cohorts.private_files import Scratch
from cohorts.records.base import Source
from cohorts.records.transforms import Subset
from cohorts.records.window import Window, seen
from cohorts.records.withheld import Withheld, WithheldSource
from cohorts.reports.long_table import Record
from cohorts.reports.published import RETRIEVAL_K

RECORDS = "records, cosine"
CODES_WITHHELD, MENTIONS_TOO = "codes withheld", "codes and mentions withheld"
BINS = 20


@dataclass(frozen=True, kw_only=True)
class FusedTask(Task[Source]):
    """What to measure: the settings that all fusions share, what is withheld, and how many splits and trainings.

    `cohort_by` says whose F1@100 is told; all else is judged by the principal diagnosis. In the sheet `fused`, all but
    the seconds and the epoch are 0 to 1: `precision` is precision@10 for one principal phenotype in common,
    `precision_text` that of queries by one note, `pair_auc` is of the pairwise validator, `auc` and `auc_pr` of a
    logistic regression for death. Baselines that have no vectors have precision alone; nothing but an encoder that was
    trained has `train_s`. `gates` counts patients of the first seed by the weight of their notes. The manifest's
    `no_search` says why nothing was searched through HNSW, "" where something was; `without_hard` are the phenotypes
    for which the pairwise validator had no hard negatives.
    """

    name = "fused"
    packages = ("numpy", "pandas", "scikit-learn", "scipy", "torch", "transformers")
    sheets = {  # noqa: RUF012 - never changed
        "fused": Sheet(
            ("withheld", "encoder", "seed"),
            (
                *("precision", "precision_text", "base", "pair_auc", "pair_auc_hard", "auc", "auc_pr"),
                *("train_s", "kept_epoch"),
            ),
        ),
        "f1_through_hnsw": Sheet(
            ("withheld", "encoder", "seed", "cohort"),
            ("questions", "f1", "ceiling", "neighbours"),
            counts=("questions",),
        ),
        "gates": Sheet(("withheld", "encoder", "weight_from"), ("patients",), counts=("patients",)),
    }
    settings: Settings
    withheld: Withheld
    seeds: int = 3
    window: Window | None = None
    mask_notes: bool = False
    cohort_by: CohortBy = CohortBy.PRIMARY
    told = staticmethod(read)

    def __post_init__(self) -> None:
        check_seeds(self.seeds)

    def asked(self) -> dict[str, Any]:
        """Return what was asked for."""
        return {
            "seeds": self.seeds,
            "withheld": list(self.withheld.phenotypes),
            "mask_notes": self.mask_notes,
            "cohort_by": self.cohort_by,
            "encoder": asdict(self.settings),
        }

    def measure(self, given: Source, run: Run) -> Iterator[Record]:
        """Yield every figure, seed by seed. Raises InputError, EncoderError."""
        check_notes(given, "evaluate fused")
        run.begin("reading")
        patients = read_units(given)
        run.counts |= {
            "patients": len(patients.ids),
            "died": int(patients.died.sum()),
            "with a phenotype": int((patients.phenotype != "").sum()),
        }
        # All at once: what can't be split is told before hours of embedding.
        splits = [
            split(patients.patients, patients.died, SplitBy.PATIENT, seed) for seed in range(self.seeds)
        ]
        _check_asked_about(patients, splits)
        member = members_of(patients, given, self.cohort_by)
        no_search = why_not(patients, member, self.cohort_by)
        run.facts |= {"no_search": no_search, "without_hard": without_hard(patients.phenotype)}
        if no_search:
            run.tell(f"F1@{RETRIEVAL_K} through HNSW is left out: {no_search}.")
        modes = {CODES_WITHHELD: replace(self.withheld, text=False)}
        if self.mask_notes:
            modes[MENTIONS_TOO] = replace(self.withheld, text=True)
        for mode, withheld in modes.items():
            view = WithheldSource(seen(given, self.window), withheld)
            run.tell(f"{mode}: notes to vectors")
            notes = _Notes.read(view, Bert(self.settings.bert), run)
            for seed, parts in enumerate(splits):
                questions = None if no_search else Questions.of(patients, member, parts, seed)
                yield from _Seed(
                    task=self,
                    run=run,
                    view=view,
                    mode=mode,
                    notes=notes,
                    patients=patients,
                    seed=seed,
                    parts=parts,
                    questions=questions,
                ).measure()


def encoders_of(settings: Settings) -> Iterator[tuple[str, Settings]]:
    """Yield every fusion with every objective that it can be trained for, by name."""
    for objective in OBJECTIVES:
        for fusion in FUSIONS:
            if objective != "contrastive" or fusion not in ("text", "structured"):
                yield f"{fusion}, {objective}", replace(settings, fusion=fusion, objective=objective)


def _check_asked_about(patients: Units, splits: Sequence[Split]) -> None:
    """Raise InputError where nobody who is held out has a phenotype, which neighbours are judged by."""
    if not all((patients.phenotype[parts.held_out] != "").any() for parts in splits):
        some = int((patients.phenotype != "").sum())
        raise InputError(
            f"{some:,} of {len(patients.ids):,} patients have a phenotype as principal diagnosis, none of those held "
            "out: there is nobody to ask about. Evaluate on a larger source."
        )


@dataclass(frozen=True, kw_only=True)
class _Notes:
    """The notes of every unit as one vector, the longest one alone, and what else is known; the same for all seeds.

    `beaten` are the baselines that no encoder's vectors enter.
    """

    vectors: Vectors
    longest: Vectors
    known: Known
    beaten: Baselines

    @classmethod
    def read(cls, view: Source, text: Bert, run: Run) -> "_Notes":
        run.begin("notes to vectors")
        vectors, longest, known, texts = [], [], [], list[str]()
        for batch in view.batches():
            vectors.append(text.encode(batch))
            notes = batch.notes.assign(length=batch.notes["text"].str.len()).sort_values(
                "length", kind="stable"
            )
            last = notes.drop_duplicates("unit_id", keep="last").set_index("unit_id")["text"]
            alone = last.reindex(batch.units["unit_id"]).fillna("").tolist()
            longest.append(text.encode_text(alone))
            known.append(Known.of(batch))
            texts += alone
        run.begin("baselines")
        return cls(
            vectors=np.concatenate(vectors),
            longest=np.concatenate(longest),
            known=Known.join(known),
            beaten=Baselines(Seen.read(view), texts),
        )


@dataclass(frozen=True, kw_only=True)
class _Seed:
    """One split of the patients, and all that is measured with it in one way of withholding (`mode`)."""

    task: FusedTask
    run: Run
    view: Source
    mode: str
    notes: _Notes
    patients: Units
    seed: int
    parts: Split
    questions: Questions | None

    @property
    def _training(self) -> frozenset[str]:
        return listed(self.patients.ids, self.parts.training)

    def measure(self) -> Iterator[Record]:
        """Train and judge every encoder."""
        self._begin("codes and values to columns")
        inputs = Inputs(self.notes.vectors, self._records())
        queries = Inputs(self.notes.longest, inputs.records * 0)
        for name, vectors, asked in self._untrained(inputs):
            yield from self._judge(name, vectors, asked)
        for name, scorer, by_note in self.notes.beaten.learnt_from(self.parts.training):
            self.run.begin("judging")
            yield from figures("fused", self._of(name), **self._found(scorer, by_note))
        for name, settings in encoders_of(replace(self.task.settings, seed=self.seed)):
            self._begin(f"training {name}", stage="training")
            began = time.perf_counter()
            learnt = _narrowed(inputs, settings).take(self.parts.training)
            TrainingIds(self._training).check(self._training, "the fusion")
            fusion, trace = train_fusion(learnt, self.notes.known.take(self.parts.training), settings)
            trained = {"train_s": time.perf_counter() - began, "kept_epoch": trace.kept_epoch}
            vectors = fuse(fusion, _narrowed(inputs, settings))
            asked = fuse(fusion, _narrowed(queries, settings)) if settings.reads_text else None
            yield from self._judge(name, vectors, asked, **trained)
            if settings.fusion == "gated" and self.seed == 0:
                yield from self._gates(name, fusion, inputs)

    def _begin(self, told: str, stage: str = "") -> None:
        self.run.begin(stage or told, f"{self.mode}, seed {self.seed + 1} of {self.task.seeds}: {told}")

    def _of(self, name: str) -> dict[str, Any]:
        return {"withheld": self.mode, "encoder": name, "seed": self.seed}

    def _records(self) -> Any:
        from scipy.sparse import vstack

        seen = Checked(Subset(self.view, self._training), TrainingIds(self._training), "the columns")
        features = RecordFeatures.learn(seen.batches, self.task.settings)
        return vstack([features.transform(batch) for batch in self.view.batches()], format="csr")

    def _untrained(self, inputs: Inputs) -> Iterator[tuple[str, Vectors, Vectors | None]]:
        """Yield what the notes' vectors and the columns do by themselves, and the queries by text, where there are."""
        mean = inputs.text[self.parts.training].mean(axis=0)
        yield RAW, inputs.text, self.notes.longest
        yield CENTRED, unit_rows(inputs.text - mean), unit_rows(self.notes.longest - mean)
        yield RECORDS, unit_rows(inputs.records.toarray()), None

    def _judge(
        self, name: str, vectors: Vectors, asked: Vectors | None, **trained: float
    ) -> Iterator[Record]:
        self.run.begin("judging")
        people, parts = self.patients, self.parts
        found = self._found(ByVectors(vectors), None if asked is None else ByVectors(vectors, asked))
        pairs = pair_auc(vectors, people.phenotype, people.patient, parts.training, parts.held_out, self.seed)
        sides = [(vectors[rows], people.died[rows]) for rows in (parts.train, parts.test)]
        death = score("logistic regression", self.seed, *sides)
        measured = {"pair_auc": pairs.auc, "pair_auc_hard": pairs.auc_hard, **death._asdict(), **trained}
        yield from figures("fused", self._of(name), **found, **measured)
        if self.questions and name != RECORDS:  # whose columns are too many for an index
            yield from self._search(name, vectors, self.questions)

    def _found(self, scorer: Scorer, by_note: Scorer | None) -> dict[str, float]:
        """Return precision@10 and its base rate, and that of queries by one note where they can be asked."""
        labels = (self.patients.phenotype, self.patients.patient, self.parts.held_out)
        found = precision_by_phenotype(scorer, *labels)[0]
        by_text = {"precision_text": precision_by_phenotype(by_note, *labels)[0].precision} if by_note else {}
        return {"precision": found.precision, "base": found.base, **by_text}

    def _search(self, name: str, vectors: Vectors, questions: Questions) -> Iterator[Record]:
        self.run.begin("asking through HNSW")
        with Scratch(self.view.work_dir) as folder:
            found = questions.through_hnsw(vectors, folder / "qdrant")
        for cohort, measured in found.items():
            yield from figures("f1_through_hnsw", self._of(name) | {"cohort": cohort}, **measured)

    def _gates(self, name: str, fusion: Any, inputs: Inputs) -> Iterator[Record]:
        import torch

        both = np.flatnonzero(inputs.has_text & inputs.has_records)
        with torch.inference_mode():
            weight = 1 - fusion(inputs.tensors(both)).gate.mean(dim=1).numpy()
        for place, many in enumerate(np.histogram(weight, BINS, (0, 1))[0].tolist()):
            of = {"withheld": self.mode, "encoder": name, "weight_from": place / BINS}
            yield from figures("gates", of, patients=many)


def _narrowed(inputs: Inputs, settings: Settings) -> Inputs:
    """Return the inputs without those that the fusion does not read."""
    text = inputs.text if settings.reads_text else inputs.text[:, :0]
    return Inputs(text, inputs.records if settings.reads_records else inputs.records[:, :0])
