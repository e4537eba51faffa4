"""Each user's own rate over a past window, against sums worked out by hand."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from infra.lake import Lake
from infra.lake_rates import user_rates
from recmodels.data.schema import IMPRESSIONS, OUTCOMES

START, END = datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "a lake"))


def _shown(request_id: str, user_key: str, items: str, *, at: datetime = START, origin: str = "event") -> list[Any]:
    """Each letter of `items` is an item shown."""
    return [
        {
            "request_id": request_id,
            "timestamp": at,
            "user_key": user_key,
            "surface": "video",
            "model_version": "1",
            "arm": "rest",
            "position": position,
            "item_id": item,
            "propensity": 1.0,
            "is_fallback": False,
            "latency_seconds": 0.01,
            "origin": origin,
        }
        for position, item in enumerate(items)
    ]


def _outcome(
    request_id: str, item_id: str, value: float, *, at: datetime = START, kind: str = "clicked", event: str = ""
) -> dict[str, Any]:
    event_id = event or f"{request_id}-{item_id}-{kind}"
    fields = {"event_id": event_id, "request_id": request_id, "item_id": item_id, "kind": kind}
    return {**fields, "value": value, "timestamp": at}


def _write(lake: Lake, impressions: list[Any], outcomes: list[Any]) -> None:
    lake.append("impressions", pa.Table.from_pylist(impressions, schema=IMPRESSIONS))
    if outcomes:
        lake.append("outcomes", pa.Table.from_pylist(outcomes, schema=OUTCOMES))


def _rates(lake: Lake, **options: Any) -> dict[str, float]:
    table = user_rates(lake, start=START, end=END, kind=options.pop("kind", "clicked"), **options)
    assert table["user_key"].to_pylist() == sorted(table["user_key"].to_pylist())
    return dict(zip(table["user_key"].to_pylist(), table["rate"].to_pylist(), strict=True))


def test_a_rate_is_reward_per_item_shown(lake: Lake) -> None:
    impressions = [
        *_shown("r1", "u1", "abcd"),
        *_shown("r2", "u1", "ef"),
        *_shown("r3", "u2", "a"),
        *_shown("r4", "u3", "ab"),
    ]
    outcomes = [_outcome("r1", "a", 1.0), _outcome("r1", "b", 1.0), _outcome("r2", "e", 1.0), _outcome("r3", "a", 0.0)]
    outcomes.append(_outcome("r4", "a", 1.0, kind="liked"))
    _write(lake, impressions, outcomes)
    assert _rates(lake) == {"u1": pytest.approx(3 / 6), "u2": 0.0, "u3": 0.0}


def test_only_the_window_and_only_people_count(lake: Lake) -> None:
    impressions = [
        *_shown("before", "u1", "a", at=START - timedelta(microseconds=1)),
        *_shown("first", "u1", "ab", at=START),
        *_shown("last", "u2", "a", at=END - timedelta(microseconds=1)),
        *_shown("after", "u3", "a", at=END),
        *_shown("replayed", "u4", "a", origin="replay"),
    ]
    outcomes = [_outcome("first", "a", 1.0), _outcome("last", "a", 1.0, at=END), _outcome("replayed", "a", 1.0)]
    _write(lake, impressions, outcomes)
    assert _rates(lake) == {"u1": 1 / 2, "u2": 0.0}  # the click on "last" came when the rollout had begun


def test_the_first_outcome_of_an_item_counts_and_is_capped(lake: Lake) -> None:
    impressions = _shown("r1", "u1", "ab")
    watched = {"kind": "watch_seconds"}
    outcomes = [
        _outcome("r1", "a", 500.0, at=START + DAY, event="e2", **watched),
        _outcome("r1", "a", 90.0, at=START, event="e1", **watched),
        _outcome("r1", "b", 30.0, **watched),
    ]
    _write(lake, impressions, outcomes)
    assert _rates(lake, kind="watch_seconds") == {"u1": (90 + 30) / 2}
    assert _rates(lake, kind="watch_seconds", cap=60.0) == {"u1": (60 + 30) / 2}


def test_nobody_has_a_rate_when_the_lake_is_empty_and_none_clicked_when_it_has_no_outcomes(lake: Lake) -> None:
    assert _rates(lake) == {}
    _write(lake, _shown("r1", "u1", "ab"), [])
    assert _rates(lake) == {"u1": 0.0}
