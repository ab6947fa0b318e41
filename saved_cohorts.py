"""Saved cohorts: one JSON file each, in the run folder of their collection, for its owner alone.

Here is the file and what it holds. Who makes one, asks it again or exports it stands in `analysis/saved/`; an erasure
takes its patient out of all of them.
"""

import json
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from cohorts.connectors.filters.conditions import All, AnyOf, Comparison, Contains, Filter, Not, OneOf
from cohorts.connectors.filters.reading import parse_filter
from cohorts.documents import conform, read_json
from cohorts.errors import InputError
from cohorts.private_files import private_folder, write_private

FOLDER = "cohorts"  # in the run folder of a collection
FORMAT = 1
RESERVED = ("rest", "matched")  # what a cohort is compared with, beside others
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")


@dataclass(frozen=True)
class SavedExample:
    """An example that was asked by: `value` is an id or a text, `vector` what it was asked by, where that is kept.

    Of a text that is not kept, `sha256` (hex, of its UTF-8) and `characters` tell which it was.
    """

    kind: Literal["patient", "new patient", "text", "note", "vector"]
    value: str = ""
    vector: tuple[float, ...] = ()
    weight: float = 1.0
    unlike: bool = False
    sha256: str = ""
    characters: int = 0


@dataclass(frozen=True)
class SavedQuestion:
    """How a cohort was made, so that it can be made again.

    By `examples`, of which the `k` nearest are the answer, with `search` parameters; by the filter `where` alone, which
    narrows a search too; by `ids` of patients; or by a `phenotype` of the records. `erased` counts what was taken out
    of it with a patient: a question that lacks something is not asked again.
    """

    kind: Literal["examples", "filter", "ids", "phenotype"]
    examples: tuple[SavedExample, ...] = ()
    any_of: bool = False
    contrast: bool | None = None
    as_written: bool = False
    k: int | None = None
    where: str = ""
    search: str = ""
    ids: tuple[str, ...] = ()
    phenotype: str = ""
    per_unit: bool = False
    erased: int = 0


@dataclass(frozen=True)
class SavedCohort:
    """What a file holds: unit i is `units[i]`, of patient `patients[i]`, with `scores[i]` where it was searched for.

    One unit stands for each patient, or, `question.per_unit`, any number. `encoder` is the fingerprint of what made the
    collection's vectors then ("" where others did), `as_of` the window that they are of, `index` the one in effect,
    `exact` whether the search was, `made` the time (UTC).
    """

    name: str
    collection: str
    engine: str
    index: str
    exact: bool
    encoder: str
    as_of: str
    unit: str
    synthetic: bool
    made: str
    question: SavedQuestion
    units: tuple[str, ...]
    patients: tuple[str, ...]
    scores: tuple[float, ...] = ()
    format: int = FORMAT

    def __post_init__(self) -> None:
        if len(self.units) != len(self.patients) or len(self.scores) not in (0, len(self.units)):
            raise InputError(
                f"it has {len(self.units):,} units, {len(self.patients):,} patients and {len(self.scores):,} scores"
            )


def check_cohort_name(name: str) -> None:
    """Raise InputError for what can't name a cohort: it becomes the name of a file."""
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name[:80]!r} can't name a cohort: letters, digits, _ and -, at most 80 of them, no sign first."
        )
    if name in RESERVED:
        raise InputError(
            f"{name!r} can't name a cohort: it is what others are compared with. Take another name."
        )


def cohort_file(run_dir: Path, name: str) -> Path:
    """Return the file of a cohort. Raises InputError for a name that is none."""
    check_cohort_name(name)
    return run_dir / FOLDER / f"{name}.json"


def saved_names(run_dir: Path) -> list[str]:
    """Return the names of the cohorts in a run folder, sorted."""
    files = (run_dir / FOLDER).glob("*.json")
    return sorted(file.stem for file in files if _NAME.fullmatch(file.stem))


