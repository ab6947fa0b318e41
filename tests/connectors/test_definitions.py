"""The file of definitions beside an embedded engine: several connectors of a process read and change it."""

from pathlib import Path

from cohorts.connectors.base import Collection
from cohorts.connectors.catalog import Definitions
from cohorts.connectors.index import Flat


def test_what_another_connector_changed_is_seen_at_once(tmp_path: Path) -> None:
    ours, theirs = (Definitions(tmp_path / "collections.json") for _ in range(2))
    assert ours.names() == []
    theirs.put(Collection("first", 8, Flat()))
    theirs.put(Collection("other", 8, Flat()))
    assert ours.names() == ["first", "other"]
    for name in ("first", "other", "first"):  # each file as long as the one before
        theirs.alias("a", name)
        assert ours.aliases() == {"a": name}
        assert ours.get("a").name == name
    theirs.remove("first")
    assert ours.aliases() == {}
    (tmp_path / "collections.json").unlink()
    assert ours.names() == []
