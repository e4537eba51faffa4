"""`python -m flows.control_room`: the control room, given what infra may not know, under uvicorn.

It imports neither MLflow nor Prefect: the process lives as long as the stack does, and both would double its memory.
"""

import signal
import sys
from collections.abc import Sequence
from datetime import timedelta
from types import FrameType

from flows.alert_actions import FAMILIES, acknowledge, add_silence, end_silence
from infra.console.app import create_app
from infra.console.desk import Desk, HeldBack, Limit, SilenceWish, Terms
from infra.database import Database, open_database
from infra.lake import Lake
from infra.releases import ReleaseStore
from infra.rollouts import RecordedVerdict, Rollout
from infra.settings import Settings
from monitoring.canary.arms import CanaryConfig
from monitoring.canary.outlook import next_to_fire, outlook
from monitoring.canary.shadow import ShadowConfig
from monitoring.canary.verdict import Action, Verdict
from monitoring.policy import LEARNABLE
from recmodels.data import schema
from recmodels.errors import EverfeedError


def main() -> int:
    """Serve until SIGTERM or SIGINT.

    Returns:
        The exit code: 2 where the settings or the store cannot be used.
    """
    import uvicorn

    settings = Settings()
    try:
        database = open_database(settings.database)
    except EverfeedError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    signal.signal(signal.SIGTERM, _finish)  # uvicorn sends itself the signal again once it has drained
    try:
        uvicorn.run(
            create_app(settings, database, desk(settings, database)),
            host=settings.host,
            port=settings.console_port,
            access_log=False,  # a preview's address holds a user id
            log_level="warning",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=5,
        )
    finally:
        database.close()
    return 0


def desk(settings: Settings, database: Database) -> Desk:
    """Return what the control room of a home is given."""
    return Desk(
        terms=_terms,
        next_deadline=lambda rollout, now: now + timedelta(seconds=_config(rollout).deadline_seconds),
        acknowledge=lambda incident, by, note: _acknowledge(settings, incident, by=by, note=note),
        silence=lambda wish: _silence(settings, wish),
        unsilence=lambda model, family: _unsilence(settings, model=model, family=family),
        quarantine=lambda: _quarantine(settings, database),
        families=FAMILIES,
        learnable=frozenset(LEARNABLE),
    )


def _config(rollout: Rollout) -> CanaryConfig:
    return CanaryConfig.model_validate(dict(rollout.config))


def _terms(rollout: Rollout, look: RecordedVerdict | None) -> Terms:
    """Return how near each rule was to firing at a look; what was judged then is read, nothing is judged anew."""
    config = _config(rollout)
    limits = outlook(_verdict(look), config) if look is not None else ()
    nearest = next_to_fire(limits)
    seconds = config.deadline_seconds if rollout.step >= 0 else (config.shadow or ShadowConfig()).deadline_seconds
    return Terms(
        limits=tuple(
            Limit(one.rule, one.figure, one.value, one.limit, one.nearness, is_good=one.is_good) for one in limits
        ),
        next_rule=nearest.rule if nearest else "",
        deadline_at=rollout.deadline_at or rollout.step_started_at + timedelta(seconds=seconds),
        minimum_users=config.minimum_users,
        reward=config.reward,
        delta=config.delta,
        tolerance=config.tolerance,
        requires_approval=config.requires_approval,
    )


def _verdict(look: RecordedVerdict) -> Verdict:
    """Return a recorded look as the judge gave it; bounds as shares come back from the control's ratio."""
    base = look.estimate / look.relative if look.estimate and look.relative else None
    return Verdict(
        action=Action(look.action),
        rule=look.rule,
        words=look.words,
        users_canary=look.users_canary,
        users_control=look.users_control,
        estimate=look.estimate,
        lower=look.lower,
        upper=look.upper,
        relative=look.relative,
        relative_lower=None if base is None or look.lower is None else look.lower / base,
        relative_upper=None if base is None or look.upper is None else look.upper / base,
        e_values=dict(look.e_values),
        step=look.step,
    )


def _acknowledge(settings: Settings, incident: str, *, by: str, note: str) -> str:
    taken = acknowledge(settings, incident, by=by, note=note)
    return f"{taken.acknowledged_by} takes care of incident {taken.incident_id}; the channels are told."


def _silence(settings: Settings, wish: SilenceWish) -> str:
    kept = add_silence(
        settings, model=wish.model, family=wish.family, length=wish.length, reason=wish.reason, by=wish.by
    )
    return f"Nobody is told about {kept.family or 'any family'} until {kept.until:%Y-%m-%d %H:%M} UTC."


def _unsilence(settings: Settings, *, model: str, family: str) -> str:
    ended = end_silence(settings, model=model, family=family)
    return f"Silences ended: {ended}."


def _quarantine(settings: Settings, database: Database) -> Sequence[HeldBack]:
    """Return how many rows each batch has for each reason, with how many were released, the newest batch first."""
    import pyarrow as pa

    from monitoring.quarantine import BATCH, ROW_ID, describe

    lake = Lake(settings.lake_place)
    if lake.version("quarantine") is None:
        return []
    rows = describe(lake.read("quarantine"))
    marks = ReleaseStore(database).released()
    is_released = pa.compute.is_in(rows[ROW_ID], value_set=pa.array(list(marks), pa.string()))
    rows = rows.append_column("released", is_released.cast(pa.int64()))
    keys = [BATCH, schema.TABLE, schema.REASON]
    counted = rows.group_by(keys).aggregate([([], "count_all"), ("released", "sum")])
    order = [(BATCH, "descending"), (schema.TABLE, "ascending"), ("count_all", "descending")]
    return [
        HeldBack(one[BATCH], one[schema.TABLE], one[schema.REASON] or "", one["count_all"], one["released_sum"] or 0)
        for one in counted.sort_by(order).to_pylist()
    ]


def _finish(_number: int, _frame: FrameType | None) -> None:
    """Let `main` return, and with it the exit code 0."""


if __name__ == "__main__":
    sys.exit(main())
