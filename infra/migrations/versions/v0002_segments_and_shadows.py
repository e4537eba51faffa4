"""Items that joined after a bundle was built, answers of the shadow stage, and the segment behind a request."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "item_segments",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("item_id", sa.String(), nullable=False),
        sa.Column("creator_id", sa.String(), nullable=True),
        sa.Column("surface", sa.String(), nullable=True),
        sa.Column("category", sa.String(), nullable=True),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("duration_seconds", sa.Float(), nullable=True),
        sa.Column("published_at", sa.BigInteger(), nullable=True),
        sa.Column("safety", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_item_segments")),
    )
    op.create_index("ix_item_segments_item", "item_segments", ["item_id", "id"], unique=False)
    op.create_index("ix_item_segments_version", "item_segments", ["version"], unique=False)
    op.create_table(
        "shadow_answers",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("rollout_id", sa.String(), nullable=False),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.Column("overlap", sa.Float(), nullable=False),
        sa.Column("item_ids", sa.Text(), nullable=False),
        sa.Column("champion_item_ids", sa.Text(), nullable=False),
        sa.Column("latency_seconds", sa.Float(), nullable=False),
        sa.Column("champion_seconds", sa.Float(), nullable=False),
        sa.Column("num_requested", sa.Integer(), nullable=False),
        sa.Column("num_blocked", sa.Integer(), nullable=False),
        sa.Column("is_error", sa.Boolean(), nullable=False),
        sa.Column("is_non_finite", sa.Boolean(), nullable=False),
        sa.Column("is_late", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shadow_answers")),
        sa.UniqueConstraint("request_id", name=op.f("uq_shadow_answers_request_id")),
    )
    op.create_index("ix_shadow_answers_rollout", "shadow_answers", ["rollout_id", "timestamp"], unique=False)
    op.add_column("requests", sa.Column("segment_version", sa.Integer(), nullable=True))
