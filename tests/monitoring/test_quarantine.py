"""Rows are kept back with their reasons, and written down whole."""

import json
import math
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest

from monitoring.batches import prepare
from monitoring.quarantine import describe, read_back, row_ids
from recmodels.data.schema import INTERACTIONS, QUARANTINE
from tests.monitoring.sample_tables import NOW, ROWS, context, sample

IDS = pa.array([f"i{i}" for i in range(ROWS)])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"event_id": None}, "event_id is null"),
        ({"user_id": None}, "user_id is null"),
        ({"item_id": None}, "item_id is null"),
        ({"item_id": "  "}, "item_id is blank; item_id is not in items"),
        ({"item_id": "i99"}, "item_id is not in items"),
        ({"timestamp": None}, "timestamp is null"),
        ({"timestamp": NOW + timedelta(minutes=5, microseconds=1)}, "timestamp is in the future"),
        ({"surface": ""}, "surface is blank"),
        ({"origin": "replay"}, "origin is replay: replayed visitors are never trained on"),
        ({"watch_seconds": -0.5}, "watch_seconds is negative"),
        ({"watch_seconds": math.nan}, "watch_seconds is not a finite number"),
        ({"duration_seconds": math.inf}, "duration_seconds is not a finite number"),
        ({"duration_seconds": -1.0}, "duration_seconds is negative"),
        ({"watch_seconds": 1000.5}, "watch_seconds is more than 100 times duration_seconds"),
        ({"rating": 5.5}, "rating is outside 1 to 5"),
        ({"rating": -math.inf}, "rating is not a finite number; rating is outside 1 to 5"),
        ({"event_id": "e0"}, "event_id repeats an earlier row"),
        ({"item_id": None, "watch_seconds": -1.0}, "item_id is null; watch_seconds is negative"),
    ],
    ids=str,
)
def test_prepare_quarantines_one_row_with_its_reason_when_it_breaks_a_rule(change: dict[str, Any], reason: str) -> None:
    table = sample("interactions", {20: change})
    prepared = prepare(table, name="interactions", context=context(item_ids=IDS, rating_range=(1.0, 5.0)))
    assert prepared.quarantined["reason"].to_pylist() == [reason]
    assert prepared.good.equals(pa.concat_tables([table.slice(0, 20), table.slice(21)]).cast(INTERACTIONS))


@pytest.mark.parametrize(
    "change",
    [
        {"timestamp": NOW + timedelta(minutes=5)},
        {"watch_seconds": 1000.0},
        {"watch_seconds": None, "duration_seconds": None, "rating": None},
        {"watch_seconds": 9e9, "duration_seconds": 0.0},
        {"rating": 1.0},
    ],
    ids=str,
)
def test_prepare_keeps_a_row_when_it_is_just_within_the_rules(change: dict[str, Any]) -> None:
    table = sample("interactions", {20: change})
    prepared = prepare(table, name="interactions", context=context(item_ids=IDS, rating_range=(1.0, 5.0)))
    assert prepared.good.num_rows == ROWS
    assert prepared.quarantined.num_rows == 0


def test_prepare_keeps_one_good_row_of_a_key_when_its_first_row_is_broken() -> None:
    table = sample("interactions", {0: {"event_id": "e", "user_id": None}, 1: {"event_id": "e"}, 2: {"event_id": "e"}})
    prepared = prepare(table, name="interactions", context=context())
    assert prepared.good["user_id"].to_pylist()[0] == "u1"
    assert prepared.reasons == {"user_id is null": 1, "event_id repeats an earlier row": 1}


def test_quarantine_holds_the_whole_row_when_numbers_are_not_finite() -> None:
    changes = {3: {"watch_seconds": math.nan, "duration_seconds": -math.inf, "clicked": None}}
    prepared = prepare(sample("interactions", changes), name="interactions", context=context(now=NOW))
    assert prepared.quarantined.schema == QUARANTINE
    (kept,) = prepared.quarantined.to_pylist()
    row = json.loads(kept["row"])
    assert (kept["table"], kept["quarantined_at"]) == ("interactions", NOW)
    assert list(row) == INTERACTIONS.names
    assert math.isnan(row["watch_seconds"])
    assert row["duration_seconds"] == -math.inf
    assert row["clicked"] is None
    assert (row["event_id"], row["timestamp"], row["rating"]) == ("e3", "2026-01-09 23:56:00+00", 4.0)


def test_quarantine_keeps_the_order_of_the_rows_when_there_are_many() -> None:
    table = sample("interactions", {i: {"item_id": None} for i in range(0, 3000, 3)}, rows=3000)
    prepared = prepare(table, name="interactions", context=context())
    events = [json.loads(row)["event_id"] for row in prepared.quarantined["row"].to_pylist()]
    assert events == [f"e{i}" for i in range(0, 3000, 3)]


def test_rows_are_read_back_as_they_were_when_they_are_in_the_quarantine() -> None:
    changes = {
        3: {"watch_seconds": math.nan, "duration_seconds": -math.inf, "clicked": None, "query": 'a "b" \u00e9'},
        5: {"timestamp": None},
    }
    table = sample("interactions", changes)
    prepared = prepare(table, name="interactions", context=context(now=NOW))
    rows = read_back(prepared.quarantined, name="interactions")
    assert rows.schema == table.schema
    assert str(rows.to_pylist()) == str([table.to_pylist()[3], table.to_pylist()[5]])


def test_further_columns_are_read_back_as_text_when_rows_have_them() -> None:
    users = sample("users", {2: {"user_id": None}}).append_column("age group", pa.array(["18-24"] * ROWS))
    prepared = prepare(users, name="users", context=context())
    assert read_back(prepared.quarantined, name="users")["age group"].to_pylist() == ["18-24"]


def test_a_row_has_one_id_when_it_is_refused_again_for_the_same_reason() -> None:
    table = sample("interactions", {3: {"watch_seconds": -1.0}, 5: {"watch_seconds": -1.0}})
    first = prepare(table, name="interactions", context=context(now=NOW)).quarantined
    again = prepare(table, name="interactions", context=context(now=NOW + timedelta(days=1))).quarantined
    assert row_ids(first).to_pylist() == row_ids(again).to_pylist()
    assert len(set(row_ids(first).to_pylist())) == 2
    rows = describe(pa.concat_tables([first, first, again]))
    assert rows.select(["batch", "event_id"]).to_pylist() == [
        {"batch": "2026-01-11T00:00:00.000000Z", "event_id": event}
        if batch
        else {"batch": "2026-01-10T00:00:00.000000Z", "event_id": event}
        for batch in (1, 0)
        for event in rows.slice(0, 2)["event_id"].to_pylist()
    ]
