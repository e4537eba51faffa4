"""The judge's indexes hold the rows of rollouts alone, so that other traffic is written without them."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_JUDGED = ("rollout_id", "arm", "user_key", "step")
_COLUMNS = {
    "requests": (
        *_JUDGED,
        "timestamp",
        "num_items",
        "num_requested",
        "num_blocked",
        "is_error",
        "is_fallback",
        "is_non_finite",
        "latency_seconds",
    ),
    "outcomes": (*_JUDGED, "kind", "is_first", "requested_at", "timestamp", "value"),
}
_WHERE = sa.text("rollout_id IS NOT NULL")


def upgrade() -> None:
    for table, columns in _COLUMNS.items():
        name = f"ix_{table}_rollout"
        op.drop_index(name, table)
        op.create_index(name, table, [*columns], sqlite_where=_WHERE, postgresql_where=_WHERE)
