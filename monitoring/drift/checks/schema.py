"""Drift check: the columns and types of a table, compared at once: a changed schema is an incident in the same run."""

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from monitoring.result import CheckResult, Finding, Status

_CAUSE = "the data: a producer or an export changed"
_ACTION = "fix the source or its column mapping and ingest the window again; do not retrain on it."


class Config(BaseModel):
    """What counts as a change."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    allow_new_columns: bool = False
    """A column that the reference does not have is no incident."""


def check(reference: pa.Table, current: pa.Table, *, items: pa.Table, config: Config) -> list[CheckResult]:  # noqa: ARG001 (every check takes the items)
    """Compare the column set, the types, and which columns hold any value.

    Args:
        reference: Past events.
        current: Newer events.
        items: Not used: every check has the same signature.
        config: What counts as a change.

    Returns:
        One result, `drift` where anything differs; its message names every difference.
    """
    changes = differences(reference, current, allow_new_columns=config.allow_new_columns)
    finding = Finding(f"schema changed: {'; '.join(changes)}.", _CAUSE, _ACTION) if changes else None
    return [
        CheckResult(
            figure="schema",
            family="data",
            status=Status.DRIFT if changes else Status.OK,
            value=float(len(changes)),
            expected=0.0,
            message=finding.sentences() if finding else "same columns and types as the reference.",
            finding=finding,
        )
    ]


def differences(reference: pa.Table, current: pa.Table, *, allow_new_columns: bool = False) -> list[str]:
    """Return every difference of columns, types and presence of values, in words, by column name."""
    before = {field.name: field.type for field in reference.schema}
    after = {field.name: field.type for field in current.schema}
    found = []
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            found.append(f"column {name} ({before[name]}) is gone")
        elif name not in before:
            if not allow_new_columns:
                found.append(f"column {name} ({after[name]}) is new")
        elif before[name] != after[name]:
            found.append(f"column {name} was {before[name]} and is {after[name]}")
        elif _is_void(current, name) and not _is_void(reference, name):
            found.append(f"column {name} is null in every row")
    return found


def _is_void(table: pa.Table, name: str) -> bool:
    return bool(table.num_rows > 0 and table[name].null_count == table.num_rows)
