"""Store addresses: what opens which engine, what is refused, and that nothing is loaded before it is needed."""

import subprocess
import sys
from pathlib import Path

import pytest
from cohorts.connectors.addresses import Server, parse_server
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
    ("address", "engine", "server"),
    [
        ("qdrant+http://h", "qdrant", Server("qdrant", "http", False, (("h", 6333),))),
        ("qdrant+https://h:443", "qdrant", Server("qdrant", "http", True, (("h", 443),))),
        ("qdrant+grpc://a,b:7", "qdrant", Server("qdrant", "grpc", False, (("a", 6334), ("b", 7)))),
        (
            "qdrant+grpcs://[::1]:7?shards=6&replicas=2&timeout_s=5&check_compatibility=false",
            "qdrant",
            Server(
                "qdrant",
                "grpc",
                True,
                (("::1", 7),),
                timeout_s=5,
                shards=6,
                replicas=2,
                check_compatibility=False,
            ),
        ),
        (
            "milvus+http://h/wards",
            "milvus",
            Server("milvus", "http", False, (("h", 19530),), database="wards"),
        ),
        ("milvus+https://h:1", "milvus", Server("milvus", "http", True, (("h", 1),))),
    ],
)
def test_server_addresses_open_nothing_yet(address: str, engine: str, server: Server) -> None:
    assert parse_server(address, {}) == server
    assert connect(address).abilities.engine == engine


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("qdrant+ftp://h", "is no scheme of a server"),
        ("milvus+grpc://h", "is no scheme of a server"),
        ("qdrant+http://", "names no host"),
        ("qdrant+http://h:99999", "is no address"),
        ("qdrant+http://h:port", "is no address"),
        ("qdrant+http://h:0", "is no address.*port 0"),
        ("milvus+http://h:0", "is no address.*port 0"),
        ("qdrant+grpc://a,b:0", "is no address.*port 0"),
        ("qdrant+http://h:-1", "is no address"),
        ("qdrant+http://h,", "names no host"),
        ("qdrant+grpc://[::1", "is no address"),
        ("qdrant+http://h:port?api_key=hunter2", "is no address"),
        ("qdrant+http://h?shards=0", "whole number from 1"),
        ("qdrant+http://h?replicas=-1", "whole number from 1"),
        ("qdrant+http://h?timeout_s=1.5", "whole number from 1"),
        ("qdrant+http://h?timeout_s=3601", "whole number from 1"),
        ("qdrant+http://h?timeout_s=", "whole number from 1"),
        ("qdrant+http://h?check_compatibility=maybe", "check_compatibility can't be set"),
        ("qdrant+http://h?tls=yes", "tls can't be set"),
        ("qdrant+http://h?api_key=hunter2", "api_key can't be set"),
        ("qdrant+http://h?ca_file=/nowhere", "there is no such file"),
        ("qdrant+http://h/path", "has no path"),
        ("milvus+http://a,b", "Milvus has one address"),
        ("milvus+http://root:hunter2@h", "COHORTS_MILVUS_TOKEN"),
        ("qdrant+grpc://a,user:hunter2@h", "COHORTS_QDRANT_API_KEY"),
        ("qdrant://h", "begins with qdrant\\+http://"),
        ("milvus:http://h", "begins with milvus\\+http://\\.$"),
        ("https://u:hunter2@h", "is no store address"),
        ("https://h?token=hunter2", "is no store address"),
    ],
)
def test_server_addresses_that_can_not_be_say_why(address: str, told: str) -> None:
    with pytest.raises(StoreAddressError, match=told) as raised:
        connect(address)
    assert "hunter2" not in str(raised.value)


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
        "import sys, cohorts.connectors.registry, cohorts.connectors.filters.conditions, cohorts.connectors.index;"
        "print({'pymilvus', 'milvus_lite', 'qdrant_edge', 'torch', 'pandas', 'sqlglot'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "set()\n"
