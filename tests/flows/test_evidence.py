"""What the judge is given: users' own past reaches it, and narrows what it says."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from flows.evidence import config_of, examine, gather
from flows.wiring import Platform
from infra.events import Outcome
from infra.settings import Settings
from monitoring.canary import CanaryConfig
from recmodels.assignment import Arm
from recmodels.data.schema import IMPRESSIONS, OUTCOMES
from tests.flows.rolling import CONFIG, crowned, start, traffic

USERS, ITEMS_SHOWN, PAST_ITEMS = 600, 4, 20


@pytest.fixture
def rollouts(home: Settings) -> Platform:
    return crowned(home)


def _past(platform: Platform, keys: NDArray[np.str_], rates: NDArray[np.float64], rng: np.random.Generator) -> None:
    """Bring a week's impressions of each user into the lake, clicked at the user's own rate."""
    rows = len(keys) * PAST_ITEMS
    request_ids = np.char.add("past-", np.repeat(keys, PAST_ITEMS))
    items = np.tile(np.char.add("i", np.arange(PAST_ITEMS).astype(np.str_)), len(keys))
    at = pa.array([datetime.now(UTC) - timedelta(days=7)] * rows, IMPRESSIONS.field("timestamp").type)
    columns = {
        "request_id": request_ids,
        "timestamp": at,
        "user_key": np.repeat(keys, PAST_ITEMS),
        "surface": np.full(rows, "video"),
        "query": pa.nulls(rows, pa.string()),
        "model_version": np.full(rows, "1"),
        "arm": np.full(rows, "rest"),
        "position": np.tile(np.arange(PAST_ITEMS, dtype=np.int32), len(keys)),
        "item_id": items,
        "propensity": np.ones(rows),
        "is_fallback": np.zeros(rows, dtype=np.bool_),
        "latency_seconds": np.full(rows, 0.01),
        "origin": np.full(rows, "event"),
    }
    nulls = {f.name: pa.nulls(rows, f.type) for f in IMPRESSIONS if f.name not in columns}
    platform.lake.append("impressions", pa.table(columns | nulls).select(IMPRESSIONS.names).cast(IMPRESSIONS))
    clicked = rng.random(rows) < np.repeat(rates, PAST_ITEMS)
    outcomes = {
        "event_id": np.char.add(np.char.add(request_ids, "-"), items)[clicked],
        "request_id": request_ids[clicked],
        "item_id": items[clicked],
        "kind": np.full(clicked.sum(), "clicked"),
        "value": np.ones(clicked.sum()),
        "timestamp": at.filter(pa.array(clicked)),
    }
    platform.lake.append("outcomes", pa.table(outcomes).select(OUTCOMES.names).cast(OUTCOMES))


def _clicks(platform: Platform, arm: Arm, rates: NDArray[np.float64], rng: np.random.Generator) -> None:
    """Let the users of an arm ask once each, and click at their own rate."""
    served = traffic(platform, arm=arm, users=USERS, clicks_of_4=0)
    chosen = rng.random((USERS, ITEMS_SHOWN)) < rates[:, None]
    platform.events.append_outcomes(
        [
            Outcome(
                f"{served[user].request_id}-{item}",
                served[user].request_id,
                f"i{item + 1}",
                "clicked",
                1.0,
                served[user].timestamp,
            )
            for user, item in zip(*np.nonzero(chosen), strict=True)
        ]
    )


def _width(platform: Platform, config: CanaryConfig) -> float:
    active = platform.rollouts.active()
    assert active is not None
    verdict = examine(platform, replace(active, config=config.model_dump(mode="json")), now=datetime.now(UTC)).verdict
    assert verdict.lower is not None
    assert verdict.upper is not None
    return verdict.upper - verdict.lower


def test_interval_is_narrower_when_users_have_a_past_that_tells_of_them(rollouts: Platform) -> None:
    rng = np.random.default_rng(5)
    keys = {arm: np.array([f"q-{arm}-{n}" for n in range(USERS)]) for arm in (Arm.CANARY, Arm.CONTROL)}
    rates = {arm: rng.beta(1.0, 3.0, USERS) for arm in keys}
    for arm, users in keys.items():
        _past(rollouts, users, rates[arm], rng)
    start(rollouts)
    for arm, own in rates.items():
        _clicks(rollouts, arm, own, rng)
    plain = _width(rollouts, CONFIG.model_copy(update={"use_covariate": False}))
    adjusted = _width(rollouts, CONFIG)
    # p ~ Beta(1, 3): V[p] = 3/80 and E[p (1 - p)] = 3/20, so a user's rate over 4 items varies by 3/80 + 3/80, over 20
    # past ones by 3/80 + 3/400, and both share 3/80: correlation squared 5/12, and the interval shrinks to sqrt(7/12)
    assert adjusted / plain == pytest.approx((7 / 12) ** 0.5, abs=0.06)


def test_covariate_is_the_rate_of_each_user_and_unknown_where_there_is_no_past(rollouts: Platform) -> None:
    rng = np.random.default_rng(6)
    _past(rollouts, np.array(["q-canary-0"]), np.array([1.0]), rng)
    rollout = rollouts.rollouts.rollout(start(rollouts))
    traffic(rollouts, arm=Arm.CANARY, users=2, clicks_of_4=1)
    traffic(rollouts, arm=Arm.CONTROL, users=1, clicks_of_4=1)
    evidence = gather(rollouts, rollout, config_of(rollout), now=datetime.now(UTC))
    assert evidence.canary.covariate is not None
    np.testing.assert_array_equal(evidence.canary.covariate, [1.0, np.nan])
    assert evidence.control.covariate is not None
    np.testing.assert_array_equal(evidence.control.covariate, [np.nan])


def test_rates_are_kept_while_the_rollout_lasts_and_removed_with_it(rollouts: Platform) -> None:
    from flows.canary import look

    rollout_id = start(rollouts)
    look()
    kept = list(rollouts.settings.covariates.iterdir())
    assert [path.name for path in kept] == [f"{rollout_id}.parquet"]
    rollouts.rollouts.roll_back(rollout_id, fencing=None, now=datetime.now(UTC), by="anna", reason="not today")
    look()
    assert list(rollouts.settings.covariates.iterdir()) == []
