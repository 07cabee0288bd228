"""What time alone ends is told: when a subject is due, and by which catalogue that was reckoned."""

import sqlalchemy as sa
from alembic import op

from app.storage.tables import UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("subjects", sa.Column("due_at", UtcDateTime))
    is_due = sa.text("due_at IS NOT NULL")
    op.create_index("ix_subjects_due_at", "subjects", ["due_at"], sqlite_where=is_due, postgresql_where=is_due)
    reckoning = op.create_table(
        "reckoning",
        sa.Column("id", sa.Integer),
        sa.Column("version", sa.String(128), nullable=False),
        sa.Column("doing", sa.String(128), nullable=False),
        sa.Column("reached", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_reckoning"),
        sa.CheckConstraint("id = 1", name="ck_reckoning_single"),
    )
    op.bulk_insert(reckoning, [{"id": 1, "version": "", "doing": "", "reached": ""}])


def downgrade() -> None:
    op.drop_table("reckoning")
    op.drop_index("ix_subjects_due_at", "subjects")
    op.drop_column("subjects", "due_at")
