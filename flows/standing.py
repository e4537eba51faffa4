"""How rollouts stand and went, as plain documents: what the command line prints and `--json` gives."""

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from flows.clock import utc_now
from flows.evidence import Look, config_of, deadline_of, examine
from flows.wiring import Platform
from infra.rollout_decisions import JUST_PROMOTED
from infra.rollout_records import Champion, RecordedVerdict, Rollout, RolloutState
from monitoring.canary.arms import Evidence
from monitoring.canary.outlook import next_to_fire, outlook
from recmodels.errors import StoreError

Document = dict[str, Any]


def standing(home: Platform, *, now: datetime) -> Document:
    """Return who serves, and the active rollout as it stands at this moment, judged anew without being recorded."""
    active, champion = home.rollouts.active(), home.rollouts.champion()
    return {
        "at": now,
        "champion": _champion(champion) if champion else None,
        "rollout": _active(home, active, now=now) if active else None,
        "last": _ended(home) if active is None else None,
    }


def history(home: Platform) -> Document:
    """Return every champion and every rollout, the newest first."""
    return {
        "champions": [_champion(champion) for champion in reversed(home.rollouts.history())],
        "rollouts": [_rollout(known) | {"ended_by": _ended_by(home, known)} for known in home.rollouts.rollouts()],
    }


def champion_at(home: Platform, moment: datetime) -> Document:
    """Return who was champion at a moment, and which rollout was active then.

    Raises:
        StoreError: Nobody served at that moment.
    """
    champion = home.rollouts.champion_at(moment)
    if champion is None:
        first = next(iter(home.rollouts.history()), None)
        known = f"The first champion serves since {first.since.isoformat()}." if first else "There is no champion yet."
        raise StoreError(f"nobody was champion at {moment.isoformat()}. {known}")
    last = {t.rollout_id: t for t in home.rollouts.transitions() if t.at <= moment}
    ends = (RolloutState.PROMOTED, RolloutState.ROLLED_BACK)
    open_then = next((t for t in last.values() if t.state not in ends), None)
    beside = open_then and {"id": open_then.rollout_id, "state": open_then.state, "share": open_then.share}
    return {"at": moment, "champion": _champion(champion), "rollout": beside}


def explanation(home: Platform, rollout_id: str) -> Document:
    """Return one rollout with every verdict and every change, the first one first.

    Raises:
        StoreError: There is no such rollout.
    """
    rollout = home.rollouts.rollout(rollout_id)
    return {
        "rollout": _rollout(rollout),
        "verdicts": [asdict(verdict) for verdict in home.rollouts.verdicts(rollout_id)],
        "transitions": [asdict(change) for change in home.rollouts.transitions(rollout_id)],
    }


def chosen(home: Platform, rollout_id: str, *, action: str, newest: bool = False) -> Rollout:
    """Return the rollout with this id, or the active one where none is given.

    Args:
        home: The stores.
        rollout_id: Its id; empty for the active one.
        action: What is to be done with it, for the message.
        newest: Where none is active, the newest will do.

    Raises:
        StoreError: There is no such rollout, or none is active; the message names those that can be meant.
    """
    if rollout_id:
        return home.rollouts.rollout(rollout_id)
    active = home.rollouts.active()
    if active is not None:
        return active
    known = home.rollouts.rollouts()
    if known and newest:
        return known[0]
    if known and action == "abort" and _is_just_promoted(known[0], now=utc_now()):
        return known[0]  # it was promoted while somebody reached for the abort, which beats a promotion
    if not known:
        raise StoreError(f"there is nothing to {action}: no rollout was ever started. `everfeed run` starts one.")
    promoted = next((r.rollout_id for r in known if r.state == RolloutState.PROMOTED), None)
    undo = f" `everfeed canary abort {promoted}` undoes the newest promotion." if promoted else ""
    names = ", ".join(f"{r.rollout_id} ({r.state.replace('_', ' ')})" for r in known[:5])
    raise StoreError(f"there is nothing to {action}: no rollout is active. The newest: {names}. Name one.{undo}")


def _is_just_promoted(rollout: Rollout, *, now: datetime) -> bool:
    return rollout.state == RolloutState.PROMOTED and now - rollout.updated_at <= JUST_PROMOTED


def _active(home: Platform, rollout: Rollout, *, now: datetime) -> Document:
    look, config = examine(home, rollout, now=now), config_of(rollout)
    looks = home.rollouts.verdicts(rollout.rollout_id)
    limits = outlook(look.verdict, config)
    nearest = next_to_fire(limits)
    return _rollout(rollout) | {
        "deadline_at": deadline_of(rollout, config),
        "changed_by": home.rollouts.transitions(rollout.rollout_id)[-1].by,
        "requires_approval": config.requires_approval,
        "verdict": look.verdict.as_record(),
        "limits": [asdict(limit) for limit in limits],
        "next_rule": asdict(nearest) if nearest else None,
        "looks": len(looks),
        "last_look_at": looks[-1].at if looks else None,
        **_seen(look),
    }


def _seen(look: Look) -> Document:
    evidence = look.evidence
    if isinstance(evidence, Evidence):
        users = {"canary": evidence.assigned_canary, "control": evidence.assigned_control}
        return {"users": users, "newest_at": evidence.newest_at, "shadow": None}
    return {"users": {"canary": 0, "control": 0}, "newest_at": evidence.newest_at, "shadow": asdict(evidence)}


def _ended(home: Platform) -> Document | None:
    last = next(iter(home.rollouts.rollouts()), None)
    return None if last is None else _rollout(last) | {"ended_by": _ended_by(home, last)}


def _ended_by(home: Platform, rollout: Rollout) -> Document | None:
    if rollout.is_active:
        return None
    end = home.rollouts.transitions(rollout.rollout_id)[-1]
    return {"at": end.at, "by": end.by, "reason": end.reason}


def _rollout(rollout: Rollout) -> Document:
    return {
        "id": rollout.rollout_id,
        "state": rollout.state,
        "version": rollout.challenger.version,
        "digest": rollout.challenger.digest,
        "champion_version": rollout.champion.version,
        "share": rollout.share,
        "step": rollout.step,
        "steps": list(rollout.steps),
        "cause": rollout.cause,
        "is_forced": rollout.is_forced,
        "created_at": rollout.created_at,
        "step_started_at": rollout.step_started_at,
        "updated_at": rollout.updated_at,
    }


def _champion(champion: Champion) -> Document:
    return asdict(champion)


def next_deadline(rollout: Rollout, *, now: datetime) -> datetime:
    """Return when a step that begins now must have ended."""
    return now + timedelta(seconds=config_of(rollout).deadline_seconds)


def last_words(verdicts: list[RecordedVerdict]) -> str:
    """Return what the judge said last, for whoever is about to overrule it."""
    return verdicts[-1].words if verdicts else "The judge has not looked yet."
