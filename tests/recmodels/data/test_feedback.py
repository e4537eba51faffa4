from datetime import UTC, datetime, timedelta

import pyarrow as pa

from recmodels.data import schema
from recmodels.data.feedback import live_interactions

_NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def _impressions(*rows):
    columns = (schema.REQUEST_ID, schema.USER_KEY, schema.ITEM_ID, schema.ORIGIN)
    table = {name: [row[place] for row in rows] for place, name in enumerate(columns)}
    size = len(rows)
    table |= {
        schema.TIMESTAMP: [_NOW + timedelta(seconds=n) for n in range(size)],
        schema.SURFACE: ["video"] * size,
        schema.MODEL_VERSION: ["1"] * size,
        schema.ARM: ["rest"] * size,
        schema.POSITION: [0] * size,
        schema.PROPENSITY: [1.0] * size,
        schema.IS_FALLBACK: [False] * size,
        schema.LATENCY_SECONDS: [0.01] * size,
    }
    return pa.table({f.name: pa.array(table.get(f.name, [None] * size), f.type) for f in schema.IMPRESSIONS})


def _outcomes(*rows):
    columns = (schema.EVENT_ID, schema.REQUEST_ID, schema.ITEM_ID, schema.KIND, schema.VALUE)
    table = {name: [row[place] for row in rows] for place, name in enumerate(columns)}
    table[schema.TIMESTAMP] = [_NOW + timedelta(minutes=n) for n in range(len(rows))]
    return pa.table({f.name: pa.array(table[f.name], f.type) for f in schema.OUTCOMES})


def test_feedback_is_joined_to_what_was_shown():
    shown = _impressions(("r1", "ka", "i1", "event"), ("r1", "ka", "i2", "event"), ("r2", "kb", "i1", "event"))
    came = _outcomes(
        ("e1", "r1", "i2", "clicked", 1.0), ("e2", "r1", "i2", "watch_seconds", 31.5), ("e3", "r2", "i1", "liked", 1.0)
    )
    found = live_interactions(shown, came, user_ids={"ka": "anna", "kb": "ben"}).to_pylist()
    assert [(row["user_id"], row["item_id"], row["clicked"], row["liked"]) for row in found] == [
        ("anna", "i1", False, False),
        ("anna", "i2", True, False),
        ("ben", "i1", False, True),
    ]
    assert [row["watch_seconds"] for row in found] == [None, 31.5, None]
    assert [row["event_id"] for row in found] == ["r1:i1", "r1:i2", "r2:i1"]
    assert found[0]["exposed_at"] == found[0]["timestamp"] == _NOW


def test_only_the_first_outcome_of_a_kind_counts():
    shown = _impressions(("r1", "ka", "i1", "event"))
    came = _outcomes(("e1", "r1", "i1", "clicked", 0.0), ("e2", "r1", "i1", "clicked", 1.0))
    assert live_interactions(shown, came, user_ids={"ka": "anna"})["clicked"].to_pylist() == [False]


def test_replays_and_unknown_visitors_are_left_out():
    shown = _impressions(("r1", "ka", "i1", "replay"), ("r2", "kx", "i1", "event"))
    found = live_interactions(shown, _outcomes(), user_ids={"ka": "anna"})
    assert found.num_rows == 0
    assert found.schema.equals(schema.INTERACTIONS)
