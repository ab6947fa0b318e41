"""What was embedded is kept by content: each text once, whoever asks."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cohorts.encoders.bert.note_cache import FOLDER, Embedded, NoteCache
from cohorts.encoders.bert.transformer import Transformer
from cohorts.errors import InputError
from small_bert import LONG, SHORT, encoder_of, notes


def test_a_text_is_embedded_once(tiny: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = encoder_of(tiny).encode(notes([SHORT[0], LONG], [SHORT[0]]))
    (file,) = own_cache.glob("*.sqlite")
    assert file.stat().st_mode & 0o777 == 0o600
    held = b"".join(one.read_bytes() for one in own_cache.iterdir())
    assert b"furosemide" not in held
    assert b"Chest" not in held

    def embed(self: Transformer, windows: list[Any], pooling: str) -> Any:
        assert not windows
        return np.zeros((0, 64), np.float32)

    monkeypatch.setattr(Transformer, "embed", embed)
    again = encoder_of(tiny).encode(notes([SHORT[0], LONG], [SHORT[0]]))
    assert again.tobytes() == first.tobytes()
    with pytest.raises(AssertionError):
        encoder_of(tiny, max_windows=3).encode_text([LONG])  # another way of embedding shares nothing


def test_what_was_cut_is_told_whether_or_not_the_vector_is_known(tiny: Path) -> None:
    first, again = (encoder_of(tiny, max_windows=1) for _ in range(2))
    for encoder in (first, again):
        encoder.encode_text([LONG, SHORT[0], LONG])
    assert first.counts == again.counts
    assert first.counts["notes cut"] == 2
    assert first.counts["windows of notes left out"] >= 2


def test_a_run_that_ends_early_keeps_what_it_embedded(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cohorts.encoders.bert.encoder._KEPT_AT_ONCE", 2)
    embed, calls = Transformer.embed, []

    def stop_at_the_second(self: Transformer, windows: Any, pooling: str) -> Any:
        calls.append(len(windows))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return embed(self, windows, pooling)

    monkeypatch.setattr(Transformer, "embed", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        encoder_of(tiny).encode_text(SHORT)
    encoder_of(tiny).encode_text(SHORT)
    assert calls == [2, 1, 1]  # the first two were kept, the third is embedded by the second run


def test_a_cache_that_cannot_be_written_is_told(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(FOLDER, str(tmp_path / "file" / "cache"))
    with pytest.raises(InputError, match=f"Name another folder by {FOLDER}"):
        encoder_of(tiny).encode_text(SHORT)


def test_a_text_has_one_vector_whichever_process_met_it_first(own_cache: Path) -> None:
    one, other = NoteCache("f"), NoteCache("f")
    first, second = (Embedded(np.full(4, value, np.float32), 0) for value in (1, 2))
    assert one.keep({b"a": first})[b"a"].vector.tolist() == [1, 1, 1, 1]
    kept = other.keep({b"a": second, b"b": second})
    assert {key: made.vector[0] for key, made in kept.items()} == {b"a": 1, b"b": 2}
    assert {key: made.vector[0] for key, made in one.get([b"a", b"b", b"c"]).items()} == {b"a": 1, b"b": 2}
