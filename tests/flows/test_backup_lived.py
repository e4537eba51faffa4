"""A home in which a whole lifecycle ran, restored elsewhere: everything that a repetition must find is there."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from infra.backups import back_up, restore
from infra.lake import Lake
from infra.settings import Settings
from recmodels.manifest import verify
from tests.flows.homes import Lived, trace_of


@pytest.mark.slow
def test_home_of_a_lifecycle_is_restored_with_all_that_it_held(lived: Lived, tmp_path: Path) -> None:
    back_up(lived.settings, tmp_path / "backups", now=datetime.now(UTC))
    restored = Settings(home=tmp_path / "restored")
    restore(restored, tmp_path / "backups", now=datetime.now(UTC))
    before, after = trace_of(lived.settings), trace_of(restored)
    assert after.files.keys() == before.files.keys()
    assert replace(after, files={}) == replace(before, files={})
    for name, newest in before.lake.items():
        for version in range(newest + 1):
            tables = [Lake(home.lake).read(name, version=version) for home in (lived.settings, restored)]
            assert tables[0].equals(tables[1]), (name, version)
    for _, digest in before.models:
        verify(restored.bundles, digest)
