"""What is asked of a Milvus server again: an error that passes, as its proxy gave it while an alias moved."""

from collections.abc import Callable

import pytest
from cohorts.connectors.milvus.transport import Transport
from cohorts.errors import EngineError
from pymilvus import MilvusClient, MilvusException

MOVED = (  # Milvus 2.3.5, in a search while `reindex` moved the alias
    "fail to search on QueryNode 1: segment 470803294455209448 belongs to partition 470803294455209308, "
    "which is not in [470803294455209010]"
)
LEADERLESS = (  # as well
    "failed to get delegator -1 for channel by-dev-rootcoord-dml_1_470844098285542454v0: can not find client of node -1"
)


def answers(error: MilvusException) -> tuple[Callable[[MilvusClient], str], list[int]]:
    """Give a question that fails once and is answered then, and how often it was asked."""
    asked: list[int] = []

    def ask(_: MilvusClient) -> str:
        asked.append(1)
        if len(asked) == 1:
            raise error
        return "answered"

    return ask, asked


@pytest.mark.parametrize(
    ("code", "message"), [(65535, MOVED), (65535, LEADERLESS), (503, "channel not available")]
)
def test_what_passes_is_asked_again(code: int, message: str) -> None:
    ask, asked = answers(MilvusException(code, message))
    transport = Transport(None, MilvusClient.__new__(MilvusClient))
    assert transport.call(ask) == "answered"
    assert len(asked) == 2


def test_what_does_not_pass_is_raised_at_once() -> None:
    ask, asked = answers(MilvusException(65535, "vector dimension mismatch"))
    transport = Transport(None, MilvusClient.__new__(MilvusClient))
    with pytest.raises(EngineError, match="dimension mismatch"):
        transport.call(ask)
    assert len(asked) == 1
