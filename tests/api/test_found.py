"""What was found, as rows, a frame of pandas and a table in a notebook."""

from dataclasses import FrozenInstanceError

import cohorts
import pytest


def test_found_is_rows_a_frame_and_a_table(notes: cohorts.CollectionHandle) -> None:
    found = notes.like_patient("10006", k=200, where="age >= 60")
    assert len(found) == len(list(found)) < 200
    assert found[0] == found.hits[0] == next(iter(found))
    assert found[:2] == found.hits[:2]
    assert found[0].score >= found[-1].score
    assert found.synthetic
    assert found.notes[0].startswith(f"200 were asked for, {len(found):,} found")
    frame = found.to_pandas()
    assert list(frame.columns[:2]) == ["id", "score"]
    assert {"age", "sex", "codes"} <= set(frame.columns)
    assert frame["score"].tolist() == [hit.score for hit in found]
    assert (frame["age"] >= 60).all()
    with pytest.raises(FrozenInstanceError):
        found.asked = 3  # type: ignore[misc]
    assert found[0].id not in repr(found)
    shown = found._repr_html_()
    assert shown.count("<tr>") == len(found) + 1
    assert "synthetic: invented patients" in shown
    assert "200 were asked for" in shown
    assert notes.like_patient("10006", where="age > 200").to_pandas().columns.tolist() == ["id", "score"]


def test_a_table_shows_what_was_written_as_text() -> None:
    bad = "<script>alert(1)</script>\u202e"
    found = cohorts.Found(bad, (cohorts.Hit(bad, 0.5, {bad: bad, "id": "x" * 500}),), 1, (bad,))
    shown = found._repr_html_()
    assert "<script>" not in shown
    assert "\u202e" not in shown
    assert "x" * 100 not in shown
    assert found.to_pandas()["payload_id"].tolist() == ["x" * 500]
