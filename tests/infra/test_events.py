"""What was served and what came of it: kept once, counted once, moved once."""

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial

import numpy as np
import pyarrow as pa
import pytest

from infra.database import Database, open_database
from infra.events import Drained, EventStore, Outcome, Rejection, ServedRequest, user_key
from infra.rollouts import ModelReference, Plan, RolloutStore
from recmodels.data import schema
from tests.stopwatch import least_seconds

Later = Callable[[float], datetime]


@pytest.fixture
def store(database: Database) -> EventStore:
    return EventStore(database)


def _request(number: int, *, at: datetime, user: str = "u1", arm: str = "canary", **changes: object) -> ServedRequest:
    request = ServedRequest(
        request_id=f"q{number}",
        timestamp=at,
        user_key=user,
        surface="video",
        model_version="2" if arm == "canary" else "1",
        arm=arm,
        item_ids=("i1", "i2", "i3"),
        scores=(3.0, 2.0, 1.0),
        propensities=(1.0, 1.0, 1.0),
        num_requested=3,
        latency_seconds=0.01,
        rollout_id="r1",
        step=0,
    )
    return replace(request, **changes)  # type: ignore[arg-type]


def _click(event: str, request: int, item: str, *, at: datetime, kind: str = "clicked", value: float = 1.0) -> Outcome:
    return Outcome(event, f"q{request}", item, kind, value, at)


def test_user_key_is_keyed_and_stable() -> None:
    assert user_key("u1", b"secret") == user_key("u1", b"secret")
    assert len({user_key("u1", b"secret"), user_key("u2", b"secret"), user_key("u1", b"other")}) == 3
    assert len(user_key("u1", b"x" * 1000)) == 32


def test_request_is_kept_once_when_it_comes_twice(store: EventStore, now: datetime) -> None:
    assert store.append_requests([_request(1, at=now), _request(2, at=now)]) == 2
    assert store.append_requests([_request(2, at=now), _request(3, at=now)]) == 1
    assert store.append_requests([]) == 0


def test_raw_ids_are_found_by_their_keys(store: EventStore, now: datetime) -> None:
    store.append_requests([_request(1, at=now, user="k1", user_id="anna"), _request(2, at=now, user="k2")])
    assert store.user_ids(["k1", "k2", "k3"]) == {"k1": "anna"}


def test_visit_is_found_by_its_request(store: EventStore, now: datetime) -> None:
    store.append_requests([_request(1, at=now, user="k1", origin="replay")])
    visits = store.visits(["q1", "q9"])
    assert {(key, visit.user_key, visit.timestamp, visit.origin) for key, visit in visits.items()} == {
        ("q1", "k1", now, "replay")
    }


def test_recent_users_come_newest_first_and_once(store: EventStore, now: datetime) -> None:
    assert store.recent_users(3) == []
    store.append_requests([_request(n, at=now, user=user) for n, user in enumerate("abacbd")])
    assert store.recent_users(3) == ["d", "b", "c"]
    assert store.recent_users(9) == ["d", "b", "c", "a"]


def test_segment_version_goes_to_the_lake_where_a_list_held_a_newcomer(
    store: EventStore, now: datetime, later: Later
) -> None:
    store.append_requests([_request(1, at=now, segment_version=7), _request(2, at=now)])
    drained = store.drain(before=later(1)).impressions
    versions = dict(zip(drained["request_id"].to_pylist(), drained["segment_version"].to_pylist(), strict=True))
    assert versions == {"q1": 7, "q2": None}


def test_outcome_is_rejected_when_it_fits_nothing_that_was_served(store: EventStore, now: datetime) -> None:
    store.append_requests([_request(1, at=now)])
    receipt = store.append_outcomes(
        [
            _click("e1", 1, "i1", at=now),
            _click("e2", 9, "i1", at=now),
            _click("e3", 1, "i9", at=now),
            _click("e4", 1, "i1", at=now, kind="stared_at"),
            _click("e5", 1, "i1", at=now, value=math.nan),
            _click("e1", 1, "i1", at=now),
        ]
    )
    assert (receipt.accepted, receipt.duplicates) == (1, 1)
    assert [rejection.event_id for rejection in receipt.rejected] == ["e2", "e3", "e4", "e5"]
    words = [rejection.reason for rejection in receipt.rejected]
    for word, expected in zip(words, ("never answered", "not in the answer", "Known: clicked", "finite"), strict=True):
        assert expected in word
    assert isinstance(receipt.rejected[0], Rejection)


