"""Fixtures every test may use."""

from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Reference files kept beside the project; tests that need them skip, saying so, where they are absent."""
    folder = PROJECT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("the reference folder ../shared is not here")
    return folder
