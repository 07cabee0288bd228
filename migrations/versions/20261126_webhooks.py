"""Webhooks: who is pushed the rows of the feed, how far, and what could not be delivered."""

import sqlalchemy as sa
from alembic import op

from app.storage.tables import UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "webhooks",
        sa.Column("webhook_id", sa.String(64)),
        sa.Column("url", sa.LargeBinary, nullable=False),
        sa.Column("secret", sa.LargeBinary, nullable=False),
        sa.Column("previous_secret", sa.LargeBinary),
        sa.Column("previous_until", UtcDateTime),
        sa.Column("filter", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(32)),
        sa.Column("cursor", sa.Text, nullable=False),
        sa.Column("not_before", UtcDateTime),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("lease", sa.String(64)),
        sa.Column("beat", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("webhook_id", name="pk_webhooks"),
    )
    op.create_table(
        "webhook_letters",
        sa.Column("webhook_id", sa.String(64)),
        sa.Column("position", sa.BigInteger),
        sa.Column("n", sa.Integer),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("outcome", sa.String(32)),
        sa.Column("next_at", UtcDateTime),
        sa.Column("dead_at", UtcDateTime),
        sa.PrimaryKeyConstraint("webhook_id", "position", "n", name="pk_webhook_letters"),
    )


def downgrade() -> None:
    op.drop_table("webhook_letters")
    op.drop_table("webhooks")