def test_feedback_finds_the_answers_of_its_own_group_and_neither_is_kept_when_the_group_fails(
    store: EventStore, now: datetime
) -> None:
    receipts = store.append_group(
        [_request(1, at=now)], [[_click("e1", 1, "i1", at=now)], [_click("e2", 9, "i1", at=now)]]
    )
    assert [(receipt.accepted, len(receipt.rejected)) for receipt in receipts] == [(1, 0), (0, 1)]
    assert store.append_group([_request(2, at=now)], []) == []

    naive = datetime(2026, 1, 1)  # without a time zone: the store refuses it
    with pytest.raises(ValueError, match="time zone"):
        store.append_group([_request(3, at=now)], [[_click("e3", 3, "i1", at=naive)]])

    assert set(store.visits(["q1", "q2", "q3"])) == {"q1", "q2"}


def test_reports_share_what_is_known_when_they_come_together(store: EventStore, now: datetime) -> None:
    store.append_requests([_request(1, at=now)])
    first = [_click("e1", 1, "i1", at=now)]
    receipts = store.append_group([], [first, [*first, _click("e2", 1, "i2", at=now)], []])
    assert [(receipt.accepted, receipt.duplicates) for receipt in receipts] == [(1, 0), (1, 1), (0, 0)]


def test_units_are_summed_by_hand(store: EventStore, now: datetime, later: Later) -> None:
    store.append_requests(
        [
            _request(1, at=now, user="b"),
            _request(2, at=later(1), user="b", item_ids=("i1",), scores=(1.0,), propensities=(1.0,)),
            _request(3, at=later(2), user="a", is_fallback=True, is_error=True),
            _request(4, at=later(3), user="c", arm="control", latency_seconds=0.5, num_blocked=2),
            _request(5, at=later(4), user="d", arm="rest"),
            _request(6, at=later(50), user="e", is_non_finite=True),
            _request(7, at=now, user="f", rollout_id="r0"),
        ]
    )
    store.append_outcomes(
        [
            _click("e1", 1, "i1", at=later(5)),
            _click("e2", 1, "i3", at=later(5)),
            _click("e3", 2, "i1", at=later(5), kind="hidden"),
            _click("e4", 3, "i2", at=later(5), kind="liked"),
            _click("e5", 4, "i2", at=later(5), value=0.0),
            _click("e6", 6, "i2", at=later(51)),
        ]
    )
    figures = store.arm_units("r1", reward_kind="clicked", matured_before=later(50))
    canary, control = figures.canary, figures.control
    assert canary.user_keys.tolist() == ["a", "b", "e"]
    assert canary.impressions.tolist() == [3.0, 4.0, 0.0]
    assert canary.reward.tolist() == [0.0, 2.0, 0.0]
    assert {name: flag.tolist() for name, flag in canary.flags.items()} == {
        "error": [True, False, False],
        "slow": [False, False, False],
        "short": [False, True, False],
        "fallback": [True, False, False],
        "hidden": [False, True, False],
    }
    assert (canary.requests, canary.request_errors, canary.non_finite, canary.blocked) == (4, 1, 1, 0)
    assert (control.user_keys.tolist(), control.reward.tolist(), control.blocked) == (["c"], [0.0], 2)
    assert (figures.assigned_canary, figures.assigned_control) == (3, 1)
    assert figures.newest_at == later(50)
    assert figures.slow_seconds == 0.5


def test_arms_are_empty_when_nothing_was_served(store: EventStore, now: datetime) -> None:
    figures = store.arm_units("r1", reward_kind="clicked", matured_before=now)
    assert figures.canary.impressions.shape == (0,)
    assert figures.control.flags["slow"].shape == (0,)
    assert (figures.newest_at, figures.assigned_canary) == (None, 0)
    assert figures.slow_seconds == math.inf


def test_slow_is_above_the_99th_percentile_of_the_control(store: EventStore, now: datetime) -> None:
    control = [_request(n, at=now, user=f"c{n:03}", arm="control", latency_seconds=n / 1000) for n in range(1, 201)]
    canary = [
        _request(201, at=now, user="fast", latency_seconds=0.198),
        _request(202, at=now, user="slow", latency_seconds=0.1981),
    ]
    store.append_requests(control + canary)
    figures = store.arm_units("r1", reward_kind="clicked", matured_before=datetime.max.replace(tzinfo=now.tzinfo))
    assert figures.slow_seconds == 0.198  # the 198th of 200
    assert figures.canary.flags["slow"].tolist() == [False, True]
    assert figures.control.flags["slow"].sum() == 2


