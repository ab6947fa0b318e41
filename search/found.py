"""What a search found, for people: rows, a table of pandas, and a table in a notebook."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, overload

from cohorts.connectors.base import Hit
from cohorts.plain_text import printable
from cohorts.search.neighbours import Neighbours
from cohorts.search.question import Question

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = 6  # of payload in a notebook; to_pandas has all
_FIRST = ("age", "sex", "principal_code", "principal_title", "died")
_LONG = 60  # signs of a cell there
_CELL = 'style="text-align:left;white-space:nowrap"'


@dataclass(frozen=True, repr=False)
class Found(Sequence[Hit]):
    """The neighbours that were found, best first: a sequence of rows with `id`, `score` and `payload`.

    The score is the cosine similarity, from -1 to 1; larger is nearer. Each row is the best unit of another patient,
    or, `per_unit`, any unit. `asked` is how many were asked for; `notes` says why fewer were found, and what the search
    did otherwise than asked. `synthetic` says that the patients are invented, `as_of` what the vectors are of: the
    whole stay, or a window of it ("" where others made them). `question` is what was asked, to ask it again:
    it doesn't count where two are compared.
    """

    collection: str
    hits: tuple[Hit, ...]
    asked: int
    notes: tuple[str, ...] = ()
    per_unit: bool = False
    synthetic: bool = False
    as_of: str = ""
    question: Question | None = field(default=None, compare=False)

    def __len__(self) -> int:
        """Return how many were found."""
        return len(self.hits)

    def __iter__(self) -> Iterator[Hit]:
        """Yield the rows, best first."""
        return iter(self.hits)

    @overload
    def __getitem__(self, at: int) -> Hit: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Hit, ...]: ...
    def __getitem__(self, at: int | slice) -> Hit | tuple[Hit, ...]:
        """Return the row at a place, or those of a slice."""
        return self.hits[at]

    def to_pandas(self) -> "pd.DataFrame":
        """Return a frame with one row per neighbour: `id`, `score`, and a column for each field of the payloads.

        A field called `id` or `score` itself is named `payload_id` or `payload_score`.
        """
        import pandas as pd

        names = list(dict.fromkeys(name for hit in self.hits for name in hit.payload))
        return pd.DataFrame(
            {
                "id": [hit.id for hit in self.hits],
                "score": [hit.score for hit in self.hits],
                **{_column(name): [hit.payload.get(name) for hit in self.hits] for name in names},
            }
        )

    def __repr__(self) -> str:
        """Return how many were found, and where: no patient's facts, for a log may keep it."""
        return f"<Found {self._told()}>"

    def _repr_html_(self) -> str:
        """Return a table for a notebook; whatever the payloads hold, it is shown as text."""
        shown = self._shown()
        heads = _row("th", ("", "id", "score", *shown))
        rows = (
            _row("td", (rank, hit.id, f"{hit.score:.4f}", *(hit.payload.get(name) for name in shown)))
            for rank, hit in enumerate(self.hits, start=1)
        )
        notes = "".join(f"<p>{_text(note)}</p>" for note in self.notes)
        return f"<p>{_text(self._told())}</p><table><thead>{heads}</thead><tbody>{''.join(rows)}</tbody></table>{notes}"

    def _shown(self) -> list[str]:
        """Return the fields to show: those that tell more than the id, lists left out."""
        there = dict.fromkeys(
            name
            for hit in self.hits
            for name, value in hit.payload.items()
            if value is not None and value != hit.id and not isinstance(value, list)
        )
        first = [name for name in _FIRST if name in there]
        return [*first, *(name for name in there if name not in first)][:_COLUMNS]

    def _told(self) -> str:
        what = "units" if self.per_unit else "patients"
        synthetic = ", synthetic: invented patients, no clinical meaning" if self.synthetic else ""
        seen = f", records seen: {self.as_of}" if self.as_of else ""
        return f"{len(self):,} {what} of {self.collection}{seen}{synthetic}"


def to_found(neighbours: Neighbours, name: str) -> Found:
    """Return neighbours in collection `name` as they are shown."""
    notes = (neighbours.shortfall, neighbours.translation, *neighbours.notes)
    return Found(
        collection=name,
        hits=tuple(neighbours.hits),
        asked=neighbours.asked,
        notes=tuple(note for note in notes if note),
        per_unit=neighbours.per_unit,
        synthetic=neighbours.synthetic,
        as_of=neighbours.as_of,
        question=neighbours.question,
    )


def _column(name: str) -> str:
    return f"payload_{name}" if name in ("id", "score") else name


def _row(tag: str, cells: Iterable[object]) -> str:
    return f"<tr>{''.join(f'<{tag} {_CELL}>{_text(_cut(cell))}</{tag}>' for cell in cells)}</tr>"


def _cut(value: object) -> str:
    text = "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _LONG else f"{text[: _LONG - 1]}…"


def _text(text: str) -> str:
    return escape(printable(text))
