"""NOTEEVENTS: telegraphic, noisy, templated and copied notes of seven categories, at MIMIC-III's rates.

A note speaks of what was found, ordered and measured; the words for it are shared, and a condition is often not named.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from random import Random

from cohorts.records.synthetic.facts import Facts
from cohorts.records.synthetic.network import parameters

Row = tuple[
    int, int, str, str | None, str, str, str | None, str
]  # patient, stay, day, time, category, …, error, text

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
HOURS = {"Nursing": (5, 17), "Nursing/other": (5, 17), "Physician ": (7, 9)}  # when some are written
NO_TIME = ("Discharge summary", "ECG", "Echo")  # MIMIC-III gives these a day only
DESCRIPTIONS = {"Radiology": "CHEST (PORTABLE AP)", "Physician ": "Physician Resident Progress Note"}
ERROR_RATE = 0.002
TYPO_RATE = 0.04  # for each word of the list, in each note
ABOUT = 0.6  # chance that a line speaks of something that was found; else of nothing in particular
NAMED = 0.5  # chance that a note which could name a condition does
REMEMBERED = 0.7  # chance that a discharge summary's history has a condition that lasts
DOUBTED = 0.2  # chance that a note speaks of a condition that is not there as of one that might be
COPIED = 0.45  # chance that a note begins with lines of the one before it
TRUE_SEVERITY = 0.85  # chance that what a note says of the severity is so
PLANTED = 0.7  # chance that a note speaks of what is planted


def write_notes(rng: Random, facts: Facts) -> list[Row]:
    """Return the stay's rows of NOTEEVENTS, without a row number, in the order of their times."""
    writer = _Writer(rng, facts)
    planned = []
    for category, (rate, (fewest, most)) in RATES.items():
        if rng.random() >= rate:
            continue
        planned += [(_time(rng, facts, category), category) for _ in range(rng.randint(fewest, most))]
    return [
        _row(rng, facts, when, category, writer.write(category, when)) for when, category in sorted(planned)
    ]


def _time(rng: Random, facts: Facts, category: str) -> datetime:
    """Return when a note is written: at the end, at a change of shift, on the morning's round, or at any time."""
    if category == "Discharge summary":
        return facts.discharged
    share = rng.random() ** (1.5 if category in ("ECG", "Echo", "Radiology") else 1.0)
    when = facts.admitted + (facts.discharged - facts.admitted) * share
    if category in HOURS:
        when = when.replace(hour=rng.choice(HOURS[category]), minute=rng.randrange(60))
    within: datetime = min(max(when, facts.admitted), facts.discharged)
    return within.replace(second=0, microsecond=0)


def _row(rng: Random, facts: Facts, when: datetime, category: str, text: str) -> Row:
    time = None if category in NO_TIME else f"{when:%Y-%m-%d %H:%M:%S}"
    error = "1" if rng.random() < ERROR_RATE else None
    description = DESCRIPTIONS.get(category, "Report")
    return facts.patient, facts.number, f"{when:%Y-%m-%d}", time, category, description, error, text


