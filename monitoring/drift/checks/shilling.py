"""Drift check: accounts that push an item; see `monitoring.drift.shilling`."""

import pyarrow as pa
import pyarrow.compute as pc

from monitoring.drift.checks.own_history import joined
from monitoring.drift.shilling import DAY, ShillingConfig, Suspects, find_suspects
from monitoring.result import CheckResult, Finding, Status
from recmodels.data import schema

_CAUSE = "the data: fake accounts, or a client that repeats events"
_ACTION = "`everfeed quarantine accounts` names them; with --apply they are held back. Until then do not retrain."
_FIGURE = "suspect_accounts"
_FAMILY = "data"
_REQUIRED = (schema.TIMESTAMP, schema.USER_ID, schema.ITEM_ID, schema.SURFACE)


class Config(ShillingConfig):
    """When an account is suspect, and when there are so many that people are told."""


def check(reference: pa.Table, current: pa.Table, *, items: pa.Table, config: Config) -> list[CheckResult]:  # noqa: ARG001 (every check takes the items)
    """Count the accounts that push an item in the days of `current`.

    Returns:
        One result: `drift` where at least `minimum_accounts` push one item on one day; `learning` while the past is
        shorter than `learning_days`; `insufficient` where there is no row, or a column is missing or of another type.
    """
    together = joined(reference, current) if current.num_rows else reference.slice(0, 0)
    missing = [name for name in _REQUIRED if name not in together.column_names]
    if missing or current.num_rows == 0:
        why = f"the window lacks or changed {', '.join(missing)}" if missing else "the window holds no rows"
        return [CheckResult(_FIGURE, _FAMILY, Status.INSUFFICIENT, message=f"{why}: no account can be judged.")]
    found = find_suspects(together.slice(0, reference.num_rows), together.slice(reference.num_rows), config)
    return [_result(found)]


def _result(found: Suspects) -> CheckResult:
    if not found.days:
        message = "accounts that push an item: the history is still too short to know what is usual."
        return CheckResult(_FIGURE, _FAMILY, Status.LEARNING, message=message)
    number = len(found.user_ids)
    details = {"judged_users": float(found.users), "judged_days": float(found.days), "burst_from": float(found.burst)}
    if not found.targets.num_rows:
        message = f"{number} of {found.users} accounts look odd, and no item is pushed by several."
        return CheckResult(
            _FIGURE, _FAMILY, Status.OK, value=float(number), expected=0.0, size=0.0, message=message, details=details
        )
    finding = _finding(found, number)
    since = pc.min(found.targets[DAY]).cast(pa.timestamp("us", tz="UTC")).as_py()
    return CheckResult(
        _FIGURE,
        _FAMILY,
        Status.DRIFT,
        value=float(number),
        expected=0.0,
        since=since,
        message=finding.sentences(),
        details=details | {"pushed_items": float(pc.count_distinct(found.targets[schema.ITEM_ID]).as_py())},
        finding=finding,
    )


def _finding(found: Suspects, number: int) -> Finding:
    worst = found.targets.take(pc.sort_indices(found.targets, [("accounts", "descending")])).slice(0, 3).to_pylist()
    pushed = ", ".join(f"{one[schema.ITEM_ID]!r} by {one['accounts']} on {one[DAY]:%Y-%m-%d}" for one in worst)
    seen = f"{number} of {found.users} accounts push items: {pushed}."
    return Finding(seen, _CAUSE, _ACTION)
