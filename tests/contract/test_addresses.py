"""Store addresses: what opens which engine, what is refused, and that nothing is loaded before it is needed."""

import subprocess
import sys
from pathlib import Path

import pytest
from cohorts.connectors.registry import connect
from cohorts.errors import StoreAddressError


@pytest.mark.parametrize(
    ("address", "engine"),
    [("memory:", "memory"), ("qdrant:{tmp}/s", "qdrant-edge"), ("milvus:{tmp}/s.db", "milvus-lite")],
)
def test_an_address_names_its_engine_and_opens_nothing(address: str, engine: str, tmp_path: Path) -> None:
    assert connect(address.format(tmp=tmp_path)).abilities.engine == engine
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "address",
    [
        "qdrant+http://h:6333",
        "qdrant://h",
        "qdrant:http://h",
        "milvus+http://h:19530",
        "milvus:http://h",
        "https://u:secret@h",
    ],
)
def test_servers_are_not_supported_yet(address: str) -> None:
    with pytest.raises(StoreAddressError, match="servers are not supported yet") as raised:
        connect(address)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "address", ["", "qdrant", "qdrant:", "milvus:store", "memory:x", "redis:x", "redis:u:secret@h"]
)
def test_other_addresses_are_refused_with_those_there_are(address: str) -> None:
    with pytest.raises(
        StoreAddressError, match=r"Addresses: qdrant:PATH|must end in \.db|memory: alone"
    ) as raised:
        connect(address)
    assert "secret" not in str(raised.value)


def test_the_registry_and_the_filters_load_no_engine() -> None:
    code = (
        "import sys, cohorts.connectors.registry, cohorts.connectors.filters, cohorts.connectors.index;"
        "print({'pymilvus', 'milvus_lite', 'qdrant_edge', 'torch', 'pandas', 'sqlglot'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "set()\n"
