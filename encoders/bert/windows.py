"""What of a note a window holds: the note as it runs, a segment (a run of sentences), or one sentence."""

from cohorts.encoders.bert.checkpoints import Checkpoint
from cohorts.encoders.bert.transformer import Window, windows_of
from cohorts.records.notes.cleaning import sentences

# Tokens of a window at most, special tokens counted in. Source: ClinicalNoteBERT, its repository's simcse_utils.py.
LEVELS = {"note": 512, "segment": 256, "sentence": 128}


def windows_at(checkpoint: Checkpoint, text: str, level: str, overlap: int) -> list[Window]:
    """Cut a text into the windows of a level; what is longer than one window is cut with `overlap` tokens shared.

    Raises EncoderError where the overlap leaves a window nothing of its own.
    """
    if level == "note":
        return windows_of(checkpoint, [text], overlap)
    return windows_of(checkpoint, passages(checkpoint, text, level), overlap, LEVELS[level])


def passages(checkpoint: Checkpoint, text: str, level: str) -> list[str]:
    """Return a text's sentences, runs of sentences that fill a segment, or parts that fill a note's window.

    Nothing is left out. A sentence that is longer than a segment stands alone.
    """
    if level == "note":
        return _parts(checkpoint, text)
    parts = sentences(text)
    if level == "sentence" or not parts:
        return parts
    room = _room(checkpoint, level)
    ids = checkpoint.tokenizer(parts, add_special_tokens=False, verbose=False)["input_ids"]
    runs: list[list[str]] = []
    used = 0
    for part, many in zip(parts, map(len, ids), strict=True):
        if not runs or used + 1 + many > room:  # 1 is the point between sentences
            runs.append([])
            used = -1
        runs[-1].append(part)
        used += 1 + many
    return [". ".join(run) for run in runs]


def _parts(checkpoint: Checkpoint, text: str) -> list[str]:
    room = _room(checkpoint, "note")
    cut = checkpoint.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    spans = cut["offset_mapping"]
    starts = range(0, len(spans), room)
    return [text[spans[start][0] : spans[min(start + room, len(spans)) - 1][1]] for start in starts]


def _room(checkpoint: Checkpoint, level: str) -> int:
    """Return how many tokens of a text a window holds."""
    return min(LEVELS[level], checkpoint.max_tokens) - int(checkpoint.tokenizer.num_special_tokens_to_add())
