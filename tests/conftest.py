"""Where the real data lie, and what every test shares."""

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("AIRLOOM_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real data; a test that needs one skips where it is absent."""
    if not DATA.is_dir():
        pytest.skip(f"no real data at {DATA}; set AIRLOOM_DATA to their folder")
    return DATA
