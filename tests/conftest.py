"""Fixtures for all tests."""

import os
from pathlib import Path

import pytest

BESIDE_THE_CHECKOUT = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data: PRETRACE_TEST_DATA, or ../shared/data beside the checkout."""
    folder = Path(os.environ.get("PRETRACE_TEST_DATA", BESIDE_THE_CHECKOUT))
    if not (folder / "README.md").is_file():
        pytest.skip(f"no real data at {folder}; set PRETRACE_TEST_DATA to the folder that holds it")
    return folder
