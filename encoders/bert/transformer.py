"""Token windows to vectors by a BERT-like model: sorted by length, in bfloat16 where the processor has it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from cohorts.encoders.base import Vectors
from cohorts.encoders.bert.checkpoints import Checkpoint
from cohorts.encoders.bert.openvino import run_by_openvino
from cohorts.encoders.bert.sentence_folder import WindowModules
from cohorts.encoders.pooling import pool_tokens
from cohorts.errors import EncoderError

OPENVINO = "openvino-bf16"
PRECISIONS = ("fp32", "bf16", OPENVINO)
# Of one forward pass, padding counted in. A processor is a third faster at what fits into its cache.
_TOKENS_A_THREAD = 512
_GPU_TOKENS = 16_384, 262_144  # at least and at most: beyond, a GPU gets no faster

Window = Sequence[int]  # token ids, special tokens counted in


def best_precision() -> str:
    """Return bf16 where the hardware computes in it (on a processor three times as fast), else fp32."""
    import torch

    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    info = Path("/proc/cpuinfo")
    able = set(info.read_text(encoding="utf-8").split()) if info.exists() else set()
    return "bf16" if able & {"avx512_bf16", "amx_bf16", "bf16"} else "fp32"


def windows_of(
    checkpoint: Checkpoint, texts: Sequence[str], overlap: int, tokens: int | None = None
) -> list[Window]:
    """Cut texts into windows of `max_tokens`, or of `tokens` where that is less, that share `overlap` tokens.

    No window for a text without a token. Raises EncoderError.
    """
    if not texts:
        return []
    tokenizer = checkpoint.tokenizer
    special = tokenizer.num_special_tokens_to_add()
    most = min(checkpoint.max_tokens, tokens or checkpoint.max_tokens)
    if not 0 <= overlap < most - special:
        raise EncoderError(
            f"The overlap is {overlap} tokens; it must be from 0 to below {most - special}, which is what a "
            "window of this model holds."
        )
    cut = tokenizer(
        list(texts),
        truncation=True,
        max_length=most,
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
        openvino = precision == OPENVINO
        self._device = torch.device("cuda" if torch.cuda.is_available() and not openvino else "cpu")
        self._run = run_by_openvino(checkpoint.model) if openvino else self._run_by_torch(precision)
        self.batch_tokens = self._fitting()

    def _run_by_torch(self, precision: str) -> Callable[[Any, Any], Any]:
        """Return what maps ids and mask, (n, tokens), to the last hidden states, (n, tokens, width) float32."""
        import torch

        model = self.checkpoint.model.to(self._device)

        def run(ids: Any, mask: Any) -> Any:
            # Products alone are bf16: with sums and norms in it too, a second neighbour in a hundred would be another.
            with torch.autocast(self._device.type, torch.bfloat16, enabled=precision == "bf16"):
                return model(input_ids=ids, attention_mask=mask).last_hidden_state.float()

        return run

    def embed(self, windows: Sequence[Window], pooling: str | WindowModules) -> Vectors:
        """Return (len(windows), dim) float32, each made of a window's tokens as `pool_tokens` does it."""
        import torch

        dim = self.checkpoint.width if isinstance(pooling, str) else pooling.dim
        vectors = np.empty((len(windows), dim), np.float32)
        order = np.argsort([-len(window) for window in windows], kind="stable")
        with torch.inference_mode():
            for rows in _batches([len(windows[row]) for row in order], self.batch_tokens):
                places = order[rows.start : rows.stop]
                vectors[places] = self._halved([windows[place] for place in places], pooling)
        return vectors

    def _fitting(self) -> int:
        """Return how many tokens a forward pass takes: by the threads of a processor, by the free memory of a GPU."""
        import torch

        if self._device.type != "cuda":
            return _TOKENS_A_THREAD * torch.get_num_threads()
        free, _ = torch.cuda.mem_get_info(self._device)
        least, most = _GPU_TOKENS
        return int(np.clip(free // 2 // self._bytes_a_token(), least, most))

    def _bytes_a_token(self) -> int:
        """Return an estimate of what one token takes in a forward pass: the widest layer, and float32 vectors."""
        config = self.checkpoint.model.config
        wide = getattr(config, "intermediate_size", 4 * config.hidden_size)
        return 4 * (2 * int(wide) + 8 * self.checkpoint.width)

    def _halved(self, windows: Sequence[Window], pooling: str | WindowModules) -> Vectors:
        """Return the vectors of one forward pass, or of two halves where the memory of the GPU was too small for it."""
        import torch

        try:
            return self._forward(windows, pooling)
        except torch.OutOfMemoryError as error:
            if len(windows) == 1:
                raise EncoderError(
                    "The memory of the GPU is too small for one window of this model: free some of it, or hide the GPU "
                    "(CUDA_VISIBLE_DEVICES='')."
                ) from error
        torch.cuda.empty_cache()  # out of the handler, which holds on to the tensors of what failed
        half = len(windows) // 2
        self.batch_tokens = min(self.batch_tokens, half * max(map(len, windows)))  # for the next call
        return np.concatenate([self._halved(part, pooling) for part in (windows[:half], windows[half:])])

    def _forward(self, windows: Sequence[Window], pooling: str | WindowModules) -> Vectors:
        ids, mask = (one.to(self._device) for one in padded(self.checkpoint, windows))
        return np.asarray(pool_tokens(self._run(ids, mask), mask, pooling).cpu())


def padded(checkpoint: Checkpoint, windows: Sequence[Window]) -> tuple[Any, Any]:
    """Return ids and mask of some windows, (n, tokens) both."""
    import torch

    longest = max(map(len, windows))
    ids = torch.full((len(windows), longest), checkpoint.tokenizer.pad_token_id or 0, dtype=torch.long)
    mask = torch.zeros((len(windows), longest), dtype=torch.long)
    for row, window in enumerate(windows):
        ids[row, : len(window)] = torch.tensor(window)
        mask[row, : len(window)] = 1
    return ids, mask


def _batches(lengths: Sequence[int], tokens: int) -> Sequence[range]:
    """Cut windows, longest first, into batches that hold no more than so many tokens, or one window."""
    batches, start = [], 0
    for place in range(len(lengths)):
        if (place - start + 1) * lengths[start] > max(tokens, lengths[start]):
            batches.append(range(start, place))
            start = place
    return [*batches, range(start, len(lengths))] if lengths else []
