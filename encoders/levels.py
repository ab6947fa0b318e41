"""What of a note a window holds: the note as it runs, a segment (a run of sentences), or one sentence."""

from cohorts.encoders.checkpoints import Checkpoint
from cohorts.encoders.transformer import Window, windows_of
from cohorts.records.cleaning import sentences

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
    """Return a text's sentences, or runs of sentences that fill a window of the level; nothing is left out.

    A sentence that is longer than a window stands alone.
    """
    parts = sentences(text)
    if level == "sentence" or not parts:
        return parts
    room = min(LEVELS[level], checkpoint.max_tokens) - checkpoint.tokenizer.num_special_tokens_to_add()
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
