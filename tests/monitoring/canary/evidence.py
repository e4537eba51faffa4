"""Evidence built by hand: every number of it is known."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from monitoring.canary import GUARDRAILS, ArmUnits, CanaryConfig, Evidence

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
CONFIG = CanaryConfig(steps=(0.01, 0.5), minimum_step_seconds=3600, stale_seconds=900, label_window_seconds=1800)
LAST = 1


def arm(users=10_000, *, clicks=1_000, flagged=None, **changes):
    """An arm whose users saw one item each: the first `clicks` clicked, the first `flagged` met a guardrail."""
    reward = (np.arange(users) < clicks).astype(float)
    flags = {name: np.arange(users) < (flagged or {}).get(name, 10) for name in GUARDRAILS}
    return replace(ArmUnits(np.ones(users), reward, flags=flags, requests=users), **changes)


def evidence(canary=None, control=None, **changes):
    """A step of two hours with fresh data and a far deadline; equal arms unless given."""
    canary, control = canary or arm(), control or arm()
    found = Evidence(
        canary=canary,
        control=control,
        assigned_canary=canary.reward.size,
        assigned_control=control.reward.size,
        newest_at=NOW - timedelta(seconds=10),
        step_started_at=NOW - timedelta(hours=2),
        deadline_at=NOW + timedelta(days=1),
    )
    return replace(found, **changes)