def test_only_the_first_outcome_of_a_kind_counts(store: EventStore, now: datetime, later: Later) -> None:
    store.append_requests([_request(1, at=now)])
    seconds = [("e1", 30.0), ("e2", 500.0)]
    for event, value in seconds:
        store.append_outcomes([_click(event, 1, "i1", at=later(1), kind="watch_seconds", value=value)])
    figures = store.arm_units("r1", reward_kind="watch_seconds", matured_before=later(9))
    assert figures.canary.reward.tolist() == [30.0]


def test_reward_is_capped_and_closes_with_its_window(store: EventStore, now: datetime, later: Later) -> None:
    store.append_requests([_request(1, at=now)])
    store.append_outcomes(
        [
            _click("e1", 1, "i1", at=later(10), kind="watch_seconds", value=500.0),
            _click("e2", 1, "i2", at=later(11), kind="watch_seconds", value=7.0),
        ]
    )

    def reward(**options: float) -> float:
        figures = store.arm_units("r1", reward_kind="watch_seconds", matured_before=later(99), **options)  # type: ignore[arg-type]
        return float(figures.canary.reward[0])

    assert reward() == 507.0
    assert reward(cap=60.0) == 67.0
    assert reward(cap=60.0, label_window_seconds=10.0) == 60.0


def test_only_the_step_that_is_asked_for_is_summed(store: EventStore, now: datetime, later: Later) -> None:
    store.append_requests([_request(1, at=now), _request(2, at=now, step=1, user="u2")])
    store.append_outcomes([_click("e1", 1, "i1", at=now), _click("e2", 2, "i1", at=now)])
    sums = [
        store.arm_units("r1", reward_kind="clicked", matured_before=later(1), step=step).canary.reward.sum()
        for step in (None, 0, 1, 2)
    ]
    assert sums == [2.0, 1.0, 1.0, 0.0]


def test_drained_tables_are_in_the_contract(store: EventStore, now: datetime, later: Later) -> None:
    store.append_requests(
        [
            _request(2, at=later(1), scores=(math.nan, 2.0, 1.0), is_fallback=True),
            _request(1, at=now, query="cats", surface="search", rollout_id=None, step=None, arm="rest"),
            _request(3, at=later(2), item_ids=(), scores=(), propensities=()),
            _request(4, at=later(90)),
        ]
    )
    store.append_outcomes([_click("e1", 2, "i3", at=later(8)), _click("e2", 4, "i1", at=later(91))])
    drained = store.drain(before=later(90))
    assert drained.impressions.schema.equals(schema.IMPRESSIONS)
    assert drained.outcomes.schema.equals(schema.OUTCOMES)
    columns = drained.impressions.select(["request_id", "position", "item_id", "score", "rollout_id", "step"])
    assert [tuple(row.values()) for row in columns.to_pylist()] == [
        ("q1", 0, "i1", 3.0, None, None),
        ("q1", 1, "i2", 2.0, None, None),
        ("q1", 2, "i3", 1.0, None, None),
        ("q2", 0, "i1", None, "r1", 0),
        ("q2", 1, "i2", 2.0, "r1", 0),
        ("q2", 2, "i3", 1.0, "r1", 0),
    ]
    assert drained.impressions["timestamp"].to_pylist() == [now] * 3 + [later(1)] * 3
    assert drained.outcomes["event_id"].to_pylist() == ["e1"]


def test_batch_stays_the_same_until_it_is_forgotten(store: EventStore, now: datetime, later: Later) -> None:
    store.append_requests([_request(n, at=later(n)) for n in range(5)])
    first = store.drain(before=later(3))
    store.append_outcomes([_click("e1", 1, "i1", at=later(4))])
    again = store.drain(before=later(9))
    assert again.batch == first.batch
    assert again.impressions.equals(first.impressions)
    assert again.outcomes.equals(first.outcomes)
    store.forget(again)
    second = store.drain(before=later(9))
    assert second.last_key > first.last_key
    assert set(second.impressions["request_id"].to_pylist()) == {"q3", "q4"}


def test_every_event_moves_once_when_batches_are_small(store: EventStore, now: datetime, later: Later) -> None:
    store.append_requests([_request(n, at=later(n)) for n in range(7)])
    store.append_outcomes([_click(f"e{n}", n, "i1", at=later(n)) for n in range(7)])
    moved: list[Drained] = []
    while not (drained := store.drain(before=later(99), limit=3)).is_empty:
        moved.append(drained)
        store.forget(drained)
    assert len(moved) == 3
    assert sorted(pa.concat_tables(d.outcomes for d in moved)["event_id"].to_pylist()) == [f"e{n}" for n in range(7)]
    assert pa.concat_tables(d.impressions for d in moved).num_rows == 21
    late = store.append_outcomes([_click("late", 1, "i2", at=later(100))])
    assert "never answered here, or so long ago" in late.rejected[0].reason


