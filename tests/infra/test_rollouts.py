"""Who serves: the state machine of rollouts, its tokens, its history."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from infra.database import Database
from infra.rollouts import ModelReference, Plan, RecordedVerdict, RolloutState, RolloutStore, Serving
from recmodels.errors import StoreError

FIRST = ModelReference("a" * 64, 1)
SECOND = ModelReference("b" * 64, 2)
THIRD = ModelReference("c" * 64, 3)
PLAN = Plan("r1", SECOND, (0.01, 0.05, 0.5), config={"alpha": 0.02}, cause="lifecycle")

Later = Callable[[float], datetime]


@pytest.fixture
def store(database: Database, now: datetime) -> RolloutStore:
    store = RolloutStore(database)
    store.set_bootstrap_champion(FIRST, now=now, by="tester", reason="bootstrap")
    return store


def test_nobody_serves_when_the_store_is_new(database: Database, now: datetime) -> None:
    store = RolloutStore(database)
    assert store.serving() == Serving()
    assert store.champion() is None
    assert store.champion_at(now) is None
    assert store.active() is None
    with pytest.raises(StoreError, match="needs a champion"):
        store.start(PLAN, now=now, by="tester")


def test_first_champion_is_set_once(store: RolloutStore, now: datetime) -> None:
    assert store.set_bootstrap_champion(FIRST, now=now, by="again", reason="again").by == "tester"
    assert len(store.history()) == 1
    with pytest.raises(StoreError, match="version 1 serves"):
        store.set_bootstrap_champion(SECOND, now=now, by="tester", reason="bootstrap")
    assert store.serving().champion == FIRST


def test_serving_follows_every_change(store: RolloutStore, later: Later) -> None:
    rollout = store.start(replace(PLAN, is_shadow=True, salt="salt"), now=later(1), by="tester")
    serving = store.serving()
    assert (serving.champion, serving.challenger, serving.share, serving.step) == (FIRST, SECOND, 0.0, -1)
    assert (serving.rollout_id, serving.salt, serving.state) == ("r1", "salt", "shadow")
    for step, share in enumerate(PLAN.steps):
        rollout = store.advance("r1", fencing=rollout.fencing, now=later(2 + step), by="tester", reason="fine")
        assert (store.serving().share, store.serving().step, rollout.state) == (share, step, RolloutState.RUNNING)
    with pytest.raises(StoreError, match="at its last step"):
        store.advance("r1", fencing=rollout.fencing, now=later(9), by="tester", reason="fine")
    champion = store.promote("r1", fencing=rollout.fencing, now=later(10), by="tester", reason="not worse")
    assert (champion.version, champion.rollout_id, champion.reason) == (2, "r1", "not worse")
    serving = store.serving()
    assert (serving.champion, serving.challenger, serving.share, serving.rollout_id) == (SECOND, None, 0.0, None)
    assert serving.revision == 6  # the first champion, the start, three steps, the promotion
    assert serving.changed_at == later(10)


def test_start_again_returns_the_same_rollout(store: RolloutStore, later: Later) -> None:
    first = store.start(PLAN, now=later(1), by="tester")
    assert store.start(PLAN, now=later(2), by="tester") == first
    assert first.salt
    assert first.config == {"alpha": 0.02}
    assert len(store.transitions("r1")) == 1


def test_second_rollout_is_refused_when_one_is_active(store: RolloutStore, later: Later) -> None:
    store.start(PLAN, now=later(1), by="tester")
    with pytest.raises(StoreError, match=r"rollout 'r1' of version 2 is running at 1%"):
        store.start(replace(PLAN, rollout_id="r2", challenger=THIRD), now=later(2), by="tester")
    store.roll_back("r1", fencing=None, now=later(3), by="tester", reason="worse")
    assert store.start(replace(PLAN, rollout_id="r2", challenger=THIRD), now=later(4), by="tester").is_active


def test_champion_cannot_be_its_own_challenger(store: RolloutStore, now: datetime) -> None:
    with pytest.raises(StoreError, match="is the champion already"):
        store.start(replace(PLAN, challenger=FIRST), now=now, by="tester")


@pytest.mark.parametrize("steps", [(), (0.0,), (0.5, 0.5), (0.5, 0.1), (0.6,)])
def test_steps_must_rise_to_a_half_at_most(steps: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="must rise"):
        Plan("r1", SECOND, steps)


def test_stale_token_is_refused_and_told_who_won(store: RolloutStore, later: Later) -> None:
    rollout = store.start(PLAN, now=later(1), by="flow")
    store.hold("r1", fencing=rollout.fencing, now=later(2), by="anna", reason="numbers look odd")
    attempts = (store.advance, store.promote, store.roll_back, store.resume)
    for attempt in attempts:
        with pytest.raises(StoreError, match=r"token 1: anna changed it to held .*numbers look odd.*token is 2"):
            attempt("r1", fencing=rollout.fencing, now=later(3), by="flow", reason="fine")
    with pytest.raises(StoreError, match="anna changed it"):
        store.record_verdict("r1", _verdict(later(3)), fencing=rollout.fencing)
    assert store.rollout("r1").state == RolloutState.HELD
    assert store.verdicts("r1") == []


def test_taking_over_makes_the_former_token_stale(store: RolloutStore, later: Later) -> None:
    rollout = store.start(PLAN, now=later(1), by="first controller")
    taken = store.take_over("r1", now=later(2), by="second controller")
    assert (taken.fencing, taken.state, taken.share) == (2, RolloutState.RUNNING, 0.01)
    with pytest.raises(StoreError, match="second controller changed it"):
        store.promote("r1", fencing=rollout.fencing, now=later(3), by="first controller", reason="fine")


def test_abort_succeeds_when_the_rollout_is_held(store: RolloutStore, later: Later) -> None:
    rollout = store.start(PLAN, now=later(1), by="flow")
    store.hold("r1", fencing=rollout.fencing, now=later(2), by="flow", reason="no data")
    ended = store.roll_back("r1", fencing=None, now=later(3), by="anna", reason="abort")
    assert (ended.state, ended.share) == (RolloutState.ROLLED_BACK, 0.0)
    assert store.serving().challenger is None
    with pytest.raises(StoreError, match="it is rolled_back, and must be"):
        store.promote("r1", fencing=ended.fencing, now=later(4), by="flow", reason="fine")
    again = store.roll_back("r1", fencing=None, now=later(5), by="bert", reason="abort")
    assert again == ended


def test_abort_undoes_a_promotion_that_came_first(store: RolloutStore, later: Later) -> None:
    rollout = store.start(PLAN, now=later(1), by="flow")
    store.promote("r1", fencing=rollout.fencing, now=later(2), by="flow", reason="not worse")
    ended = store.roll_back("r1", fencing=None, now=later(3), by="anna", reason="abort")
    assert ended.state == RolloutState.ROLLED_BACK
    assert [champion.version for champion in store.history()] == [1, 2, 1]
    assert store.serving().champion == FIRST
    assert store.history()[-1].reason == "rolled back: abort"


def test_promotion_stays_when_another_champion_followed(store: RolloutStore, later: Later) -> None:
    rollout = store.start(PLAN, now=later(1), by="flow")
    store.promote("r1", fencing=rollout.fencing, now=later(2), by="flow", reason="not worse")
    second = store.start(replace(PLAN, rollout_id="r2", challenger=THIRD), now=later(3), by="flow")
    with pytest.raises(StoreError, match="rollout 'r2' of version 3"):
        store.start(replace(PLAN, rollout_id="r3", challenger=FIRST), now=later(3), by="flow")
    store.promote("r2", fencing=second.fencing, now=later(4), by="flow", reason="not worse")
    with pytest.raises(StoreError, match="version 3 followed it"):
        store.roll_back("r1", fencing=None, now=later(5), by="anna", reason="abort")
    assert store.serving().champion == THIRD


def test_undone_promotion_leaves_the_next_rollout_active(store: RolloutStore, later: Later) -> None:
    rollout = store.start(PLAN, now=later(1), by="flow")
    store.promote("r1", fencing=rollout.fencing, now=later(2), by="flow", reason="not worse")
    store.start(replace(PLAN, rollout_id="r2", challenger=THIRD), now=later(3), by="flow")
    store.roll_back("r1", fencing=None, now=later(4), by="anna", reason="abort")
    serving = store.serving()
    assert (serving.champion, serving.challenger, serving.rollout_id) == (FIRST, THIRD, "r2")


def test_promote_and_abort_at_once_end_rolled_back(store: RolloutStore, later: Later) -> None:
    rollout = store.start(PLAN, now=later(1), by="flow")

    def promote() -> str:
        try:
            store.promote("r1", fencing=rollout.fencing, now=later(2), by="flow", reason="fine")
        except StoreError as error:
            return str(error)
        return "promoted"

    with ThreadPoolExecutor(2) as pool:
        promotion = pool.submit(promote)
        abort = pool.submit(store.roll_back, "r1", fencing=None, now=later(2), by="anna", reason="abort")
    assert abort.result().state == RolloutState.ROLLED_BACK
    assert promotion.result() == "promoted" or "anna changed it to rolled_back" in promotion.result()
    assert store.serving().champion == FIRST
    assert store.serving().challenger is None


def test_one_of_many_controllers_wins_when_all_hold_the_same_token(store: RolloutStore, later: Later) -> None:
    rollout = store.start(PLAN, now=later(1), by="flow")

    def advance(number: int) -> bool:
        try:
            store.advance("r1", fencing=rollout.fencing, now=later(2), by=f"controller {number}", reason="fine")
        except StoreError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(advance, range(8))) == 1
    assert store.rollout("r1").step == 1


def test_hold_freezes_the_share_and_resume_goes_on(store: RolloutStore, later: Later) -> None:
    rollout = store.start(replace(PLAN, deadline_at=later(100)), now=later(1), by="flow")
    held = store.hold("r1", fencing=rollout.fencing, now=later(2), by="flow", reason="sample ratio")
    assert (held.state, held.share, held.deadline_at) == (RolloutState.HELD, 0.01, later(100))
    assert store.serving().state == "held"
    assert store.serving().share == 0.01
    assert store.hold("r1", fencing=held.fencing, now=later(3), by="flow", reason="again") == held
    with pytest.raises(StoreError, match="it is held, and must be shadow or running"):
        store.advance("r1", fencing=held.fencing, now=later(3), by="flow", reason="fine")
    going = store.resume("r1", fencing=held.fencing, now=later(4), by="anna", reason="fixed", deadline_at=later(200))
    assert (going.state, going.step, going.deadline_at) == (RolloutState.RUNNING, 0, later(200))


def test_champion_at_any_time_is_known(store: RolloutStore, now: datetime, later: Later) -> None:
    rollout = store.start(PLAN, now=later(10), by="flow")
    store.promote("r1", fencing=rollout.fencing, now=later(20), by="flow", reason="not worse")
    versions = [store.champion_at(later(seconds)) for seconds in (-1, 0, 19, 20, 99)]
    assert [champion and champion.version for champion in versions] == [None, 1, 1, 2, 2]


def test_verdicts_are_kept_as_they_were(store: RolloutStore, later: Later) -> None:
    rollout = store.start(PLAN, now=later(1), by="flow")
    verdicts = [
        _verdict(later(2)),
        RecordedVerdict(later(3), 0, "hold", "stale", "no data", 0, 0),
    ]
    for verdict in verdicts:
        store.record_verdict("r1", verdict, fencing=rollout.fencing)
    assert store.verdicts("r1") == verdicts
    assert store.verdicts("other") == []


def test_figures_that_are_not_finite_are_kept_as_none(store: RolloutStore, later: Later) -> None:
    rollout = store.start(PLAN, now=later(1), by="flow")
    infinite = float("inf")
    odd = replace(_verdict(later(2)), estimate=float("nan"), lower=-infinite, e_values={"error": infinite, "slow": 2.0})
    store.record_verdict("r1", odd, fencing=rollout.fencing)
    kept = store.verdicts("r1")[0]
    assert (kept.estimate, kept.lower, kept.upper) == (None, None, 0.03)
    assert kept.e_values == {"error": 1e300, "slow": 2.0}


def test_unknown_rollout_is_answered_with_the_known_ones(store: RolloutStore, later: Later) -> None:
    store.start(PLAN, now=later(1), by="flow")
    with pytest.raises(StoreError, match=r"no rollout 'r9'.*r1"):
        store.rollout("r9")


def test_every_change_leaves_a_trace(store: RolloutStore, later: Later) -> None:
    rollout = store.start(PLAN, now=later(1), by="flow")
    rollout = store.advance("r1", fencing=rollout.fencing, now=later(2), by="flow", reason="enough users")
    store.roll_back("r1", fencing=rollout.fencing, now=later(3), by="judge", reason="worse")
    trace = [(t.fencing, t.state, t.share, t.by, t.reason) for t in store.transitions()]
    assert trace == [
        (1, RolloutState.RUNNING, 0.01, "flow", "lifecycle"),
        (2, RolloutState.RUNNING, 0.05, "flow", "enough users"),
        (3, RolloutState.ROLLED_BACK, 0.0, "judge", "worse"),
    ]
    assert [rollout.rollout_id for rollout in store.rollouts()] == ["r1"]


def _verdict(at: datetime) -> RecordedVerdict:
    return RecordedVerdict(at, 0, "continue", "none", "too early", 10, 11, 0.01, -0.01, 0.03, 0.1, {"error": 0.5})


SEEN = RecordedVerdict(
    at=datetime(2026, 3, 1, 12, tzinfo=UTC),
    step=0,
    action="rollback",
    rule="primary_worse",
    words="the upper bound is below 0",
    users_canary=10,
    users_control=11,
)


def test_verdict_and_deed_are_one_transaction(store: RolloutStore, later: Later) -> None:
    rollout = store.start(PLAN, now=later(1), by="tester")
    held = store.hold("r1", fencing=rollout.fencing, now=later(2), by="c", reason="r", verdict=replace(SEEN, rule="a"))
    store.hold("r1", fencing=held.fencing, now=later(3), by="c", reason="r", verdict=replace(SEEN, rule="b"))
    gone_on = store.resume(
        "r1", fencing=held.fencing, now=later(4), by="c", reason="r", verdict=replace(SEEN, rule="c")
    )
    grown = store.advance(
        "r1", fencing=gone_on.fencing, now=later(5), by="c", reason="r", verdict=replace(SEEN, rule="d")
    )
    store.promote("r1", fencing=grown.fencing, now=later(6), by="c", reason="r", verdict=replace(SEEN, rule="e"))
    store.roll_back("r1", fencing=None, now=later(7), by="anna", reason="r", verdict=replace(SEEN, rule="f"))
    assert [verdict.rule for verdict in store.verdicts("r1")] == ["a", "b", "c", "d", "e", "f"]
    states = ["running", "held", "running", "running", "promoted", "rolled_back"]
    assert [transition.state for transition in store.transitions("r1")] == states


def test_neither_verdict_nor_deed_is_kept_when_the_token_is_stale(store: RolloutStore, later: Later) -> None:
    rollout = store.start(PLAN, now=later(1), by="tester")
    store.take_over("r1", now=later(2), by="another controller")
    for deed in (store.advance, store.hold, store.promote, store.roll_back):
        with pytest.raises(StoreError, match="another controller"):
            deed("r1", fencing=rollout.fencing, now=later(3), by="c", reason="r", verdict=SEEN)
    assert store.verdicts("r1") == []
    assert store.rollout("r1").state == RolloutState.RUNNING


def test_who_serves_stays_when_it_is_asserted_again(store: RolloutStore, later: Later) -> None:
    store.start(PLAN, now=later(1), by="tester")
    before = store.serving()
    assert store.reassert(now=later(2)) == before.revision + 1
    assert store.serving() == replace(before, revision=before.revision + 1, changed_at=later(2))


def test_nothing_is_asserted_when_nobody_serves(database: Database, now: datetime) -> None:
    with pytest.raises(StoreError, match="nothing to assert"):
        RolloutStore(database).reassert(now=now)
