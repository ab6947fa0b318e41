"""Notes of the synthetic hospital: telegraphic, noisy, varied, of seven categories at MIMIC-III's rates."""

from collections.abc import Callable, Mapping
from datetime import datetime
from random import Random
from typing import Any

from cohorts.records.synthetic.admission import Admission

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
NO_TIME = ("Discharge summary", "ECG", "Echo")  # MIMIC-III gives these a day only
DESCRIPTIONS = {"Radiology": "CHEST (PORTABLE AP)", "Physician ": "Physician Resident Progress Note"}
ERROR_RATE = 0.002
TYPO_RATE = 0.04  # for each word of the list, in each note
ABOUT_PRINCIPAL = 0.42  # chance that a line speaks of the principal condition; else of another or of nothing
ABOUT_OTHER = 0.22
TRUE_SEVERITY = 0.85  # chance that what a note says of the severity is so


def write_notes(rng: Random, stay: Admission, hospital: Mapping[str, Any]) -> list[Row]:
    """Return the stay's rows of NOTEEVENTS, without a row number."""
    writer = _Writer(rng, stay, hospital)
    rows = []
    for category, (rate, (fewest, most)) in RATES.items():
        if rng.random() >= rate:
            continue
        for _ in range(rng.randint(fewest, most)):
            when = stay.admitted + (stay.discharged - stay.admitted) * rng.random()
            if category == "Discharge summary":
                when = stay.discharged
            text = _misspelt(rng, _WRITERS[category](writer), hospital["common"]["typos"])
            rows.append(_row(rng, stay, category, when, text))
    return rows


def _row(rng: Random, stay: Admission, category: str, when: datetime, text: str) -> Row:
    time = "" if category in NO_TIME else when.strftime("%Y-%m-%d %H:%M:%S")
    error = "1" if rng.random() < ERROR_RATE else ""
    description = DESCRIPTIONS.get(category, "Report")
    key = (stay.patient, stay.number)
    return (*key, when.strftime("%Y-%m-%d"), time, time, category, description, "", error, text)