def check_new(run_dir: Path, name: str) -> None:
    """Raise InputError where a cohort can't be saved by this name, before the work of finding it."""
    if cohort_file(run_dir, name).exists():
        raise InputError(
            f"There is a cohort {name} already. Take another name, or remove or refresh the one that is there."
        )


def write_cohort(run_dir: Path, saved: SavedCohort) -> Path:
    """Write a cohort's file whole or not at all, in the place of one that is there. Raises InputError."""
    file = cohort_file(run_dir, saved.name)
    with _told(file, "written"):
        private_folder(file.parent)
        write_private(file, json.dumps(asdict(saved), ensure_ascii=False, indent=1) + "\n")
    return file


def read_cohort(run_dir: Path, name: str) -> SavedCohort:
    """Return what a cohort's file holds.

    Raises InputError where there is none, where it is damaged, and where another version of cohorts wrote it.
    """
    file = cohort_file(run_dir, name)
    if not file.exists():
        there = ", ".join(saved_names(run_dir)) or "none"
        raise InputError(f"There is no cohort {name} in {file.parent}. There are: {there}.")
    remedy = "Remove it, and make the cohort anew."
    told = read_json(file, dict[str, Any], remedy=remedy)
    if told.get("format") != FORMAT:
        raise InputError(
            f"{file} is not of format {FORMAT}, the one that this version reads. Use the version of cohorts that wrote "
            "it, or make the cohort anew under another name."
        )
    return conform(told, SavedCohort, str(file), remedy=remedy)


def remove_cohort(run_dir: Path, name: str) -> None:
    """Remove a cohort's file, whatever it holds. Raises InputError where there is none."""
    file = cohort_file(run_dir, name)
    with _told(file, "removed"):
        file.unlink()


def erase_from_cohorts(run_dir: Path, called: Collection[str]) -> int:
    """Take a patient, by all that the id is `called`, out of every cohort of a run folder; return how many had them.

    Members go, and so does what the question says of them. Raises InputError where a file can't be read or written.
    """
    changed = 0
    for name in saved_names(run_dir):
        before = read_cohort(run_dir, name)
        after = _without(before, called)
        if after != before:
            write_cohort(run_dir, after)
            changed += 1
    return changed


def _without(saved: SavedCohort, called: Collection[str]) -> SavedCohort:
    kept = [
        at for at, both in enumerate(zip(saved.units, saved.patients, strict=True)) if not {*both} & {*called}
    ]
    return replace(
        saved,
        question=_question_without(saved.question, called),
        units=tuple(saved.units[at] for at in kept),
        patients=tuple(saved.patients[at] for at in kept),
        scores=tuple(saved.scores[at] for at in kept) if saved.scores else (),
    )


def _question_without(question: SavedQuestion, called: Collection[str]) -> SavedQuestion:
    examples = tuple(
        one for one in question.examples if one.kind in ("text", "vector") or one.value not in called
    )
    named = bool(question.where) and _names(parse_filter(question.where), called)
    return replace(
        question,
        examples=examples,
        ids=tuple(one for one in question.ids if one not in called),
        where="" if named else question.where,
        erased=question.erased + len(question.examples) - len(examples) + named,
    )


def _names(where: Filter, called: Collection[str]) -> bool:
    """Tell whether a filter names the patient: by a text, or by a number in a field of ids."""
    match where:
        case All(parts) | AnyOf(parts):
            return any(_names(part, called) for part in parts)
        case Not(part):
            return _names(part, called)
        case Comparison(field, _, value) | Contains(field, value):
            values: tuple[Any, ...] = (value,)
        case OneOf(field, values):
            pass
        case _:
            return False
    is_id = field.lower().endswith("id")
    return any(str(value) in called for value in values if is_id or isinstance(value, str))


@contextmanager
def _told(file: Path, what: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"There is no cohort {file.stem} in {file.parent}.") from error
    except OSError as error:
        raise InputError(f"{file} can't be {what}: {error.strerror}.") from error