def test_active_rollout_keeps_what_it_is_judged_on(database: Database, now: datetime, later: Later) -> None:
    store, rollouts = EventStore(database), RolloutStore(database)
    rollouts.set_bootstrap_champion(ModelReference("a", 1), now=now, by="tester", reason="")
    rollouts.start(Plan("r1", ModelReference("b", 2), (0.5,)), now=now, by="tester")
    store.append_requests([_request(1, at=now), _request(2, at=now, rollout_id=None, arm="rest")])
    store.append_outcomes([_click("e1", 1, "i1", at=later(1)), _click("e2", 2, "i1", at=later(1))])

    store.forget(store.drain(before=later(9)))
    assert store.drain(before=later(9)).is_empty
    assert store.arm_units("r1", reward_kind="clicked", matured_before=later(9)).canary.reward.tolist() == [1.0]
    assert set(store.visits(["q1", "q2"])) == {"q1"}

    late = store.append_outcomes([_click("e3", 1, "i2", at=later(2))])
    assert late.accepted == 1
    second = store.drain(before=later(9))
    assert (second.impressions.num_rows, second.outcomes["event_id"].to_pylist()) == (0, ["e3"])

    rollouts.roll_back("r1", fencing=None, now=later(10), by="tester", reason="over")
    store.forget(second)
    assert store.visits(["q1"]) == {}


def test_everything_acknowledged_is_there_after_reopening(database_url: str, now: datetime, later: Later) -> None:
    first = open_database(database_url)
    EventStore(first).append_requests([_request(1, at=now)])
    EventStore(first).append_outcomes([_click("e1", 1, "i1", at=now)])
    first.close()
    reopened = open_database(database_url)
    second = EventStore(reopened)
    assert second.append_outcomes([_click("e1", 1, "i1", at=now)]).duplicates == 1
    assert second.arm_units("r1", reward_kind="clicked", matured_before=later(1)).canary.reward.tolist() == [1.0]
    reopened.close()


def test_units_of_20_thousand_requests_take_a_fraction_of_a_second(
    sqlite_url: str, now: datetime, later: Later
) -> None:
    store = EventStore(open_database(sqlite_url))
    rng = np.random.default_rng(0)
    users, arms = rng.integers(0, 8000, 20_000), ("canary", "control")
    served = [
        _request(n, at=later(n / 100), user=f"u{user:05}", arm=arms[user % 2]) for n, user in enumerate(users.tolist())
    ]
    for start in range(0, len(served), 2000):
        store.append_requests(served[start : start + 2000])
        store.append_outcomes([_click(f"e{n}", n, "i2", at=later(n / 100 + 1)) for n in range(start, start + 2000)])
    asked = partial(store.arm_units, "r1", reward_kind="clicked", matured_before=later(1e6), label_window_seconds=60)
    figures = asked()
    per_user = np.bincount(users, minlength=8000)
    keys = np.array([int(key[1:]) for key in figures.canary.user_keys])
    assert np.array_equal(figures.canary.reward, per_user[keys])
    assert np.array_equal(figures.canary.impressions, 3.0 * per_user[keys])
    assert figures.canary.reward.sum() + figures.control.reward.sum() == 20_000
    assert least_seconds(asked, below=0.9) < 0.9  # 0.1 on a quiet machine


def test_what_waits_is_read_without_moving_it(store: EventStore, now: datetime, later: Later) -> None:
    store.append_requests(
        [
            _request(1, at=now, user="00aa"),
            _request(2, at=later(1), user="ffaa"),
            _request(3, at=later(2), user="00bb", origin="replay"),
        ]
    )
    store.append_outcomes([_click("e1", 1, "i1", at=later(3)), _click("e2", 2, "i1", at=later(3))])
    assert store.is_waiting(origin="event")
    assert not store.is_waiting(origin="synthetic")
    waiting = store.waiting(origin="event")
    assert sorted(set(waiting.impressions["request_id"].to_pylist())) == ["q1", "q2"]
    assert sorted(waiting.outcomes["event_id"].to_pylist()) == ["e1", "e2"]
    half = store.waiting(origin="event", share=0.5)
    assert set(half.impressions["user_key"].to_pylist()) == {"00aa"}
    assert half.outcomes["event_id"].to_pylist() == ["e1"]
    assert store.waiting(origin="event").impressions.equals(waiting.impressions)
    drained = store.drain(before=later(60))
    assert store.waiting(origin="event").impressions.num_rows == 0
    assert not store.is_waiting(origin="event")
    assert drained.impressions.num_rows > 0
