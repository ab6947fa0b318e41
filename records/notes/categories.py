"""What kinds of notes a source has: of each category how many notes, and how many admissions have one."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

KNOWN = frozenset(  # MIMIC-III's own names
    (
        "Case Management",
        "Consult",
        "Discharge summary",
        "ECG",
        "Echo",
        "General",
        "Nursing",
        "Nursing/other",
        "Nutrition",
        "Pharmacy",
        "Physician",
        "Radiology",
        "Rehab Services",
        "Respiratory",
        "Social Work",
    )
)
NONE, OTHERS = "no category", "any other"
_SEVERAL = 10  # patients; a name that no more of them have may be a patient's own text
_MOST = 1_000  # names that are not known: a column of free text is not a column of categories


class Category(NamedTuple):
    """Notes of a category, and admissions that have one: counts and shares, 0 to 1; None where it can't be told."""

    name: str
    notes: int
    share_of_notes: float
    admissions: int | None
    share_of_admissions: float | None


class NoteCategories:
    """Counts the notes of a source, whole patients at a time.

    A name is told if it is one of MIMIC's, or if more than ten patients have it; all else is told as `any other`.
    """

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._notes: Counter[str] = Counter()
        self._admissions: Counter[str] = Counter()
        self._patients: Counter[str] = Counter()

    def add(self, notes: "pd.DataFrame") -> None:
        """Count notes of patients that come once: their category, admission_id and patient_id."""
        frame = notes.assign(name=notes["category"].fillna(NONE).map(self._kept))
        self._notes.update(frame["name"].tolist())
        for column, counter in (("admission_id", self._admissions), ("patient_id", self._patients)):
            distinct = frame[["name", column]].dropna().drop_duplicates()
            counter.update(distinct["name"].tolist())

    def told(self, admissions: int) -> Iterator[Category]:
        """Yield the categories, those that most admissions have first; none for a source that names no category."""
        names = [name for name in self._notes if self._may_be_told(name)]
        pooled = sum(many for name, many in self._notes.items() if name not in names)
        if not pooled and names in ([], [NONE]):
            return
        total = sum(self._notes.values())
        for name in sorted(names, key=lambda name: (-self._admissions[name], -self._notes[name], name)):
            notes, having = self._notes[name], self._admissions[name]
            yield Category(
                name,
                notes,
                notes / total,
                having if admissions else None,
                having / admissions if admissions else None,
            )
        if pooled:
            yield Category(OTHERS, pooled, pooled / total, None, None)

    def _kept(self, name: str) -> str:
        if name not in self._names and len(self._names) >= _MOST and name not in KNOWN:
            return OTHERS
        self._names.add(name)
        return name

    def _may_be_told(self, name: str) -> bool:
        return name in KNOWN or name == NONE or (name != OTHERS and self._patients[name] > _SEVERAL)
