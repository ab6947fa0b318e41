"""Every figure that was published and is shown here, as printed, with its place; none of them was measured here.

They stand in a column of their own beside ours, and claim no reproduction. tests/harness/reports/test_published.py
compares all of them, cell by cell, with the text of the papers.
"""

from collections.abc import Mapping
from dataclasses import dataclass

Names = tuple[str, ...]


@dataclass(frozen=True)
class Figure:
    """One published figure: as printed (`0.80 ± 0.03`, `97.18%`, `≈5.2 GB`), and paper, table and cell."""

    printed: str
    source: str


@dataclass(frozen=True)
class Table:
    """One table as printed: of which paper, on which data, with the cells of every row by the names of the row."""

    paper: str
    number: str
    data: str
    columns: Names
    rows: Mapping[Names, Names]

    @property
    def source(self) -> str:
        """Return where it stands."""
        return f"{self.paper}, {self.number}"

    @property
    def label(self) -> str:
        """Return the title of its column."""
        return f"published, {self.data}"

    def figure(self, row: Names, column: str) -> Figure | None:
        """Return one cell; None where the table has no such row."""
        if row not in self.rows:
            return None
        printed = self.rows[row][self.columns.index(column)]
        return Figure(printed, f"{self.source}, {', '.join(row)}: {column}")


_FINEEHR = "Wu et al., 2023, arXiv:2304.11794"
_FUSION = "Karapiperis et al., 2025, Electronics 14(22), 4505"
_SEPSIS = "sepsis prognosis, 2024, doi:10.12677/mos.2024.136583"
_CLINICALNOTEBERT = "ClinicalNoteBERT, README of github.com/JHLiu7/ClinicalNoteBERT"

FINEEHR_CATEGORIES = Table(  # Ratio: the share of admissions that have a note of the category
    _FINEEHR,
    "Table I",
    "MIMIC-III",
    ("Ratio",),
    {
        ("Discharge summary",): ("97.57%",),
        ("ECG",): ("87.58%",),
        ("Radiology",): ("82.95%",),
        ("Nursing / other",): ("51.39%",),
        ("Echo",): ("45.82%",),
        ("Nursing",): ("19.26%",),
        ("Physician",): ("19.16%",),
    },
)
FINEEHR_SETTINGS = Table(
    _FINEEHR,
    "Table II",
    "MIMIC-III",
    ("RF AUC", "RF AUC-PR", "LR AUC", "LR AUC-PR", "MLP AUC", "MLP AUC-PR", "GBDT AUC", "GBDT AUC-PR"),
    {
        ("Baseline",): ("86.73%", "88.72%", "89.52%", "90.75%", "86.41%", "87.35%", "87.30%", "88.80%"),
        ("Only Metric",): ("94.10%", "95.01%", "92.69%", "93.84%", "91.05%", "93.15%", "93.53%", "93.59%"),
        ("Only Weight",): ("95.09%", "95.36%", "94.35%", "95.02%", "94.41%", "93.90%", "96.02%", "96.50%"),
        ("FineEHR",): ("97.18%", "97.77%", "95.18%", "96.08%", "94.91%", "95.35%", "96.88%", "96.72%"),
    },
)
FINEEHR_AVERAGES = Table(
    _FINEEHR,
    "section V",
    "MIMIC-III",
    ("average AUC", "average AUC-PR"),
    {("FineEHR",): ("96.04%", "96.48%")},
)
FINEEHR_OTHERS = Table(
    _FINEEHR,
    "Table III",
    "MIMIC-III",
    ("AUC",),
    {
        ("Harutyunyan et al. [1]", "Time Series"): ("87.00%",),
        ("Che et al. [2]", "Time Series"): ("85.29%",),
        ("Shukla et al. [3]", "Time Series"): ("85.91%",),
        ("Deznabi et al. [10]", "Only Text"): ("87.50%",),
        ("Deznabi et al. [10]", "Hybrid"): ("89.90%",),
        ("Khadanga et al. [9]", "Hybrid"): ("86.50%",),
        ("Jin et al. [7]", "Hybrid"): ("87.53%",),
        ("Baseline", "Only Text"): ("86.73%",),
        ("FINEEHR", "Only Text"): ("97.18%",),
    },
)

