"""Token windows to vectors by a BERT-like model: sorted by length, in bfloat16 where the processor has it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from cohorts.encoders.base import Vectors
from cohorts.encoders.checkpoints import Checkpoint
from cohorts.errors import EncoderError

PRECISIONS = ("fp32", "bf16")
_BATCH_TOKENS = 8_192  # of one forward pass, padding counted in

Window = Sequence[int]  # token ids, special tokens counted in


def best_precision() -> str:
    """Return bf16 where the hardware computes in it (on a processor three times as fast), else fp32."""
    import torch

    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    info = Path("/proc/cpuinfo")
    able = set(info.read_text(encoding="utf-8").split()) if info.exists() else set()
    return "bf16" if able & {"avx512_bf16", "amx_bf16", "bf16"} else "fp32"


def windows_of(checkpoint: Checkpoint, text: str, overlap: int) -> list[Window]:
    """Cut a text into windows of `max_tokens` that share `overlap` tokens; no window for a text without a token."""
    tokenizer = checkpoint.tokenizer
    special = tokenizer.num_special_tokens_to_add()
    if not 0 <= overlap < checkpoint.max_tokens - special:
        raise EncoderError(
            f"The overlap is {overlap} tokens; it must be from 0 to below {checkpoint.max_tokens - special}, which is "
            "what a window of this model holds."
        )
    cut = tokenizer(
        text,
        truncation=True,
        max_length=checkpoint.max_tokens,
        stride=overlap,
        return_overflowing_tokens=True,
        verbose=False,
    )
    return [window for window in cut["input_ids"] if len(window) > special]


class Transformer:
    """A checkpoint on the device there is, ready to embed."""

    def __init__(self, checkpoint: Checkpoint, precision: str) -> None:
        import torch

        self.checkpoint = checkpoint
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        kind = torch.bfloat16 if precision == "bf16" else torch.float32
        self._model = checkpoint.model.to(device=self._device, dtype=kind)

    def embed(self, windows: Sequence[Window], pooling: str) -> Vectors:
        """Return (len(windows), width) float32: the mean over a window's tokens, or its first token's vector."""
        import torch

        vectors = np.empty((len(windows), self.checkpoint.width), np.float32)
        order = np.argsort([-len(window) for window in windows], kind="stable")
        with torch.inference_mode():
            for rows in _batches([len(windows[row]) for row in order]):
                places = order[rows.start : rows.stop]
                vectors[places] = self._forward([windows[place] for place in places], pooling)
        return vectors

    def _forward(self, windows: Sequence[Window], pooling: str) -> Any:
        import torch

        longest = max(map(len, windows))
        padding = self.checkpoint.tokenizer.pad_token_id or 0
        ids = torch.full((len(windows), longest), padding, dtype=torch.long)
        mask = torch.zeros((len(windows), longest), dtype=torch.long)
        for row, window in enumerate(windows):
            ids[row, : len(window)] = torch.tensor(window)
            mask[row, : len(window)] = 1
        ids, mask = ids.to(self._device), mask.to(self._device)
        # (n, tokens, width)
        hidden = self._model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
        if pooling == "cls":
            return hidden[:, 0].cpu().numpy()
        weights = mask[..., None].float()
        return ((hidden * weights).sum(dim=1) / weights.sum(dim=1)).cpu().numpy()


def _batches(lengths: Sequence[int]) -> Sequence[range]:
    """Cut windows, longest first, into batches that hold no more than so many tokens."""
    batches, start = [], 0
    for place in range(len(lengths)):
        if (place - start + 1) * lengths[start] > max(_BATCH_TOKENS, lengths[start]):
            batches.append(range(start, place))
            start = place
    return [*batches, range(start, len(lengths))] if lengths else []
