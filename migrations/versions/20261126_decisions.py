"""The decision log: what was answered about whom, to whom, and why; kept for a time the operator sets."""

import sqlalchemy as sa
from alembic import op

from app.storage.tables import Serial, UtcDateTime

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "decisions",
        sa.Column("id", Serial, autoincrement=True),
        sa.Column("decision_id", sa.String(64), nullable=False),
        sa.Column("answered_at", UtcDateTime, nullable=False),
        sa.Column("key_id", sa.String(64), nullable=False),
        sa.Column("subject_id", sa.String(64)),
        sa.Column("purpose", sa.String(128)),
        sa.Column("channel", sa.String(16)),
        sa.Column("recipient", sa.String(128)),
        sa.Column("operation", sa.String(16), nullable=False),
        sa.Column("decision", sa.Boolean, nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("basis", sa.String(32)),
        sa.Column("catalogue_version", sa.String(128)),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_decisions"),
    )
    op.create_index("ix_decisions_subject_id", "decisions", ["subject_id"])
    op.create_index("ix_decisions_answered_at", "decisions", ["answered_at"])


def downgrade() -> None:
    op.drop_table("decisions")