RETRIEVAL_K = 100  # section 4.4
COHORT_SIZES = Table(
    _FUSION,
    "section 4.2",
    "MIMIC-III and MIMIC-IV",
    ("N",),
    {
        ("MIMIC-III", "Diabetes"): ("7527",),
        ("MIMIC-III", "CHF"): ("5887",),
        ("MIMIC-III", "Sepsis"): ("4982",),
        ("MIMIC-IV", "Diabetes"): ("38,102",),
        ("MIMIC-IV", "CHF"): ("27,951",),
        ("MIMIC-IV", "Sepsis"): ("23,011",),
    },
)
PHENOTYPES = {
    "type_2_diabetes": "Diabetes",
    "heart_failure": "CHF",
    "sepsis": "Sepsis",
}  # its cohorts, as ours
RETRIEVAL_MIMIC3 = Table(
    _FUSION,
    "Table 2",
    "MIMIC-III",
    ("Precision", "Recall", "F1-Score"),
    {
        ("Diabetes", "ClinicalBERT", "HNSW"): ("0.79", "0.81", "0.80 ± 0.03"),
        ("Diabetes", "ClinicalBERT", "IVF"): ("0.76", "0.78", "0.77 ± 0.03"),
        ("Diabetes", "ClinicalBERT", "ANNOY"): ("0.74", "0.76", "0.75 ± 0.04"),
        ("Diabetes", "BioBERT", "HNSW"): ("0.73", "0.75", "0.74 ± 0.04"),
        ("Diabetes", "BioBERT", "IVF"): ("0.70", "0.72", "0.71 ± 0.04"),
        ("Diabetes", "BioBERT", "ANNOY"): ("0.68", "0.70", "0.69 ± 0.05"),
        ("CHF", "ClinicalBERT", "HNSW"): ("0.77", "0.79", "0.78 ± 0.03"),
        ("CHF", "ClinicalBERT", "IVF"): ("0.74", "0.76", "0.75 ± 0.03"),
        ("CHF", "ClinicalBERT", "ANNOY"): ("0.72", "0.75", "0.73 ± 0.04"),
        ("CHF", "BioBERT", "HNSW"): ("0.71", "0.73", "0.72 ± 0.04"),
        ("CHF", "BioBERT", "IVF"): ("0.68", "0.70", "0.69 ± 0.04"),
        ("CHF", "BioBERT", "ANNOY"): ("0.66", "0.69", "0.67 ± 0.05"),
        ("Sepsis", "ClinicalBERT", "HNSW"): ("0.74", "0.76", "0.75 ± 0.04"),
        ("Sepsis", "ClinicalBERT", "IVF"): ("0.71", "0.73", "0.72 ± 0.04"),
        ("Sepsis", "ClinicalBERT", "ANNOY"): ("0.69", "0.72", "0.70 ± 0.04"),
        ("Sepsis", "BioBERT", "HNSW"): ("0.69", "0.71", "0.70 ± 0.05"),
        ("Sepsis", "BioBERT", "IVF"): ("0.66", "0.68", "0.67 ± 0.05"),
        ("Sepsis", "BioBERT", "ANNOY"): ("0.64", "0.67", "0.65 ± 0.05"),
    },
)
RETRIEVAL_MIMIC4 = Table(
    _FUSION,
    "Table 3",
    "MIMIC-IV",
    ("Precision", "Recall", "F1-Score"),
    {
        ("Diabetes", "ClinicalBERT", "HNSW"): ("0.78", "0.80", "0.79 ± 0.03"),
        ("Diabetes", "ClinicalBERT", "IVF"): ("0.75", "0.77", "0.76 ± 0.03"),
        ("Diabetes", "ClinicalBERT", "ANNOY"): ("0.73", "0.75", "0.74 ± 0.04"),
        ("Diabetes", "BioBERT", "HNSW"): ("0.72", "0.74", "0.73 ± 0.04"),
        ("Diabetes", "BioBERT", "IVF"): ("0.69", "0.71", "0.70 ± 0.04"),
        ("Diabetes", "BioBERT", "ANNOY"): ("0.67", "0.69", "0.68 ± 0.05"),
        ("CHF", "ClinicalBERT", "HNSW"): ("0.75", "0.77", "0.76 ± 0.03"),
        ("CHF", "ClinicalBERT", "IVF"): ("0.72", "0.74", "0.73 ± 0.04"),
        ("CHF", "ClinicalBERT", "ANNOY"): ("0.70", "0.73", "0.71 ± 0.04"),
        ("CHF", "BioBERT", "HNSW"): ("0.70", "0.72", "0.71 ± 0.04"),
        ("CHF", "BioBERT", "IVF"): ("0.67", "0.69", "0.68 ± 0.05"),
        ("CHF", "BioBERT", "ANNOY"): ("0.65", "0.68", "0.66 ± 0.05"),
        ("Sepsis", "ClinicalBERT", "HNSW"): ("0.73", "0.75", "0.74 ± 0.04"),
        ("Sepsis", "ClinicalBERT", "IVF"): ("0.70", "0.72", "0.71 ± 0.04"),
        ("Sepsis", "ClinicalBERT", "ANNOY"): ("0.68", "0.71", "0.69 ± 0.05"),
        ("Sepsis", "BioBERT", "HNSW"): ("0.68", "0.70", "0.69 ± 0.05"),
        ("Sepsis", "BioBERT", "IVF"): ("0.65", "0.67", "0.66 ± 0.05"),
        ("Sepsis", "BioBERT", "ANNOY"): ("0.63", "0.66", "0.64 ± 0.06"),
    },
)
SEARCH_OF = (299_712, 256, 100)  # vectors, dimensions, k of Tables 4 and 6: sections 4.1, 4.3 and 4.4
SEARCH = Table(
    _FUSION,
    "Table 4",
    "other hardware, MIMIC-IV",
    ("Index Build Time (mins)", "Avg. Query Time (ms)", "Throughput (q/s)"),
    {
        ("HNSW",): ("21.5", "8.9 ± 1.1", "112"),
        ("IVF",): ("5.1", "24.6 ± 2.4", "41"),
        ("ANNOY",): ("15.7", "29.8 ± 2.8", "34"),
    },
)
FUSIONS = Table(
    _FUSION,
    "Table 5",
    "MIMIC-IV",
    ("Diabetes F1", "CHF F1", "Sepsis F1"),
    {
        ("Text-Only",): ("0.70", "0.69", "0.68"),
        ("Structured-Only",): ("0.60", "0.58", "0.55"),
        ("Simple Concatenation",): ("0.76", "0.73", "0.71"),
        ("Gated Fusion (Ours)",): ("0.79", "0.76", "0.74"),
    },
)
RESOURCES = Table(
    _FUSION,
    "Table 6",
    "other hardware, MIMIC-IV",
    ("Value",),
    {
        ("Embedding Generation", "Avg. Latency (Offline)"): ("≈150 ms/patient (on GPU)",),
        ("Querying (HNSW)", "Avg. Latency (Online)"): ("8.9 ± 1.1 ms",),
        ("Querying (HNSW)", "End-to-End Latency (New Patient)"): ("≈159 ms",),
        ("Resource Footprint (HNSW)", "Index RAM (MIMIC-IV, 299k patients)"): ("≈5.2 GB",),
    },
)

