import shutil
from pathlib import Path

import pytest

from infra.settings import Settings
from tests.infra.backups.filled import fill


@pytest.fixture
def settings(sqlite_template: Path, mlflow_template: Path, tmp_path: Path) -> Settings:
    """A home with every store of a real one: two models on their way, runs, a lake, reports, secrets."""
    settings = Settings(home=tmp_path / "a home")
    root = settings.root
    root.mkdir()
    shutil.copy(sqlite_template, root / "everfeed.db")
    shutil.copy(mlflow_template, root / "mlflow.db")
    fill(settings)
    return settings


@pytest.fixture
def small(sqlite_template: Path, tmp_path: Path) -> Settings:
    """A home with a database and a secret, and nothing else."""
    settings = Settings(home=tmp_path / "home")
    settings.root.mkdir()
    shutil.copy(sqlite_template, settings.root / "everfeed.db")
    settings.token()
    return settings
