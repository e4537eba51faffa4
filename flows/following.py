"""What follows from a monitor run: what the policy must know, and doing what it decided."""

import logging
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from prefect import task
from pydantic import BaseModel, ConfigDict

from flows.clock import utc_now
from flows.observed import rows_since
from flows.retrains import request_retrain
from flows.wiring import Platform, platform
from infra.figures import FigureRecord, FigureStore
from infra.retrains import Retrain
from infra.rollout_records import Champion
from monitoring.policy import PolicyConfig, PolicyState, drift_began
from monitoring.policy import decide as decide_policy
from monitoring.result import CheckResult
from recmodels.errors import StoreError
from recmodels.manifest import verify

_log = logging.getLogger(__name__)


class Decided(BaseModel):
    """What the policy says of a run."""

    model_config = ConfigDict(frozen=True)

    action: str
    reasons: tuple[str, ...]
    learns_from: datetime | None = None
    """A retrain learns from the events of this moment on; None for all there are."""
    retrains_seen: int = 0
    """Number of the newest retrain that the policy knew of; 0 for none."""

    @property
    def words(self) -> str:
        """The reasons as one text."""
        return " ".join(self.reasons)


def decide(results: Sequence[CheckResult], config: PolicyConfig, *, extra: Path | None) -> Decided:
    """Ask the policy what the results of a run lead to.

    Args:
        results: Of all checks.
        config: Limits.
        extra: Replayed interactions that were judged beside the lake's.
    """
    began = drift_began(results)
    retrains = platform().retrains.all()
    state = _state(retrains, extra, began=began)
    decision = decide_policy(results, state, config, now=utc_now())
    return Decided(
        action=decision.action,
        reasons=decision.reasons,
        learns_from=began if config.learns_from == "drift" else None,
        retrains_seen=retrains[0].number if retrains else 0,
    )


@task(name="follow the policy")
def follow(decided: Decided) -> None:
    """Undo the last release, or write down that a retrain is wanted: what is written down is started, once."""
    home = platform()
    if decided.action == "roll_back":
        champion = home.rollouts.champion()
        assert champion is not None, "the policy rolls back only a release that serves"
        assert champion.rollout_id is not None, "the policy rolls back only what a rollout made champion"
        home.rollouts.roll_back(
            champion.rollout_id, fencing=None, now=utc_now(), by="monitor", reason=f"drift: {decided.words}"
        )
    elif decided.action == "retrain":
        asked = request_retrain(decided.words, learns_from=decided.learns_from, seen=decided.retrains_seen)
        if asked is None:
            _log.warning("another retrain was asked for while this one was decided; the next run decides anew")


def keep_figures(
    home: Platform, results: Sequence[CheckResult], *, as_of: datetime, decided: Decided, now: datetime
) -> None:
    """Keep what a run judged, day by day with its band, for the control room to draw.

    What cannot be kept is missing in a picture, and ends no run.
    """
    records = [
        FigureRecord(
            name=one.figure,
            family=one.family,
            slice=one.slice,
            status=one.status.value,
            value=one.value,
            expected=one.expected,
            size=one.size,
            since=one.since,
            words=one.message,
            **(vars(one.history) if one.history else {}),
        )
        for one in results
    ]
    store = FigureStore(home.settings.figures)
    try:
        store.write(records, as_of=as_of, action=decided.action, reasons=decided.reasons, now=now)
    except StoreError as error:
        _log.warning("figures were not kept: %s", error)


def _state(retrains: Sequence[Retrain], extra: Path | None, *, began: datetime | None) -> PolicyState:
    home = platform()
    champion: Champion | None = home.rollouts.champion()
    if champion is None:
        return PolicyState()
    trained_until = verify(home.settings.bundles, champion.digest).trained_until
    return PolicyState(
        retrained_at=tuple(one.requested_at for one in retrains),
        new_labelled_rows=rows_since(home.lake, trained_until, extra=extra),
        drifted_rows=0 if began is None else rows_since(home.lake, began, extra=extra),
        champion_since=champion.since,
        has_previous_champion=len(home.rollouts.history()) > 1,
        is_busy=home.rollouts.active() is not None or any(one.ended_at is None for one in retrains),
    )
