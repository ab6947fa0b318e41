"""Views of a source: some of its units; notes rewritten."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from cohorts.records.base import Batch, Unit
from cohorts.records.sources.partitioned import PartitionedSource
from cohorts.records.sources.registry import open_source
from cohorts.records.synthetic.hospital import synthesize
from cohorts.records.transforms import RewrittenNotes, Subset, View, reading
from small_hospitals import mimic3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("views") / "hospital"
    synthesize(made, 60, seed=5)
    return made


@pytest.fixture(params=list(Unit))
def source(folder: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[PartitionedSource]:
    with open_source(
        "mimic3", folder, unit=request.param, work_dir=tmp_path, quarantine_file=tmp_path / "bad.csv"
    ) as opened:
        yield opened


def test_a_subset_holds_its_units_and_nothing_of_others(source: PartitionedSource) -> None:
    (whole,) = source.batches()
    chosen = set(whole.units["unit_id"][::3])
    (part,) = Subset(source, chosen).batches()
    assert list(part.units["unit_id"]) == [one for one in whole.units["unit_id"] if one in chosen]
    for name in ("codes", "notes", "measurements"):
        frame: pd.DataFrame = getattr(whole, name)
        expected = frame[frame["unit_id"].isin(chosen)].reset_index(drop=True)
        pd.testing.assert_frame_equal(getattr(part, name), expected)
    assert list(Subset(source, {"nobody"}).batches()) == []


class Changing(View):
    """A source whose first note is another one in the third pass."""

    passes = 0

    def batches(self) -> Iterator[Batch]:
        self.passes += 1
        for batch in self._source.batches():
            if self.passes == 3:
                first = batch.notes["text"].where(batch.notes.index > 0, "Other.")
                batch = replace(batch, notes=batch.notes.assign(text=first))
            yield batch


def test_notes_are_rewritten_once_while_they_are_what_they_were(
    source: PartitionedSource, tmp_path: Path
) -> None:
    rewritten: list[str] = []

    def rewrite(text: str) -> tuple[str, Counter[str]]:
        rewritten.append(text)
        return text.upper(), Counter({"letters": len(text)})

    (whole,) = source.batches()
    before = whole.notes["text"].tolist()
    there = set(tmp_path.rglob("*"))
    view = RewrittenNotes(Changing(source), rewrite, "1", "letters")
    first, second, third, fourth = ([one.notes["text"].tolist() for one in view.batches()] for _ in range(4))
    assert first == second == fourth == [[text.upper() for text in before]]
    assert third == [["OTHER.", *(text.upper() for text in before[1:])]]
    once = list(dict.fromkeys(before))
    assert len(once) < len(before)
    again = list(dict.fromkeys(["Other.", *before[1:]]))
    assert rewritten == [*once, *again, *once]
    assert view.report.counts["letters"] == sum(map(len, before))
    assert set(tmp_path.rglob("*")) == there


def test_notes_are_counted_though_a_pass_before_read_none(tmp_path: Path) -> None:
    folder = mimic3(tmp_path / "tables")
    with open_source("mimic3", folder, work_dir=tmp_path, quarantine_file=tmp_path / "bad") as source:
        rewritten = RewrittenNotes(source, lambda text: (text.upper(), Counter(done=1)), "v", "done")
        with reading(rewritten, frozenset()):
            (none,) = rewritten.batches()
        (batch,) = rewritten.batches()
        assert (none.notes["text"].tolist(), batch.notes["text"].tolist()) == ([], ["PT STABLE"])
        assert source.report.counts["done"] == 1
