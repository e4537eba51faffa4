"""What follows from the rollouts table, put right again and again: MLflow's aliases and tags, pages, the weight 0.

Whoever ended a rollout (the judge, a person on the command line, the control room, the monitor's policy), the next look
leaves the traces that are still missing. Each trace is found by its key, so that none is left twice.
"""

import hashlib
import logging
import re

from prefect.artifacts import Artifact, create_markdown_artifact

from flows.clock import utc_now
from flows.wiring import Platform
from infra.model_registry import AliasChange, Registered
from infra.rollout_records import Rollout, RolloutState, Transition
from infra.rollout_traffic import stray_traffic
from recmodels.errors import StoreError

_log = logging.getLogger(__name__)

_ENDS = (RolloutState.PROMOTED, RolloutState.ROLLED_BACK)
_DESCRIBED_TAG = "everfeed.described"
_TAG_LENGTH = 4000
"""MLflow refuses longer values of a tag."""


def reconcile(home: Platform, *, reason: str = "") -> list[AliasChange]:
    """Rewrite MLflow's aliases from the rollouts table, which alone says who serves; return what stood elsewhere.

    Raises:
        StoreError: Nobody serves yet, or MLflow does not answer.
    """
    serving = home.rollouts.serving()
    if serving.champion is None:
        raise StoreError(
            "nobody serves yet: there is nothing to project onto the model registry. Release a model first."
        )
    challenger = serving.challenger.version if serving.challenger else None
    return home.registry.reconcile(serving.champion.version, challenger, reason=reason)


def settle(home: Platform) -> None:
    """Leave every trace that is missing: aliases, tags, pages, and the weight 0 where it did not arrive.

    Raises:
        StoreError: MLflow does not answer.
    """
    if home.rollouts.champion() is None:
        return
    ends = [change for change in home.rollouts.transitions() if change.state in _ENDS]
    reason = ends[-1].reason if ends else ""
    for change in reconcile(home, reason=reason):
        if change.was_moved_by_hand:
            report_moved(home, change)
    explain_ends(home, ends)
    link_versions(home)
    insist_on_zero(home)


def report_moved(home: Platform, change: AliasChange) -> None:
    """Say in the log, on a page and on the version itself that an alias was moved by hand and put back."""
    words = (
        f"MLflow's alias {change.alias!r} had been moved by hand to {_version(change.found)} and was put back to "
        f"{_version(change.written)}. The rollouts table alone says who serves: use `everfeed canary promote` or "
        "`everfeed canary abort`."
    )
    _log.warning("alias moved by hand alias=%s found=%s written=%s", change.alias, change.found, change.written)
    create_markdown_artifact(key="alias-moved", markdown=f"# An alias was put back\n\n{words}\n", description=words)
    if change.found is not None:
        home.registry.tag(change.found, {"why": words})


def explain_ends(home: Platform, ends: list[Transition]) -> None:
    """Leave a page and a tag for each promotion and rollback that has none, whoever made it."""
    if not ends:
        return
    tags = {known.version: known.tags for known in home.registry.versions()}
    for end in ends:
        rollout = home.rollouts.rollout(end.rollout_id)
        version, tag = rollout.challenger.version, f"rollout.{end.rollout_id}.{end.state}"
        if tag in tags.get(version, {}):
            continue
        _leave_page(home, rollout, end)
        home.registry.tag(version, {tag: f"{end.at.isoformat()} by {end.by}: {end.reason}"[:_TAG_LENGTH]})
        home.covariates.forget(end.rollout_id)


def link_versions(home: Platform) -> None:
    """Let each version lead to its rollouts, its drift and its run; a version that says so already is left alone."""
    rollouts = home.rollouts.rollouts()
    room = home.settings.console_url
    for known in home.registry.versions():
        words = _version_page(home, known, [one for one in rollouts if one.challenger.version == known.version])
        digest = hashlib.sha256(words.encode()).hexdigest()[:16]
        if known.tags.get(_DESCRIBED_TAG) != digest:
            home.registry.describe(known.version, words)
            links = {"canary_history": f"{room}/rollouts", "drift": f"{room}/drift", _DESCRIBED_TAG: digest}
            home.registry.tag(known.version, links)


def _version_page(home: Platform, known: Registered, rollouts: list[Rollout]) -> str:
    room = home.settings.console_url
    told = [
        f"- [{one.rollout_id}]({room}/rollouts/{one.rollout_id}): {one.state.replace('_', ' ')} at {one.share:.0%}"
        for one in rollouts
    ]
    history = "\n".join(told) or "No rollout yet."
    return (
        f"Bundle `{known.digest[:12]}` of [this run]({home.settings.mlflow_ui_url}/#/runs/{known.run_id}).\n\n"
        f"**Canary history** ([all rollouts]({room}/rollouts), `everfeed canary history`)\n\n{history}\n\n"
        f"**Drift of what it serves**: [figures]({room}/drift), [incidents]({room}/incidents).\n"
    )


def insist_on_zero(home: Platform) -> int:
    """Write the serving row anew while a challenger that was rolled back still answers; return its stray requests."""
    last = next((known for known in home.rollouts.rollouts() if known.state == RolloutState.ROLLED_BACK), None)
    changed_at = home.rollouts.serving().changed_at
    if last is None or changed_at is None:
        return 0
    stray = stray_traffic(home.database, last.rollout_id, changed_at=changed_at)
    if stray.requests:
        revision = home.rollouts.reassert(now=utc_now())
        _log.warning(
            "challenger still answers after its rollback rollout=%s requests=%d newest=%s; asserted again revision=%d",
            last.rollout_id,
            stray.requests,
            stray.newest_at,
            revision,
        )
    return stray.requests


def _leave_page(home: Platform, rollout: Rollout, end: Transition) -> None:
    """Write the page of an end, unless a process that was killed before it could set the tag had written it."""
    name = f"rollout-{rollout.rollout_id}-{end.state}-{end.at:%Y%m%d-%H%M%S}".lower()
    key = re.sub(r"[^a-z0-9]+", "-", name)  # all that Prefect takes in a key
    if Artifact.get(key=key) is None:
        create_markdown_artifact(key=key, markdown=_page(home, rollout, end), description="Why the rollout ended")


def _page(home: Platform, rollout: Rollout, end: Transition) -> str:
    looks = home.rollouts.verdicts(rollout.rollout_id)
    rows = {
        "by": end.by,
        "at": f"{end.at:%Y-%m-%d %H:%M:%S} UTC",
        "challenger": f"version {rollout.challenger.version}",
        "champion": f"version {rollout.champion.version}",
        "share": f"{rollout.share:.0%}",
        "looks": f"{len(looks):,}",
    }
    if looks:
        last = looks[-1]
        rows |= {
            "last verdict": f"{last.action} by rule {last.rule}",
            "users": f"{last.users_canary:,} canary, {last.users_control:,} control",
            "estimate": f"{last.estimate}, between {last.lower} and {last.upper}",
        }
    table = "".join(f"| {name} | {value} |\n" for name, value in rows.items())
    return (
        f"# {rollout.rollout_id}: {end.state.replace('_', ' ')}\n\n{end.reason}\n\n| | |\n|---|---|\n{table}\n"
        f"[Control room]({home.settings.console_url})\n"
    )


def _version(version: int | None) -> str:
    return "nothing" if version is None else f"version {version}"
