"""The ablation of the gated fusion on any source: five fusions, three objectives, and what they have to beat.

Source: the gated fusion for cohort discovery (docs/fused.md). The codes of the phenotypes that neighbours are judged by
are withheld; with `mask_notes`, everything is measured again with their mentions in notes masked too. Whatever is
trained sees training patients alone; TrainingIds checks it.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

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
from cohorts.harness.evaluate.data.baselines import Baselines
from cohorts.harness.evaluate.data.classifiers import score
from cohorts.harness.evaluate.data.pairs import broad_groups, pair_auc, without_hard
from cohorts.harness.evaluate.data.precision import precision_by_phenotype
from cohorts.harness.evaluate.data.splits import Split, SplitBy, listed, split
from cohorts.harness.evaluate.data.units import Units, read_units
from cohorts.harness.evaluate.fused_search import Questions, why_not
from cohorts.harness.evaluate.retrieval.population import CohortBy, Mask, members
from cohorts.harness.evaluate.retrieval.scorers import WITHOUT_BM25, ByVectors, Scorer, bm25_installed
from cohorts.harness.reports.published import PHENOTYPES, RETRIEVAL_K
from cohorts.harness.reports.stages import Stages
from cohorts.private_files import Scratch
from cohorts.records.base import Source
from cohorts.records.transforms import Subset
from cohorts.records.withheld import Withheld, WithheldSource

RAW, CENTRED, RECORDS = "notes, raw", "notes, centred", "records, cosine"
CODES_WITHHELD, MENTIONS_TOO = "codes withheld", "codes and mentions withheld"
BINS = 20

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What to measure: the settings that all fusions share, what is withheld, and how many splits and trainings.

    `cohort_by` says whose F1@100 is told; all else is judged by the principal diagnosis.
    """

    settings: Settings
    withheld: Withheld
    seeds: int = 3
    mask_notes: bool = False
    cohort_by: CohortBy = CohortBy.PRIMARY

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise InputError(f"{self.seeds} seeds were asked for; at least 1 is needed.")


class Row(NamedTuple):
    """What one seed measured of one encoder; nan where there is none. All but the seconds and the epoch are 0 to 1.

    Baselines that have no vectors have precision alone; nothing but an encoder that was trained has `train_s`.

    `precision` is precision@10 for one principal phenotype in common, `precision_text` that of queries by one note;
    `auc` and `auc_pr` are of a logistic regression for death, `pair_auc` of the pairwise validator.
    """

    withheld: str
    encoder: str
    seed: int
    precision: float
    precision_text: float
    base: float
    pair_auc: float
    pair_auc_hard: float
    auc: float
    auc_pr: float
    train_s: float
    kept_epoch: float


class SearchRow(NamedTuple):
    """F1@100 of one seed, encoder and cohort through HNSW; see `harness/evaluate/fused_search.py`."""

    withheld: str
    encoder: str
    seed: int
    cohort: str
    questions: int
    f1: float
    ceiling: float
    neighbours: float


@dataclass
class Result:
    """All that was measured. `gates` counts patients of the first seed by the weight of their notes, in 20 bins.

    `no_search` says why nothing was searched through HNSW, "" where something was; `without_hard` are the phenotypes
    for which the pairwise validator had no hard negatives.
    """

    rows: list[Row] = field(default_factory=list)
    searched: list[SearchRow] = field(default_factory=list)
    no_search: str = ""
    without_hard: list[str] = field(default_factory=list)
    gates: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    stages: Stages = field(default_factory=Stages)


def encoders_of(settings: Settings) -> Iterator[tuple[str, Settings]]:
    """Yield every fusion with every objective that it can be trained for, by name."""
    for objective in OBJECTIVES:
        for fusion in FUSIONS:
            if objective != "contrastive" or fusion not in ("text", "structured"):
                yield f"{fusion}, {objective}", replace(settings, fusion=fusion, objective=objective)


