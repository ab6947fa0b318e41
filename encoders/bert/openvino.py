"""A BERT-like model run by OpenVINO in bfloat16, on the processor (extra `openvino`)."""

import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

from cohorts.encoders.bert.checkpoints import quiet
from cohorts.errors import EncoderError
from cohorts.extras import require


def run_by_openvino(model: Any) -> Callable[[Any, Any], Any]:
    """Convert a model and return what maps ids and mask, (n, tokens), to the last hidden states, (n, tokens, width).

    Raises MissingExtra, EncoderError where the processor does not compute in bf16.
    """
    import torch

    openvino = _import_openvino()
    converted = _converted(openvino, model)
    options = {
        "INFERENCE_PRECISION_HINT": "bf16",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),  # which a worker has one of
    }
    compiled = openvino.Core().compile_model(converted, "CPU", options)
    if compiled.get_property("INFERENCE_PRECISION_HINT") != openvino.Type.bf16:
        raise EncoderError(
            "bert precision is openvino-bf16, which this processor does not compute in: take auto."
        )
    # Copied: OpenVINO uses the memory of what it returns again.
    return lambda ids, mask: torch.tensor(compiled([ids.numpy(), mask.numpy()])[0])


def check_installed() -> None:
    """Raise MissingExtra where the library is not there; it is loaded when a model is converted."""
    require("OpenVINO", "openvino")


def _import_openvino() -> Any:
    # Its converter reports its use to Google Analytics by this package: nothing leaves a hospital's machine.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    check_installed()
    return import_module("openvino")


def _converted(openvino: Any, model: Any) -> Any:
    """Trace the model, which its fused attention does not allow, on a sequence of no importance."""
    import torch

    class States(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    ids = torch.ones((2, 8), dtype=torch.long)
    example = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    fused = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tracing, on stderr
            return openvino.convert_model(States(), example_input=example)
    finally:
        model.set_attn_implementation(fused)
