"""What the tests share: the real open data beside the checkout."""

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real open clinical data; CI always has it."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the real open data is not here: {SHARED_DATA}")
    return SHARED_DATA