def evaluate(source: Source, plan: Plan, tell: Tell = lambda _: None) -> Result:
    """Measure everything, seed by seed. Raises InputError, EncoderError."""
    check_notes(source, "evaluate fused")
    result, text = Result(), Bert(plan.settings.bert)
    patients = _read_patients(source, result)
    # All at once: what can't be split is told before hours of embedding.
    splits = [split(patients.patients, patients.died, SplitBy.PATIENT, seed) for seed in range(plan.seeds)]
    _check_asked_about(patients, splits)
    member = None if plan.cohort_by is CohortBy.PRIMARY else _members(source)
    result.no_search, result.without_hard = why_not(patients, member), without_hard(patients.phenotype)
    if result.no_search:
        tell(f"F1@{RETRIEVAL_K} through HNSW is left out: {result.no_search}.")
    if not bm25_installed():
        tell(WITHOUT_BM25)
    modes = {CODES_WITHHELD: replace(plan.withheld, text=False)}
    if plan.mask_notes:
        modes[MENTIONS_TOO] = replace(plan.withheld, text=True)
    for mode, withheld in modes.items():
        view = WithheldSource(source, withheld)
        tell(f"{mode}: notes to vectors")
        notes = _Notes.read(view, text, result.stages)
        for seed, parts in enumerate(splits):
            questions = None if result.no_search else Questions.of(patients, parts, seed, member)
            _Seed(view, notes, patients, parts, questions, plan, seed, mode, result, tell).run()
    result.stages.end()
    return result


def _members(source: Source) -> Mask:
    """Return who has any diagnosis of the cohorts of F1@100, (n, 3)."""
    return np.concatenate([members(batch, list(PHENOTYPES), CohortBy.ANY) for batch in source.batches()])


def _check_asked_about(patients: Units, splits: Sequence[Split]) -> None:
    """Raise InputError where nobody who is held out has a phenotype, which neighbours are judged by."""
    if not all((patients.phenotype[parts.held_out] != "").any() for parts in splits):
        some = int((patients.phenotype != "").sum())
        raise InputError(
            f"{some:,} of {len(patients.ids):,} patients have a phenotype as principal diagnosis, none of those held "
            "out: there is nobody to ask about. Evaluate on a larger source."
        )


def _read_patients(source: Source, result: Result) -> Units:
    result.stages.begin("reading")
    patients = read_units(source)
    result.counts |= {
        "patients": len(patients.ids),
        "died": int(patients.died.sum()),
        "with a phenotype": int((patients.phenotype != "").sum()),
    }
    return patients


@dataclass(frozen=True)
class _Notes:
    """The notes of every unit as one vector, the longest one alone, and what else is known; the same for all seeds.

    `beaten` are the baselines that no encoder's vectors enter.
    """

    vectors: Vectors
    longest: Vectors
    known: Known
    beaten: Baselines

    @classmethod
    def read(cls, view: Source, text: Bert, stages: Stages) -> "_Notes":
        stages.begin("notes to vectors")
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
        stages.begin("baselines")
        beaten = Baselines(view, texts)
        return cls(np.concatenate(vectors), np.concatenate(longest), Known.join(known), beaten)


