"""How far the round over everybody got that tells what is due for erasure."""

import sqlalchemy as sa
from alembic import op

from app.storage.tables import UtcDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    rounds = op.create_table(
        "retention_round",
        sa.Column("id", sa.Integer),
        sa.Column("reached", sa.String(64), nullable=False),
        sa.Column("ended_at", UtcDateTime),
        sa.PrimaryKeyConstraint("id", name="pk_retention_round"),
        sa.CheckConstraint("id = 1", name="ck_retention_round_single"),
    )
    op.bulk_insert(rounds, [{"id": 1, "reached": ""}])


def downgrade() -> None:
    op.drop_table("retention_round")
