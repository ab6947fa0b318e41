"""Notes of the synthetic hospital: telegraphic, noisy, varied, of seven categories at MIMIC-III's rates."""

from collections.abc import Callable, Mapping
from datetime import datetime
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cohorts.records.synth import Admission

Condition = Mapping[str, Any]
Row = tuple[Any, ...]

# Share of admissions with a note of the category (FineEHR on MIMIC-III), and how many there are then.
RATES = {
    "Discharge summary": (0.9757, (1, 1)),
    "ECG": (0.8758, (1, 2)),
    "Radiology": (0.8295, (1, 3)),
    "Nursing/other": (0.5139, (1, 4)),
    "Echo": (0.4582, (1, 1)),
    "Nursing": (0.1926, (1, 4)),
    "Physician ": (0.1916, (1, 3)),  # MIMIC-III writes it with a blank at its end
}
ERROR_RATE = 0.002
TYPO_RATE = 0.04
ABOUT_PRINCIPAL = 0.45  # chance that a line speaks of the principal condition; else of another or of nothing
ABOUT_OTHER = 0.2


def write_notes(
    rng: Random, stay: "Admission", conditions: Mapping[str, Condition], common: Condition
) -> list[Row]:
    """Return the stay's rows of NOTEEVENTS, without a row number."""
    writer = _Writer(rng, stay, conditions, common)
    rows = []
    for category, (rate, (fewest, most)) in RATES.items():
        if rng.random() >= rate:
            continue
        for _ in range(rng.randint(fewest, most)):
            when = stay.admitted + (stay.discharged - stay.admitted) * rng.random()
            if category == "Discharge summary":
                when = stay.discharged
            text = _misspelt(rng, _WRITERS[category](writer), common["typos"])
            rows.append(_row(rng, stay, category, when, text))
    return rows


def _row(rng: Random, stay: "Admission", category: str, when: datetime, text: str) -> Row:
    day = when.strftime("%Y-%m-%d")
    time = "" if category in ("Discharge summary", "ECG", "Echo") else when.strftime("%Y-%m-%d %H:%M:%S")
    error = "1" if rng.random() < ERROR_RATE else ""
    return (stay.patient, stay.number, day, time, time, category, "Report", "", error, text)


