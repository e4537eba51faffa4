"""Two people who press promote and abort at the same moment."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from infra.audit_log import AuditLog
from infra.database import Database
from infra.rollout_decisions import Decision, Decisions
from infra.rollouts import ModelReference, Plan, Rollout, RolloutState, RolloutStore
from recmodels.errors import StoreError

Later = Callable[[float], datetime]
CHAMPION, CHALLENGER = ModelReference("a" * 64, 1), ModelReference("b" * 64, 2)
ROUNDS = 12


@pytest.fixture
def rollouts(database: Database, now: datetime) -> RolloutStore:
    store = RolloutStore(database)
    store.set_bootstrap_champion(CHAMPION, now=now, by="release", reason="bootstrap")
    return store


@pytest.fixture
def decisions(rollouts: RolloutStore, database: Database) -> Decisions:
    return Decisions(rollouts, AuditLog(database))


def start(rollouts: RolloutStore, name: str, *, now: datetime) -> Rollout:
    plan = Plan(name, CHALLENGER, steps=(0.05, 0.5), config={}, cause="lifecycle")
    return rollouts.start(plan, now=now, by="canary controller")


def test_the_abort_undoes_a_promotion_and_both_are_told_when_the_promotion_came_first(
    rollouts: RolloutStore, decisions: Decisions, database: Database, later: Later
) -> None:
    begun = start(rollouts, "one", now=later(0))
    with ThreadPoolExecutor(1) as pool:
        promoting = pool.submit(
            decisions.promote, "one", fencing=begun.fencing, actor="cli:ana", reason="good", now=later(1)
        )
        while rollouts.rollout("one").state != RolloutState.PROMOTED:
            time.sleep(0.01)
        aborted = decisions.abort("one", actor="console:bert", reason="bad", now=later(1.5))
        promoted = promoting.result()

    assert aborted.words == "ana had promoted it at 12:00:01 (good); that is undone: version 1 serves everyone."
    assert promoted.words.startswith("bert aborted at the same moment (bad), and an abort beats a promotion")
    assert promoted.is_undone
    assert promoted.rollout.state == aborted.rollout.state == RolloutState.ROLLED_BACK
    assert promoted.champion.digest == CHAMPION.digest
    kept = [(one.actor, one.action, one.outcome) for one in AuditLog(database).recent()]
    assert kept[-1] == ("cli:ana", "canary promote", "done")
    assert set(kept[:-1]) == {("cli:ana", "canary promote", "refused"), ("console:bert", "canary abort", "done")}


def test_the_promotion_is_refused_and_told_who_aborted_when_the_abort_came_first(
    rollouts: RolloutStore, decisions: Decisions, database: Database, later: Later
) -> None:
    begun = start(rollouts, "one", now=later(0))
    aborted = decisions.abort("one", actor="cli:bert", reason="bad", now=later(1))
    with pytest.raises(StoreError, match=r"bert changed it to rolled_back at .* \(bad\).* An abort beats"):
        decisions.promote("one", fencing=begun.fencing, actor="cli:ana", reason="good", now=later(2))
    with pytest.raises(StoreError, match=r"it is rolled_back, and must be .* bert did that at .* \(bad\)"):
        decisions.promote("one", fencing=begun.fencing + 1, actor="cli:ana", reason="good", now=later(3))
    again = decisions.abort("one", actor="cli:carl", reason="worse", now=later(4))

    assert aborted.words == "Version 1 serves everyone."
    assert again.words == "bert had aborted it already at 12:00:01 (bad): version 1 serves everyone."
    kept = [(one.actor, one.outcome) for one in AuditLog(database).recent()]
    assert kept == [("cli:carl", "done"), ("cli:ana", "refused"), ("cli:ana", "refused"), ("cli:bert", "done")]


def test_a_promotion_that_nobody_aborts_stands(rollouts: RolloutStore, decisions: Decisions, later: Later) -> None:
    begun = start(rollouts, "one", now=later(0))
    done = decisions.promote(
        "one", fencing=begun.fencing, actor="cli:ana", reason="good", now=later(1), watch_seconds=0.0
    )
    assert (done.words, done.is_undone, done.champion.digest) == ("Version 2 is champion.", False, CHALLENGER.digest)


@pytest.fixture
def both(decisions: Decisions, database_again: Database) -> Iterator[tuple[Decisions, Decisions]]:
    """Two people, each with connections of their own."""
    return decisions, Decisions(RolloutStore(database_again), AuditLog(database_again))


def test_the_abort_wins_and_both_are_told_when_both_press_at_once(
    rollouts: RolloutStore, both: tuple[Decisions, Decisions], database: Database
) -> None:
    ana, bert = both
    for number in range(ROUNDS):
        name = f"round {number}"
        begun = start(rollouts, name, now=datetime.now(UTC))
        barrier = threading.Barrier(2)

        def promote(name: str = name, begun: Rollout = begun, barrier: threading.Barrier = barrier) -> Decision | str:
            barrier.wait()
            try:
                return ana.promote(
                    name, fencing=begun.fencing, actor="cli:ana", reason="good", now=datetime.now(UTC), watch_seconds=20
                )
            except StoreError as error:
                return str(error)

        def abort(name: str = name, number: int = number, barrier: threading.Barrier = barrier) -> Decision:
            barrier.wait()
            time.sleep(number % 4 / 400)
            return bert.abort(name, actor="cli:bert", reason="bad", now=datetime.now(UTC))

        with ThreadPoolExecutor(2) as pool:
            promoting, aborting = pool.submit(promote), pool.submit(abort)
            promoted, aborted = promoting.result(), aborting.result()

        champion = rollouts.champion()
        assert champion is not None
        assert (rollouts.rollout(name).state, champion.digest) == (RolloutState.ROLLED_BACK, CHAMPION.digest)
        assert rollouts.serving().challenger is None
        if isinstance(promoted, str):
            assert "bert changed it to rolled_back" in promoted
            assert aborted.words == "Version 1 serves everyone."
        else:
            assert promoted.is_undone
            assert promoted.words.startswith("bert aborted at the same moment (bad)")
            assert aborted.words.startswith("ana had promoted it at")
        kept = {(one.actor, one.outcome) for one in AuditLog(database).recent() if one.subject == name}
        assert {("cli:ana", "refused"), ("cli:bert", "done")} <= kept