class _Writer:
    """Writes one stay's notes; every line is drawn anew, or copied from the note before."""

    def __init__(self, rng: Random, facts: Facts) -> None:
        self._rng, self._facts = rng, facts
        self._lines: Mapping[str, Sequence[str]] = parameters("words")["lines"]
        self._before: dict[str, list[str]] = {}  # what may be copied, by category
        self._when = facts.admitted

    def write(self, category: str, when: datetime) -> str:
        """Write a note."""
        self._when = when
        return self._misspelt("\n".join(_WRITERS[category](self)))

    def discharge(self) -> list[str]:
        """Write the longest note: the stay from end to end."""
        facts, pick = self._facts, self._rng.choice
        return [
            f"Admission Date:  {_hidden(facts.admitted)}     Discharge Date:  {_hidden(facts.discharged)}",
            f"Date of Birth:  [**{facts.admitted.year - min(facts.age, 89)}-1-1**]     Sex:  {facts.sex}",
            f"Service:  {pick(self._lines['services'])}",
            "History of Present Illness:",
            f"{self._age()} {pick(['presents', 'admitted', 'transferred'])} w/ {self._found('complaints', sure=True)}.",
            *self._some(2, 4, lambda: self._found("complaints")),
            *self._some(2, 3, self._denied),
            "Past Medical History:",
            *self._history(),
            f"{pick(self._lines['family'])}.",
            "Physical Exam:",
            *self._some(2, 3, self._measured),
            *self._some(1, 3, lambda: self._found("exam")),
            "Brief Hospital Course:",
            *self._named(),
            *self._copied("Physician "),
            *self._some(3, 6, lambda: self._found(pick(["care", "care", "exam", "generic"]))),
            *self._some(1, 2, self._drug),
            *self._planted(),
            *self._severity(2),
            f'Pt told the team "{pick(self._lines["said"])}".',
            "Discharge Medications:",
            *(f"{place}. {drug}" for place, drug in enumerate(self._medications(5), start=1)),
            "Discharge Disposition:",
            "Expired" if facts.died else pick(["Home With Service", "Extended Care", "Home"]),
            f"Followup: [**Last Name (LF) {self._rng.randrange(100, 999)}**]",
            f"at [**{pick(self._lines['hospitals'])}**] in {self._rng.randrange(1, 9)} weeks",
        ]

    def nursing(self) -> list[str]:
        """Write a shift's progress."""
        pick = self._rng.choice
        heading = f"{pick(['Nursing progress note', 'NPN', 'CCU NPN', 'focus note'])} {self._when:%H:%M}"
        body = [
            f"{system}: {self._found(pick(['exam', 'care', 'exam', 'generic']))}. {self._found('generic')}."
            for system in self._rng.sample(self._lines["systems"], 5)
        ]
        body = self._kept("Nursing", body)
        return [
            heading,
            *body,
            f"{self._measured()}.",
            *self._some(0, 1, self._drug),
            *self._planted(),
            *self._severity(1),
            f"PLAN: {self._found('care')}.",
        ]

    def physician(self) -> list[str]:
        """Write a daily plan."""
        pick = self._rng.choice
        plan = self._some(3, 5, lambda: f"# {self._found('care')}", end="")
        return [
            f"Chief Complaint:  {self._found('complaints', sure=True)}",
            "24 Hour Events:",
            *self._severity(2),
            f"Allergies: [**Known lastname {self._rng.randrange(100, 999)}**] reports none",
            "Physical Examination:",
            *self._some(2, 4, self._measured),
            *self._some(2, 3, lambda: self._found("exam")),
            f"Assessment and Plan: {self._age()} w/ {', '.join(self._remembered(2)) or 'no PMH'}.",
            *self._named(),
            *self._kept("Physician ", plan),
            *self._planted(),
            *(f"- {drug}" for drug in self._medications(2)),
            f"{self._denied()}. {pick(self._lines['family'])}.",
            f"ICU Consent: pt unable / [**{pick(self._lines['first_names'])}**]",
        ]

    def radiology(self) -> list[str]:
        """Write an image's report."""
        rng = self._rng
        return [
            f"{_hidden(self._when)} {rng.randrange(1, 12)}:{rng.randrange(60):02} AM",
            f"CHEST (PORTABLE AP)   Clip # [**Clip Number (Radiology) {rng.randrange(1000, 9999)}**]",
            f"Reason: {self._found('complaints', sure=True)}",
            f"UNDERLYING MEDICAL CONDITION: {self._age()} w/ {', '.join(self._remembered(1)) or 'no PMH'}",
            "FINDINGS:",
            *self._some(3, 5, lambda: self._found("radiology")),
            f"{rng.choice(self._facts.absent['radiology'] or self._lines['negated'])}.",
            f"IMPRESSION: {self._found('radiology')}. {self._found('radiology')}.",
        ]

    def ecg(self) -> list[str]:
        """Write a tracing's few lines."""
        return [". ".join(self._some(2, 4, lambda: self._found("ecg"), end="")) + "."]

    def echo(self) -> list[str]:
        """Write an echocardiogram's report."""
        return [
            "PATIENT/TEST INFORMATION:",
            f"Indication: {self._found('complaints', sure=True)}",
            f"BP (mm Hg): {self._rng.randrange(90, 160)}/{self._rng.randrange(45, 90)}",
            "Conclusions:",
            *self._some(4, 6, lambda: self._found("echo")),
        ]

    def _found(self, kind: str, *, sure: bool = False) -> str:
        """Say one of the stay's findings, or nothing in particular."""
        present = self._facts.present.get(kind)
        if present and (sure or self._rng.random() < ABOUT):
            return self._rng.choice(self._rng.choice(present))
        return self._rng.choice(self._lines.get(kind, self._lines["generic"]))

    def _denied(self) -> str:
        """Say that something is not there: mostly a complaint that was not found, at times what nobody asked for."""
        absent = self._facts.absent["complaints"]
        return self._rng.choice(absent if absent and self._rng.random() < 0.6 else self._lines["negated"])

    def _named(self) -> list[str]:
        """Name some of what the stay is about, and now and then what it is not."""
        rng = self._rng
        said = [
            rng.choice(self._lines["named"]).format(rng.choice(called))
            for called in self._facts.acute
            if rng.random() < NAMED
        ]
        if rng.random() < DOUBTED:
            said.append(
                rng.choice(self._lines["possible"]).format(rng.choice(rng.choice(self._facts.others)))
            )
        return [f"{line}." for line in dict.fromkeys(said)]

    def _remembered(self, most: int) -> list[str]:
        known = self._rng.sample(self._facts.chronic, min(most, len(self._facts.chronic)))
        return [self._rng.choice(called) for called in known]

    def _history(self) -> list[str]:
        rng = self._rng
        known = [
            rng.choice(self._lines["history"]).format(rng.choice(called))
            for called in self._facts.chronic
            if rng.random() < REMEMBERED
        ]
        return known or ["none known"]

    def _drug(self) -> str:
        said = self._rng.choice(self._facts.spoken or [["IVF"]])
        return self._rng.choice(self._lines["drugs"]).format(self._rng.choice(said))

    def _medications(self, most: int) -> list[str]:
        return self._rng.sample(self._facts.medications, min(most, len(self._facts.medications)))

    def _measured(self) -> str:
        """Write vital signs or laboratory values, as they were then."""
        values = self._facts.values_at(self._when)
        told = [line for line in _VALUES if all(name in values for name in line[1])]
        if not told:
            return "VSS"
        text, names = self._rng.choice(told)
        return text.format(*(values[name] for name in names))

    def _severity(self, lines: int) -> list[str]:
        """Return what tells how ill the patient is; in no other category of notes are such words."""
        ill = self._facts.severe if self._rng.random() < TRUE_SEVERITY else not self._facts.severe
        return [f"{phrase}." for phrase in self._rng.sample(self._lines["severe" if ill else "mild"], lines)]

    def _planted(self) -> list[str]:
        return [f"{said}." for said in self._facts.planted(self._when) if self._rng.random() < PLANTED]

    def _kept(self, category: str, body: list[str]) -> list[str]:
        """Return the new lines behind some that are copied, and keep them for the next note."""
        lines = list(dict.fromkeys([*self._copied(category), *body]))
        self._before[category] = lines
        return lines

    def _copied(self, category: str) -> list[str]:
        before = self._before.get(category, [])
        if not before or self._rng.random() >= COPIED:
            return []
        return before[: self._rng.randint(1, len(before))]

    def _some(self, fewest: int, most: int, line: Callable[[], str], end: str = ".") -> list[str]:
        drawn = [line() + end for _ in range(self._rng.randint(fewest, most))]
        return list(dict.fromkeys(drawn))  # nobody writes one line twice

    def _age(self) -> str:
        age = self._facts.age if self._facts.age < 90 else "[**Age over 90 **]"
        return f"{age}{self._rng.choice([' yo ', ' y/o ', ' year old '])}{self._rng.choice(['pt', self._facts.sex])}"

    def _misspelt(self, text: str) -> str:
        """Misspell now and then, out of a fixed list: the vocabulary stays bounded."""
        for right, wrong in parameters("words")["typos"].items():
            if right in text and self._rng.random() < TYPO_RATE:
                text = text.replace(right, wrong, 1)
        return text


