"""An index over the alerts that wait, in the order in which they are due: a backlog is handed out in batches."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_index(
        "ix_outbox_due",
        "outbox",
        ["channel", "next_at", "id"],
        unique=False,
        sqlite_where=sa.text("delivered_at IS NULL AND is_refused IS 0"),
        postgresql_where=sa.text("delivered_at IS NULL AND is_refused IS false"),
    )
