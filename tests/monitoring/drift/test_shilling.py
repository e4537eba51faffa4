from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from monitoring.drift import CHECKS
from monitoring.drift.shilling import ShillingConfig, Suspects, find_suspects, quarantine_accounts, without_accounts
from monitoring.drift.suite import config_of
from monitoring.incidents import IncidentConfig, TransitionKind, advance
from monitoring.result import Status
from recmodels.data.shilling import KINDS, Attack, fake_events
from tests.monitoring.drift.tables import MICROSECONDS_A_DAY, events, interactions, item_table

DAY = 20_010
STARTS = datetime(2024, 10, 14, tzinfo=UTC)  # day 20,010
PAST = events(days=10, rows=400, users=300)
TODAY = events(days=1, rows=400, users=300, seed=7, start_day=DAY)


def rows(*triples: tuple[str, str, int]) -> pa.Table:
    """Rows of (user, item, day)."""
    users, items, days = zip(*triples, strict=True)
    stamps = [day * MICROSECONDS_A_DAY + n for n, day in enumerate(days)]
    return interactions(user_id=list(users), item_id=list(items), timestamp=stamps)


def attacked(kind="random", **changes) -> pa.Table:
    attack = Attack(kind, "i50", STARTS, **({"user_share": 0.05} | changes))
    return pa.concat_tables([TODAY, fake_events(PAST, item_table(), attack, seed=3)])


def fakes_of(found: Suspects) -> tuple[int, int]:
    """How many suspects are fake, and how many are people."""
    ids = found.user_ids.to_pylist()
    fake = sum(name.startswith("shilling") for name in ids)
    return fake, len(ids) - fake


@pytest.mark.parametrize("kind", KINDS)
def test_every_fake_account_is_found_on_its_day_when_it_bursts(kind):
    found = find_suspects(PAST, attacked(kind))
    assert fakes_of(found) == (15, 0)
    assert found.targets.to_pylist() == [{"item_id": "i50", "day": date(2024, 10, 14), "accounts": 15}]
    assert "burst on one item: 50 events in a day" in found.accounts["reason"][0].as_py()


@pytest.mark.parametrize("kind", KINDS)
def test_a_swarm_is_found_when_every_fake_account_comes_once(kind):
    found = find_suspects(PAST, attacked(kind, target_events=1, user_share=0.1, fillers=5))
    fake, people = fakes_of(found)
    assert fake == 30
    assert people <= 1
    assert found.targets["item_id"].to_pylist() == ["i50"]
    assert "swarm on one item: " in found.accounts["reason"][0].as_py()


def test_nobody_is_suspect_when_the_day_is_as_before():
    found = find_suspects(PAST, TODAY)
    assert (found.accounts.num_rows, found.targets.num_rows, found.days) == (0, 0, 1)
    assert found.users == pc.count_distinct(TODAY["user_id"]).as_py()


def test_many_old_accounts_on_one_item_are_no_swarm_when_an_item_is_simply_new_and_liked():
    viral = rows(*((f"u{n}", "viral", DAY) for n in range(200)))
    found = find_suspects(PAST, pa.concat_tables([TODAY, viral]))
    assert found.accounts.num_rows == 0


def test_newcomers_are_no_swarm_when_they_take_every_item_alike():
    fresh = rows(*((f"new{n}", f"i{n % 10}", DAY) for n in range(100)))
    assert find_suspects(PAST, pa.concat_tables([TODAY, fresh])).targets.num_rows == 0


def test_a_burst_is_more_than_the_past_knows_when_people_repeat_themselves():
    # 20 past triples of 8 events each: 8 are usual, 12 are not more than half as much again, 13 are.
    past = rows(*((f"u{n}", "song", 20_000 + n % 10) for n in range(20) for _ in range(8)))
    today = rows(*((user, "song", DAY) for user, times in (("a", 12), ("b", 13)) for _ in range(times)))
    found = find_suspects(past, today)
    assert found.burst == 13
    assert found.accounts["user_id"].to_pylist() == ["b"]
    assert found.targets.num_rows == 0, "one account alone is suspect and alarms nobody"


def test_the_check_opens_an_incident_that_forbids_a_retrain_and_names_no_user():
    (result,) = CHECKS.get("shilling")(PAST, attacked(), items=item_table(), config=config_of("shilling", {}))
    assert (result.status, result.family, result.value) == (Status.DRIFT, "data", 15)
    assert result.since == STARTS
    assert "'i50' by 15 on 2024-10-14" in result.message
    assert "shilling-" not in result.message
    moved = advance([], [result], model="", now=STARTS, config=IncidentConfig())
    assert [one.kind for one in moved.transitions] == [TransitionKind.OPENED]


def test_the_check_learns_while_the_past_is_short():
    config = config_of("shilling", {"learning_days": 11})
    (result,) = CHECKS.get("shilling")(PAST, attacked(), items=item_table(), config=config)
    assert result.status is Status.LEARNING


def test_all_rows_of_suspects_are_quarantined_with_their_reason_and_the_others_stay():
    current = attacked()
    found = find_suspects(PAST, current)
    kept_back = quarantine_accounts(current, found.reasons, at=STARTS)
    assert kept_back.num_rows == 15 * 70
    assert all(reason.startswith("burst on one item") for reason in kept_back["reason"].to_pylist())
    assert '"user_id":"shilling-3-' in kept_back["row"][0].as_py()
    assert without_accounts(current, found.user_ids).equals(TODAY)


def test_days_are_judged_each_when_the_window_holds_several():
    two = pa.concat_tables([TODAY, rows(*((f"f{n}", "i9", DAY + 1) for n in range(6) for _ in range(5)))])
    found = find_suspects(PAST, two, ShillingConfig())
    assert found.days == 2
    assert found.targets.to_pylist() == [{"item_id": "i9", "day": date(2024, 10, 15), "accounts": 6}]
    assert np.all(found.accounts["day"].to_numpy() == np.datetime64("2024-10-15"))


def test_nothing_is_judged_when_the_window_is_empty():
    assert find_suspects(PAST, TODAY.slice(0, 0)).days == 0