class _Writer:
    """Writes one stay's notes; every line is drawn anew."""

    def __init__(self, rng: Random, stay: Admission, hospital: Mapping[str, Any]) -> None:
        self._rng = rng
        self._stay = stay
        self._principal = hospital["conditions"][stay.principal]
        self._others = [hospital["conditions"][name] for name in stay.others]
        self._chronic = [hospital["background"][code]["note"] for code in stay.background]
        self._common = hospital["common"]

    def discharge(self) -> str:
        """Write the longest note: the stay from end to end."""
        stay, pick = self._stay, self._rng.choice
        lines = [
            f"Admission Date:  {_hidden(stay.admitted)}     Discharge Date:  {_hidden(stay.discharged)}",
            f"Date of Birth:  [**{stay.admitted.year - min(stay.age, 89)}-1-1**]     Sex:  {stay.sex}",
            f"Service:  {pick(self._common['services'])}",
            "History of Present Illness:",
            f"{self._age()} {pick(['presents', 'admitted', 'transferred'])} w/ {self._line('complaint', sure=True)}.",
            *self._some(1, 3, lambda: self._line("complaint")),
            *self._some(1, 3, lambda: pick(self._common["negated"])),
            "Past Medical History:",
            *self._history(),
            f"{pick(self._common['family'])}.",
            "Physical Exam:",
            *self._some(2, 3, self._measured),
            *self._some(2, 4, lambda: self._line("finding")),
            "Brief Hospital Course:",
            *self._some(5, 9, lambda: self._line(pick(["course", "finding", "generic"]))),
            *self._severity(2),
            f'Pt told the team "{pick(self._common["said"])}".',
            "Discharge Medications:",
            *(f"{place}. {drug}" for place, drug in enumerate(self._drugs(5), start=1)),
            "Discharge Disposition:",
            "Expired" if stay.died else pick(["Home With Service", "Extended Care", "Home"]),
            f"Followup: [**Last Name (LF) {self._rng.randrange(100, 999)}**]",
            f"at [**{pick(self._common['hospitals'])}**] in {self._rng.randrange(1, 9)} weeks",
        ]
        return "\n".join(lines)

    def nursing(self) -> str:
        """Write a shift's progress."""
        pick = self._rng.choice
        systems = self._rng.sample(["NEURO", "RESP", "CV", "GI", "GU", "ID", "SKIN", "SOCIAL", "ACCESS"], 5)
        lines = [
            f"{pick(['Nursing progress note', 'NPN', 'CCU NPN', 'focus note'])} {self._rng.randrange(24):02}:00"
        ]
        for system in systems:
            lines.append(f"{system}: {self._line(pick(['finding', 'course']))}. {self._line('generic')}.")
        lines += [f"{self._measured()}.", *self._severity(1), f"PLAN: {self._line('course')}."]
        return "\n".join(lines)

    def physician(self) -> str:
        """Write a daily plan."""
        pick = self._rng.choice
        lines = [
            f"Chief Complaint:  {self._line('complaint')}",
            "24 Hour Events:",
            *self._severity(2),
            f"Allergies: [**Known lastname {self._rng.randrange(100, 999)}**] reports none",
            "Physical Examination:",
            *self._some(3, 4, self._measured),
            *self._some(2, 3, lambda: self._line("finding")),
            f"Assessment and Plan: {self._age()} w/ {', '.join(self._chronic[:2]) or 'no PMH'}.",
            f"{self._line('finding', sure=True)}.",
            *self._some(4, 6, lambda: f"# {self._line('course')}", end=""),
            *(f"- {drug}" for drug in self._drugs(2)),
            f"{pick(self._common['negated'])}. {pick(self._common['family'])}.",
            f"ICU Consent: pt unable / [**{pick(self._common['first_names'])}**]",
        ]
        return "\n".join(lines)

    def radiology(self) -> str:
        """Write an image's report."""
        rng, pick = self._rng, self._rng.choice
        lines = [
            f"{_hidden(self._stay.admitted)} {rng.randrange(1, 12)}:{rng.randrange(60):02} AM",
            f"CHEST (PORTABLE AP)   Clip # [**Clip Number (Radiology) {rng.randrange(1000, 9999)}**]",
            f"Reason: {self._line('complaint')}",
            f"UNDERLYING MEDICAL CONDITION: {self._age()} w/ {pick(self._chronic or ['no PMH'])}",
            "FINDINGS:",
            *self._some(4, 6, lambda: self._line("radiology")),
            f"{pick(self._common['negated'])}.",
            f"IMPRESSION: {self._line('radiology')}. {self._line('radiology')}.",
        ]
        return "\n".join(lines)

    def ecg(self) -> str:
        """Write a tracing's few lines."""
        return ". ".join(self._some(2, 4, lambda: self._line("ecg"), end="")) + "."

    def echo(self) -> str:
        """Write an echocardiogram's report."""
        lines = [
            "PATIENT/TEST INFORMATION:",
            f"Indication: {self._line('complaint')}",
            f"BP (mm Hg): {self._rng.randrange(90, 160)}/{self._rng.randrange(45, 90)}",
            "Conclusions:",
        ]
        return "\n".join([*lines, *self._some(5, 7, lambda: self._line("echo"))])

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
        drawn = [line() + end for _ in range(self._rng.randint(fewest, most))]
        return list(dict.fromkeys(drawn))  # nobody writes one line twice

    def _measured(self) -> str:
        """Write vital signs or laboratory values; they say nothing of the condition."""
        return _measured(self._rng, self._rng.choice(self._common["measured"]))

    def _drugs(self, count: int) -> list[str]:
        drugs = [*self._principal["drugs"], *self._common["drugs"]]
        drugs += [drug for other in self._others for drug in other["drugs"]]
        return [
            f"{drug} {self._rng.choice(self._common['doses'])}" for drug in self._rng.sample(drugs, count)
        ]

    def _history(self) -> list[str]:
        known = [f"h/o {other['codes'][0][1].split(',')[0].lower()}" for other in self._others]
        return [*known, *self._chronic] or ["none known"]

    def _severity(self, lines: int) -> list[str]:
        """Return what tells how ill the patient is; only these lines carry the risk of death."""
        ill = self._stay.severe if self._rng.random() < TRUE_SEVERITY else not self._stay.severe
        phrases = self._common["severe" if ill else "mild"]
        return [f"{phrase}." for phrase in self._rng.sample(phrases, lines)]

    def _age(self) -> str:
        age = self._stay.age if self._stay.age < 90 else "[**Age over 90 **]"
        return f"{age}{self._rng.choice([' yo ', ' y/o ', ' year old '])}{self._rng.choice(['pt', self._stay.sex])}"


def _measured(rng: Random, template: str) -> str:
    draw = rng.randrange
    return template.format(
        warm=rng.uniform(36, 38.4),
        heart=draw(58, 118),
        upper=draw(92, 165),
        lower=draw(44, 92),
        breaths=draw(11, 27),
        oxygen=draw(91, 101),
        white=rng.uniform(4, 14),
        red=rng.uniform(24, 42),
        platelets=draw(12, 38),
        sugar=draw(80, 190),
        low=rng.uniform(0.6, 1.9),
        sodium=draw(132, 146),
        potassium=rng.uniform(3.4, 5),
    )


def _hidden(when: datetime) -> str:
    return f"[**{when.year}-{when.month}-{when.day}**]"


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
