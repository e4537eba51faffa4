"""From ingest to the segment of new items that gateways serve."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from flows import newitems
from flows.newitems import announce
from flows.wiring import Platform, connect
from infra.rollouts import ModelReference
from infra.settings import Settings
from recmodels.data.schema import ITEMS

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def items(**labels: str) -> pa.Table:
    rows = [{"item_id": item_id, "safety": label} for item_id, label in labels.items()]
    return pa.Table.from_pylist(rows, schema=ITEMS)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Platform]:
    """Stores whose lake holds two items, with a champion."""
    platform = connect(Settings(home=tmp_path / "home"))
    platform.rollouts.set_bootstrap_champion(ModelReference("a" * 64, 1), now=NOW, by="a test", reason="first")
    platform.lake.replace("items", items(a="ok", b="ok"))
    yield platform
    platform.database.close()


def test_new_and_newly_labelled_items_are_announced_and_others_not(home: Platform) -> None:
    announce(home, items(a="ok", b="blocked", c="ok"), by="ingest")

    segment = home.segments.items()
    assert segment.items["item_id"].to_pylist() == ["b", "c"]
    assert segment.blocked == {"b"}


def test_a_retry_announces_nothing_twice(home: Platform) -> None:
    for _ in range(2):
        announce(home, items(a="ok", c="ok"), by="ingest")

    assert home.segments.version() == 1


def test_blocked_items_go_first_when_there_are_more_than_a_segment_serves(
    home: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(newitems, "MAX_ITEMS", 1)

    announce(home, items(c="ok", d="ok", e="blocked", f="blocked"), by="ingest")

    assert home.segments.items().items["item_id"].to_pylist() == ["e", "f", "c"]


def test_nothing_is_announced_before_anybody_serves_or_anything_was_ingested(tmp_path: Path) -> None:
    empty = connect(Settings(home=tmp_path / "home"))
    announce(empty, items(a="ok"), by="ingest")
    empty.lake.replace("items", items(a="ok"))
    announce(empty, items(b="ok"), by="ingest")

    assert empty.segments.version() == 0
    empty.database.close()
