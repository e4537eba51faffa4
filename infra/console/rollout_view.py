"""A rollout as a person reads it: where it stands, what the judge saw, which rule is next to fire."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from infra.console.chart import Chart, draw
from infra.console.desk import Desk, Limit, Terms
from infra.rollouts import RecordedVerdict, Rollout, RolloutStore, Transition

_RULES: Mapping[str, str] = {
    "primary_worse": "the challenger is certainly worse",
    "non_inferior": "the challenger is not inferior",
    "sample_ratio": "the arms are not as large as they should be",
    "guardrail:error": "more errors",
    "guardrail:slow": "more slow answers",
    "guardrail:short": "more lists that are too short",
    "guardrail:fallback": "more fallbacks to popular items",
    "guardrail:hidden": "more items that people hide",
}


@dataclass(frozen=True)
class RolloutView:
    """One rollout.

    Attributes:
        rollout: As it is kept.
        terms: What it is held to, and how near each rule is.
        chart: Its confidence sequence; None before there is one.
        looks: The newest looks, the newest first.
        num_looks: How many there were.
        changes: Every change, the newest first.
        stands: Its state in a sentence.
        follows: What happens next, in a sentence.
    """

    rollout: Rollout
    terms: Terms
    chart: Chart | None
    looks: list[RecordedVerdict]
    num_looks: int
    changes: list[Transition]
    stands: str
    follows: str

    @property
    def newest(self) -> RecordedVerdict | None:
        """The newest look."""
        return self.looks[0] if self.looks else None


def read_rollout(rollouts: RolloutStore, rollout: Rollout, desk: Desk, *, num_looks: int) -> RolloutView:
    """Return a rollout with its newest looks.

    Raises:
        StoreError: The store cannot be read.
    """
    verdicts = rollouts.verdicts(rollout.rollout_id)
    newest = verdicts[-1] if verdicts else None
    terms = desk.terms(rollout, newest)
    return RolloutView(
        rollout=rollout,
        terms=terms,
        chart=draw(verdicts, delta=terms.delta, steps=rollout.steps),
        looks=verdicts[: -num_looks - 1 : -1],
        num_looks=len(verdicts),
        changes=rollouts.transitions(rollout.rollout_id)[::-1],
        stands=_stands(rollout),
        follows=_follows(rollout, terms, newest),
    )


def rule_words(rule: str) -> str:
    """Return what a rule means."""
    return _RULES.get(rule, rule.removeprefix("guardrail:").replace("_", " "))


def _stands(rollout: Rollout) -> str:
    state = rollout.state.replace("_", " ")
    if not rollout.is_active:
        return state
    if rollout.step < 0:
        return f"{state}: the challenger answers unseen"
    return f"{state} at {rollout.share:.0%} of users, step {rollout.step + 1} of {len(rollout.steps)}"


def _follows(rollout: Rollout, terms: Terms, newest: RecordedVerdict | None) -> str:
    if not rollout.is_active:
        return "It is over; nothing follows."
    deadline = f"The step's deadline is {terms.deadline_at:%Y-%m-%d %H:%M} UTC."
    if newest is None:
        return f"The judge has not looked yet; it does so every five minutes while schedules run. {deadline}"
    if terms.requires_approval and newest.action == "hold":
        return f"A person must promote it. {deadline}"
    good = _first([limit for limit in terms.limits if limit.is_good])
    bad = next((limit for limit in terms.limits if limit.rule == terms.next_rule), None)
    parts = [
        f"Nearest to ending it: {rule_words(bad.rule)} ({bad.nearness:.0%} of the way)." if bad else "",
        f"Nearest to going on: {rule_words(good.rule)} ({good.nearness:.0%} of the way)." if good else "",
        "" if bad else "No rule speaks against it.",
        deadline,
    ]
    return " ".join(part for part in parts if part)


def _first(limits: Sequence[Limit]) -> Limit | None:
    return limits[0] if limits else None