class _Seed:
    """One split of the patients, and all that is measured with it."""

    def __init__(
        self,
        view: Source,
        notes: _Notes,
        patients: Units,
        parts: Split,
        questions: Questions | None,
        plan: Plan,
        seed: int,
        mode: str,
        result: Result,
        tell: Tell,
    ) -> None:
        self._view, self._notes, self._patients, self._plan = view, notes, patients, plan
        self._seed, self._mode, self._result = seed, mode, result
        self._tell, self._which = tell, f"{mode}, seed {seed + 1} of {plan.seeds}"
        self._split = parts
        self._allowed = TrainingIds(listed(patients.ids, parts.training))
        self._group = broad_groups(patients.phenotype)
        self._questions = questions

    def run(self) -> None:
        """Train and judge every encoder."""
        self._begin("codes and values to columns")
        inputs = Inputs(self._notes.vectors, self._records())
        queries = Inputs(self._notes.longest, inputs.records * 0)
        for name, vectors, asked in self._untrained(inputs):
            self._judge(name, vectors, asked, float("nan"), float("nan"))
        for name, scorer, by_note in self._notes.beaten.learnt_from(self._split.training):
            self._judge_precision(name, scorer, by_note)
        for name, settings in encoders_of(replace(self._plan.settings, seed=self._seed)):
            self._begin("training", of=name)
            began = time.perf_counter()
            learnt = _narrowed(inputs, settings).take(self._split.training)
            self._allowed.check(listed(self._patients.ids, self._split.training), "the fusion")
            fusion, trace = train_fusion(learnt, self._notes.known.take(self._split.training), settings)
            train_s = time.perf_counter() - began
            vectors = fuse(fusion, _narrowed(inputs, settings))
            asked = fuse(fusion, _narrowed(queries, settings)) if settings.reads_text else None
            self._judge(name, vectors, asked, train_s, trace.kept_epoch)
            if settings.fusion == "gated" and self._seed == 0:
                self._keep_gates(name, fusion, inputs)

    def _begin(self, stage: str, of: str = "") -> None:
        self._tell(f"{self._which}: {stage} {of}".rstrip())
        self._result.stages.begin(stage)

    def _records(self) -> Any:
        from scipy.sparse import vstack

        settings, training = self._plan.settings, listed(self._patients.ids, self._split.training)
        seen = Checked(Subset(self._view, training), self._allowed, "the columns")
        features = RecordFeatures.learn(seen.batches, settings)
        return vstack([features.transform(batch) for batch in self._view.batches()], format="csr")

    def _untrained(self, inputs: Inputs) -> Iterator[tuple[str, Vectors, Vectors | None]]:
        """Yield what the notes' vectors and the columns do by themselves, and the queries by text, where there are."""
        mean = inputs.text[self._split.training].mean(axis=0)
        yield RAW, inputs.text, self._notes.longest
        yield CENTRED, unit_rows(inputs.text - mean), unit_rows(self._notes.longest - mean)
        yield RECORDS, unit_rows(inputs.records.toarray()), None

    def _judge(self, name: str, vectors: Vectors, asked: Vectors | None, train_s: float, kept: float) -> None:
        self._result.stages.begin("judging")
        people, held_out, seed = self._patients, self._split.held_out, self._seed
        found = self._found(ByVectors(vectors), None if asked is None else ByVectors(vectors, asked))
        pairs = pair_auc(
            vectors, people.phenotype, self._group, people.patient, self._split.training, held_out, seed
        )
        sides = [(vectors[rows], people.died[rows]) for rows in (self._split.train, self._split.test)]
        death = score("logistic regression", seed, *sides)
        measured = (*found, pairs.auc, pairs.auc_hard, *death, train_s, kept)
        self._result.rows.append(Row(self._mode, name, seed, *measured))
        if self._questions and name != RECORDS:  # whose columns are too many for an index
            self._search(name, vectors, self._questions)

    def _judge_precision(self, name: str, scorer: Scorer, by_note: Scorer | None) -> None:
        self._result.stages.begin("judging")
        rest = [float("nan")] * 6  # which take vectors
        self._result.rows.append(Row(self._mode, name, self._seed, *self._found(scorer, by_note), *rest))

    def _found(self, scorer: Scorer, by_note: Scorer | None) -> tuple[float, float, float]:
        """Return precision@10, that of queries by one note (nan where none can be asked), and the base rate."""
        labels = (self._patients.phenotype, self._patients.patient, self._split.held_out)
        found = precision_by_phenotype(scorer, *labels)[0]
        by_text = precision_by_phenotype(by_note, *labels)[0].precision if by_note else float("nan")
        return found.precision, by_text, found.base

    def _search(self, name: str, vectors: Vectors, questions: Questions) -> None:
        self._result.stages.begin("asking through HNSW")
        with Scratch(self._view.work_dir) as folder:
            self._result.searched += [
                SearchRow(self._mode, name, self._seed, *found)
                for found in questions.through_hnsw(vectors, folder / "qdrant")
            ]

    def _keep_gates(self, name: str, fusion: Any, inputs: Inputs) -> None:
        import torch

        both = np.flatnonzero(inputs.has_text & inputs.has_records)
        with torch.inference_mode():
            weight = 1 - fusion(inputs.tensors(both)).gate.mean(dim=1).numpy()
        self._result.gates[self._mode, name] = np.histogram(weight, BINS, (0, 1))[0].tolist()


def _narrowed(inputs: Inputs, settings: Settings) -> Inputs:
    """Return the inputs without those that the fusion does not read."""
    text = inputs.text if settings.reads_text else inputs.text[:, :0]
    return Inputs(text, inputs.records if settings.reads_records else inputs.records[:, :0])