SEPSIS = Table(
    _SEPSIS,
    "Table 1",
    "MIMIC-IV",
    ("before using the Focal Loss function", "after using the Focal Loss function"),
    {
        ("Accuracy",): ("0.8736", "0.9306"),
        ("Specificity",): ("0.7912", "0.9374"),
        ("F1 Score",): ("0.6428", "0.8688"),
        ("Recall",): ("0.5917", "0.9103"),
        ("AUROC",): ("0.8029", "0.9724"),
    },
)

NOTE_MODELS = Table(  # a row is named by the model and by its checkpoint
    _CLINICALNOTEBERT,
    "first table",
    "the authors' data",
    ("# Params", "Fine-tuning"),
    {
        ("ClinicalNoteBERT-note-only", "jhliu/ClinicalNoteBERT-base-note_only"): ("110M", "80.0"),
        ("ClinicalNoteBERT-note-ntp", "jhliu/ClinicalNoteBERT-base-note_ntp"): ("110M", "80.6"),
        ("ClinicalNoteBERT-base", "jhliu/ClinicalNoteBERT-base"): ("110M", "80.1"),
        ("ClinicalNoteBERT-small", "jhliu/ClinicalNoteBERT-small"): ("67M", "78.1"),
        ("ClinicalNoteBERT-tiny", "jhliu/ClinicalNoteBERT-tiny"): ("14.5M", "74.1"),
    },
)
NOTE_TASKS = Table(  # STS is of SimCSE of sentences, RAG of segments, Fusion of notes
    _CLINICALNOTEBERT,
    "second table",
    "the authors' data",
    ("STS", "RAG", "Fusion"),
    {
        ("ClinicalNoteBERT-note-only", "jhliu/ClinicalNoteBERT-base-note_only"): ("78.9", "14.0", "66.5"),
        ("ClinicalNoteBERT-base", "jhliu/ClinicalNoteBERT-base"): ("79.8", "12.3", "66.7"),
        ("ClinicalNoteBERT-small", "jhliu/ClinicalNoteBERT-small"): ("77.1", "11.4", "66.8"),
        ("ClinicalNoteBERT-tiny", "jhliu/ClinicalNoteBERT-tiny"): ("75.7", "8.9", "65.5"),
    },
)
_SCORED_BY = {  # after what a checkpoint was trained for
    "": (NOTE_MODELS, "Fine-tuning"),
    "sentence": (NOTE_TASKS, "STS"),
    "segment": (NOTE_TASKS, "RAG"),
    "note": (NOTE_TASKS, "Fusion"),
}


def of_checkpoint(hub_id: str) -> Figure | None:
    """Return the score of a checkpoint of ClinicalNoteBERT; None for one without, and for any other."""
    base, _, variant = hub_id.partition("-simcse_")
    if variant not in _SCORED_BY:
        return None
    table, column = _SCORED_BY[variant]
    return table.figure(next((names for names in table.rows if names[1] == base), ()), column)
