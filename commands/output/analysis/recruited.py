"""Who may be recruited, what each criterion costs, and how right a reviewed list was."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cohorts.analysis.recruit.funnel import Step
from cohorts.analysis.recruit.recruited import Candidate, Recruited
from cohorts.analysis.recruit.reviewed import Precision
from cohorts.commands.output import log
from cohorts.commands.output.analysis.cohorts import print_csv, print_json
from cohorts.commands.output.passages import passage_as_json, passage_table
from cohorts.commands.output.plain_table import SYNTHETIC, PlainTable, show

if TYPE_CHECKING:
    from cohorts.analysis.evidence import Passage

HIDDEN = "hidden"


def show_recruited(found: Recruited, output: str, passages: "Sequence[Passage | None] | None" = None) -> None:
    """Print the funnel and the ranked patients, with passages of their notes; as CSV the patients alone."""
    if output == "json":
        print_json(_as_json(found, passages))
    elif output == "csv":
        rows = found.to_pandas()
        if passages is not None:
            rows["evidence"] = [one.text if one else None for one in passages]
        print_csv([str(name) for name in rows], rows.itertuples(index=False))
    else:
        title = "\n".join(
            line for line in (found.title, SYNTHETIC if found.synthetic else "", _known(found)) if line
        )
        read = [] if passages is None else [passage_table("profile", found.patients, passages)]
        show(_funnel(found, title), _ranked(found.candidates), *read)
    hidden = any(None in (one.left, one.alone, one.unknown) for one in found.funnel) or found.screened is None
    notes = (
        *found.notes,
        *(("small counts, and those that would give them away, are hidden",) if hidden else ()),
    )
    for note in notes:
        log.say("note", f"Note: {note}.")


def show_precision(found: Sequence[Precision], title: str, output: str) -> None:
    """Print the precision of a reviewed list."""
    if output == "json":
        print_json({"profile": title, "precision": [asdict(one) for one in found]})
        return
    if output == "csv":
        rows = (
            (one.among, one.judged, one.right, one.share.value, one.share.low, one.share.high)
            for one in found
        )
        print_csv(("among_the_first", "judged", "right", "precision", "low_95", "high_95"), rows)
        return
    table = PlainTable(title)
    for name in ("among the first", "judged", "eligible", "precision (95 % interval)"):
        table.add_column(name, justify="right")
    for one in found:
        share = f"{one.share.value:.2f} ({one.share.low:.2f} to {one.share.high:.2f})" if one.judged else "–"
        table.add_row(f"{one.among:,}", f"{one.judged:,}", f"{one.right:,}", share)
    show(table)


def _known(found: Recruited) -> str:
    return f"as known on {found.as_of}" if found.as_of else ""


def _funnel(found: Recruited, title: str) -> PlainTable:
    table = PlainTable(title)
    table.add_column("criterion")
    for name in ("left", "left by it alone", "of these unknown"):
        table.add_column(name, justify="right")
    table.add_row("patients screened", _count(found.screened), "", "")
    for step in found.funnel:
        table.add_row(
            f"{step.role}: {step.criterion}", _count(step.left), _count(step.alone), _count(step.unknown)
        )
    return table


def _ranked(candidates: Sequence[Candidate]) -> PlainTable:
    table = PlainTable()
    for name in ("rank", "patient", "missed", "similarity"):
        table.add_column(name, justify="right", no_wrap=True)
    labels = [f"{one.role}: {one.criterion}" for one in candidates[0].verdicts] if candidates else []
    for label in labels:
        table.add_column(label)
    for rank, one in enumerate(candidates, start=1):
        told = ("\n".join(filter(None, (verdict.status, verdict.told_by))) for verdict in one.verdicts)
        table.add_row(
            str(rank), one.patient, str(one.missed), "" if one.score is None else f"{one.score:.4f}", *told
        )
    return table


def _count(value: int | None) -> str:
    return HIDDEN if value is None else f"{value:,}"


def _as_json(found: Recruited, passages: "Sequence[Passage | None] | None") -> dict[str, Any]:
    told = passages or [None] * len(found.candidates)
    return {
        "profile": found.title,
        "synthetic": found.synthetic,
        **({"as_of": found.as_of.isoformat()} if found.as_of else {}),
        "screened": found.screened,
        "funnel": [_step(one) for one in found.funnel],
        "notes": list(found.notes),
        "candidates": [
            {
                "rank": rank,
                "patient": one.patient,
                "missed": one.missed,
                "unknown": one.unknown,
                "score": one.score,
                "criteria": [
                    {**asdict(verdict), "time": verdict.time.isoformat() if verdict.time else None}
                    for verdict in one.verdicts
                ],
                **({} if passages is None else {"evidence": passage_as_json(read)}),
            }
            for rank, (one, read) in enumerate(zip(found.candidates, told, strict=True), start=1)
        ],
    }


def _step(step: Step) -> dict[str, Any]:
    return {name: HIDDEN if value is None else value for name, value in asdict(step).items()}
