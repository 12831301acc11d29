"""Where the real scans are."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def test_data() -> Path:
    named = os.environ.get("MEDSYNTH_TEST_DATA")
    if not named:
        pytest.skip("MEDSYNTH_TEST_DATA does not name the folder of real scans")
    folder = Path(named)
    assert (folder / "hippocampus").is_dir(), "MEDSYNTH_TEST_DATA names a folder without the real scans"
    return folder
