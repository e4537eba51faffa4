"""Gateway -> lake: what matured moves once, what people did becomes interactions, and the rest waits."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.collect import MATURITY, collect
from flows.ingest import ingest
from flows.references import Screened
from flows.validate import store
from flows.windows import rebuild
from flows.wiring import Platform, connect
from infra.events import Outcome, ServedRequest, user_key
from infra.rollouts import ModelReference, Plan
from infra.settings import Settings
from recmodels.assignment import Arm
from recmodels.data import schema
from recmodels.errors import StoreError
from tests.flows.homes import ROOT

SECRET = b"secret"
SHOWN = ("v000001", "v000002", "v000003")


@pytest.fixture
def platform(home: Settings) -> Platform:
    """The stores of a home whose lake holds a few rows."""
    batch = ingest("synthetic", ROOT, {"users": 20, "items": 15, "creators": 3, "days": 3})
    pq.write_table(pa.table({"row": pa.array([], pa.string())}), batch.folder / "quarantine.parquet")
    store(
        batch,
        Screened(folder=batch.folder, rows={}, quarantined=0, reasons={}, warnings=(), docs=None),
    )
    return connect(home)


def _ask(
    platform: Platform, number: int, *, user: str = "u000001", age: timedelta = MATURITY * 2, **changes: str
) -> ServedRequest:
    """Answer one request of a user some time ago; an empty user is an anonymous session."""
    values = {
        "origin": schema.ORIGIN_EVENT,
        "user_id": user,
        "user_key": user_key(user or f"session-{number}", SECRET),
        "rollout_id": None,
        "arm": Arm.REST,
        **changes,
    }
    request = ServedRequest(
        request_id=f"q{number}",
        timestamp=datetime.now(UTC) - age,
        surface="video",
        model_version="1",
        item_ids=SHOWN,
        scores=(3.0, 2.0, 1.0),
        propensities=(1.0, 1.0, 1.0),
        num_requested=3,
        latency_seconds=0.01,
        **values,  # type: ignore[arg-type]
    )
    platform.events.append_requests([request])
    return request


def _click(platform: Platform, request: ServedRequest, item: str, *, kind: str = schema.CLICKED) -> None:
    moment = request.timestamp + timedelta(seconds=5)
    event = Outcome(f"{request.request_id}-{item}-{kind}", request.request_id, item, kind, 1.0, moment)
    assert platform.events.append_outcomes([event]).accepted == 1


def _rows(platform: Platform, table: str) -> list[dict[str, object]]:
    if platform.lake.version(table) is None:
        return []
    rows: list[dict[str, object]] = platform.lake.read(table).to_pylist()
    return rows


def _live(platform: Platform) -> list[dict[str, object]]:
    return [row for row in _rows(platform, "interactions") if row[schema.ORIGIN] == schema.ORIGIN_EVENT]


def test_impressions_become_interactions_with_the_raw_id_when_a_person_saw_them(platform: Platform) -> None:
    request = _ask(platform, 1)
    _click(platform, request, SHOWN[1])
    before = platform.lake.read("interactions").num_rows
    snapshot = collect()
    rows = sorted(_live(platform), key=lambda row: str(row[schema.ITEM_ID]))
    assert [(row[schema.USER_ID], row[schema.ITEM_ID], row[schema.CLICKED]) for row in rows] == [
        ("u000001", SHOWN[0], False),
        ("u000001", SHOWN[1], True),
        ("u000001", SHOWN[2], False),
    ]
    assert snapshot.interactions == before + 3
    assert snapshot.as_of == request.timestamp
    assert (len(_rows(platform, "impressions")), len(_rows(platform, "outcomes"))) == (3, 1)
    assert "u000001" not in str(_rows(platform, "impressions"))


def test_an_item_that_people_added_is_in_the_lake_when_an_interaction_names_it(platform: Platform) -> None:
    added = pa.Table.from_pylist([{"item_id": "new-1", "text": "A title", "safety": "ok"}], schema=schema.ITEMS)
    platform.segments.append(added, by="a test", now=datetime.now(UTC))
    before = platform.lake.read("items")
    _ask(platform, 1)
    collect()
    after = platform.lake.read("items")
    assert after.num_rows == before.num_rows + 1
    assert added.to_pylist()[0] in after.to_pylist()


def test_nothing_moves_when_it_was_collected_before(platform: Platform) -> None:
    _click(platform, _ask(platform, 1), SHOWN[0])
    first = collect()
    assert collect() == first
    assert platform.events.drain(before=datetime.now(UTC)).is_empty


def test_a_request_waits_when_its_feedback_may_still_come(platform: Platform) -> None:
    _ask(platform, 1)
    _ask(platform, 2, age=MATURITY / 2)
    collect()
    assert {row[schema.REQUEST_ID] for row in _rows(platform, "impressions")} == {"q1"}
    assert platform.events.visits(["q1", "q2"]).keys() == {"q2"}


def test_visits_are_never_learned_from_when_they_are_replayed_or_anonymous(platform: Platform) -> None:
    replayed = _ask(platform, 1, origin=schema.ORIGIN_REPLAY)
    _click(platform, replayed, SHOWN[0])
    _ask(platform, 2, user="")
    before = platform.lake.version("interactions")
    collect()
    assert len(_rows(platform, "impressions")) == 6
    assert platform.lake.version("interactions") == before


def test_each_row_arrives_once_when_a_process_died_after_the_lake_had_it(platform: Platform) -> None:
    _click(platform, _ask(platform, 1), SHOWN[0])
    drained = platform.events.drain(before=datetime.now(UTC) - MATURITY)
    platform.lake.append("impressions", drained.impressions, key=f"events-{drained.batch}")
    _ask(platform, 2)
    collect()
    assert len(_rows(platform, "impressions")) == 6
    assert len(_live(platform)) == 6
    assert len(_rows(platform, "outcomes")) == 1


def test_requests_stay_for_the_judge_when_their_rollout_is_active(platform: Platform) -> None:
    now = datetime.now(UTC)
    platform.rollouts.set_bootstrap_champion(ModelReference("a" * 64, 1), now=now, by="test", reason="test")
    rollout = platform.rollouts.start(Plan("r1", ModelReference("b" * 64, 2), (0.5,)), now=now, by="test")
    _ask(platform, 1, rollout_id="r1")
    collect()
    assert platform.events.visits(["q1"])
    assert len(_rows(platform, "impressions")) == 3
    platform.rollouts.roll_back("r1", fencing=rollout.fencing, now=now, by="test", reason="test")
    _ask(platform, 2)
    collect()
    assert not platform.events.visits(["q1", "q2"])
    assert len(_rows(platform, "impressions")) == 6


def test_collecting_says_what_to_do_when_nothing_was_ingested(home: Settings) -> None:
    with pytest.raises(StoreError, match="everfeed run"):
        collect()


def test_events_are_kept_when_nothing_was_ingested_yet(home: Settings, tmp_path: Path) -> None:
    platform = connect(home)
    _ask(platform, 1)
    with pytest.raises(StoreError):
        collect()
    assert len(_rows(platform, "impressions")) == 3


def test_rows_are_kept_apart_when_they_break_a_rule_on_their_way_from_the_gateway(platform: Platform) -> None:
    request = _ask(platform, 1)
    odd = replace(request, request_id="q2", propensities=(1.0, 2.0, 1.0))
    platform.events.append_requests([odd])
    collect()
    assert len(_rows(platform, "impressions")) == 5
    assert {row[schema.EVENT_ID] for row in _live(platform)} == {
        *(f"q1:{item}" for item in SHOWN),
        f"q2:{SHOWN[0]}",
        f"q2:{SHOWN[2]}",
    }
    (kept,) = _rows(platform, "quarantine")
    assert (kept[schema.TABLE], kept[schema.REASON]) == ("impressions", "propensity is outside 0 to 1")


def test_what_the_gateway_saw_stays_when_its_days_are_filled_from_a_file(platform: Platform) -> None:
    request = _ask(platform, 1)
    collect()
    late = platform.lake.read("interactions").slice(0, 1)
    moment = pa.array([request.timestamp], schema.TIMESTAMP_TYPE)
    place = late.schema.get_field_index(schema.TIMESTAMP)
    rows = late.set_column(place, schema.TIMESTAMP, moment)
    rebuild(platform.lake, "interactions", rows, replaces=True)
    assert len([row for row in _live(platform) if str(row[schema.EVENT_ID]).startswith("q1:")]) == 3