def _hidden(when: datetime) -> str:
    return f"[**{when.year}-{when.month}-{when.day}**]"


_SIGNS = ("Heart Rate", "Non Invasive Blood Pressure systolic", "Non Invasive Blood Pressure diastolic")
_BREATH = ("Respiratory Rate", "O2 saturation pulseoxymetry")
_VALUES: Sequence[tuple[str, tuple[str, ...]]] = (
    ("VS: HR {:.0f} BP {:.0f}/{:.0f} RR {:.0f} O2 sat {:.0f}%", (*_SIGNS, *_BREATH)),
    ("HR {:.0f}, SBP {:.0f}, sats {:.0f}%", (*_SIGNS[:2], _BREATH[1])),
    ("BLOOD WBC-{:.1f} Hct-{:.1f} Plt Ct-{:.0f}", ("White Blood Cells", "Hematocrit", "Platelet Count")),
    (
        "BLOOD Glucose-{:.0f} UreaN-{:.0f} Creat-{:.1f} Na-{:.0f} K-{:.1f}",
        ("Glucose", "Urea Nitrogen", "Creatinine", "Sodium", "Potassium"),
    ),
    ("INR {:.1f}", ("INR(PT)",)),
    ("lactate {:.1f}", ("Lactate",)),
)
VALUES = tuple(dict.fromkeys(name for _, names in _VALUES for name in names))

_WRITERS: Mapping[str, Callable[[_Writer], list[str]]] = {
    "Discharge summary": _Writer.discharge,
    "ECG": _Writer.ecg,
    "Radiology": _Writer.radiology,
    "Nursing/other": _Writer.nursing,
    "Echo": _Writer.echo,
    "Nursing": _Writer.nursing,
    "Physician ": _Writer.physician,
}
