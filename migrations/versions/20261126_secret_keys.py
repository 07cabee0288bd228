"""Under which secret keys a database was written is kept, by their fingerprints."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "secret_keys",
        sa.Column("fingerprint", sa.String(16)),
        sa.PrimaryKeyConstraint("fingerprint", name="pk_secret_keys"),
    )


def downgrade() -> None:
    op.drop_table("secret_keys")