class _Writer:
    """Writes one stay's notes; every line is drawn anew."""

    def __init__(
        self, rng: Random, stay: "Admission", conditions: Mapping[str, Condition], common: Condition
    ) -> None:
        self._rng = rng
        self._stay = stay
        self._principal = conditions[stay.principal]
        self._others = [conditions[name] for name in stay.others]
        self._common = common

    def discharge(self) -> str:
        """Write the longest note: the stay from end to end."""
        stay, pick = self._stay, self._rng.choice
        lines = [
            f"Admission Date:  [**{stay.admitted:%Y-%-m-%-d}**]",
            f"Discharge Date:  [**{stay.discharged:%Y-%-m-%-d}**]",
            f"Date of Birth:  [**{stay.admitted.year - min(stay.age, 89)}-1-1**]     Sex:  {stay.sex}",
            f"Service:  {pick(['MEDICINE', 'CARDIOTHORACIC', 'NEUROLOGY', 'SURGERY'])}",
            "History of Present Illness:",
            f"{self._age()} {pick(['presents', 'admitted', 'transferred'])} w/ {self._line('complaint', sure=True)}.",
            pick(self._common["negated"]) + ".",
            "Past Medical History:",
            *self._history(),
            pick(self._common["family"]) + ".",
            "Brief Hospital Course:",
            *self._some(3, 5, lambda: self._line(pick(["course", "finding"]))),
            *self._severity(2),
            f'Pt told the team "{pick(["I feel better", "I want to go home", "it still hurts", "no complaints"])}".',
            "Discharge Disposition:",
            "Expired" if stay.died else pick(["Home With Service", "Extended Care", "Home"]),
            f"Followup: [**Last Name (LF) {self._rng.randrange(100, 999)}**]",
            f"Where: [**{pick(self._common['hospitals'])}**]",
        ]
        return "\n".join(lines)

    def nursing(self) -> str:
        """Write a shift's progress."""
        hour = f"{self._rng.randrange(24):02}:00"
        systems = self._rng.sample(["NEURO", "RESP", "CV", "GI", "GU", "ID", "SKIN", "SOCIAL"], 4)
        lines = [f"{self._rng.choice(['Nursing progress note', 'NPN', 'CCU NPN'])} {hour}"]
        lines += [f"{system}: {self._line(self._rng.choice(['finding', 'course']))}." for system in systems]
        lines += [*self._severity(1), f"Plan: {self._rng.choice(self._common['generic'])}."]
        return "\n".join(lines)

    def physician(self) -> str:
        """Write a daily plan."""
        pick = self._rng.choice
        lines = [
            f"Chief Complaint:  {self._line('complaint')}",
            "24 Hour Events:",
            *self._severity(2),
            f"Assessment: {self._age()} w/ {self._line('complaint')}, {self._line('finding', sure=True)}.",
            *(f"# {self._line('course')}" for _ in range(3)),
            pick(self._common["negated"]) + ". " + pick(self._common["family"]) + ".",
            f"ICU Consent: pt unable / [**{pick(self._common['first_names'])}**]",
        ]
        return "\n".join(lines)

    def radiology(self) -> str:
        """Write an image's report."""
        stay, pick = self._stay, self._rng.choice
        lines = [
            f"[**{stay.admitted:%Y-%-m-%-d}**] {self._rng.randrange(1, 12)}:{self._rng.randrange(60):02} AM",
            f"CHEST (PORTABLE AP)   Clip # [**Clip Number (Radiology) {self._rng.randrange(1000, 9999)}**]",
            f"Reason: {self._line('complaint')}",
            "FINDINGS:",
            *self._some(2, 3, lambda: self._line("radiology")),
            pick(self._common["negated"]) + ".",
            f"IMPRESSION: {self._line('radiology')}.",
        ]
        return "\n".join(lines)

    def ecg(self) -> str:
        """Write a tracing's one or two lines."""
        return ". ".join(self._some(1, 3, lambda: self._line("ecg"), end="")) + "."

    def echo(self) -> str:
        """Write an echocardiogram's report."""
        lines = ["PATIENT/TEST INFORMATION:", f"Indication: {self._line('complaint')}", "Conclusions:"]
        return "\n".join([*lines, *self._some(3, 4, lambda: self._line("echo"))])

    def _line(self, kind: str, *, sure: bool = False) -> str:
        """Draw a phrase of the principal condition, of another, or of nothing in particular."""
        draw = 0.0 if sure else self._rng.random()
        about = self._principal if draw < ABOUT_PRINCIPAL else None
        if about is None and self._others and draw < ABOUT_PRINCIPAL + ABOUT_OTHER:
            about = self._rng.choice(self._others)
        phrases = about.get(kind) if about else None
        phrase: str = self._rng.choice(phrases or self._common.get(kind, self._common["generic"]))
        return phrase

    def _some(self, fewest: int, most: int, line: Callable[[], str], end: str = ".") -> list[str]:
        return [line() + end for _ in range(self._rng.randint(fewest, most))]

    def _history(self) -> list[str]:
        known = [f"h/o {other['codes'][0][1].split(',')[0].lower()}" for other in self._others]
        return known or ["HTN, otherwise unremarkable"]

    def _severity(self, lines: int) -> list[str]:
        """Return what tells how ill the patient is; only these lines carry the risk of death."""
        ill = self._stay.severe if self._rng.random() < 0.85 else not self._stay.severe
        phrases = self._common["severe" if ill else "mild"]
        return [f"{phrase}." for phrase in self._rng.sample(phrases, lines)]

    def _age(self) -> str:
        age = self._stay.age if self._stay.age < 90 else "[**Age over 90 **]"
        return f"{age}{self._rng.choice([' yo ', ' y/o ', ' year old '])}{self._rng.choice(['pt', self._stay.sex])}"


_WRITERS: Mapping[str, Callable[[_Writer], str]] = {
    "Discharge summary": _Writer.discharge,
    "ECG": _Writer.ecg,
    "Radiology": _Writer.radiology,
    "Nursing/other": _Writer.nursing,
    "Echo": _Writer.echo,
    "Nursing": _Writer.nursing,
    "Physician ": _Writer.physician,
}


def _misspelt(rng: Random, text: str, typos: Mapping[str, str]) -> str:
    """Misspell now and then, out of a fixed list: the vocabulary stays bounded."""
    for right, wrong in typos.items():
        if right in text and rng.random() < TYPO_RATE:
            text = text.replace(right, wrong, 1)
    return text
