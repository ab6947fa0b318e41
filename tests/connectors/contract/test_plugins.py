"""A further engine: one file, one entry point, one contract class."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cohorts.connectors.memory import MemoryConnector
from cohorts.connectors.registry import connect
from cohorts.errors import StoreAddressError
from engine_contract import EngineContract
from own_package import own_package

ENGINE = """
from cohorts.connectors.memory import MemoryConnector

class Elsewhere(MemoryConnector):
    def __init__(self, rest):
        super().__init__()
        self.rest = rest
"""


@pytest.fixture
def installed(tmp_path: Path) -> Iterator[None]:
    """Install a package that brings an engine."""
    points = {"elsewhere": "Elsewhere"}
    with own_package(tmp_path, "elsewhere", ENGINE, "cohorts.connectors", points):
        yield


@pytest.mark.usefixtures("installed")
class TestElsewhere(EngineContract):
    @pytest.fixture
    def store(self) -> str:
        return "elsewhere:anything"


def test_the_scheme_leads_to_the_entry_point(installed: None) -> None:
    connector = connect("elsewhere://host/x")
    assert isinstance(connector, MemoryConnector)
    assert vars(connector)["rest"] == "//host/x"


def test_without_it_the_scheme_is_unknown() -> None:
    with pytest.raises(StoreAddressError, match="is no store address"):
        connect("elsewhere:anything")
