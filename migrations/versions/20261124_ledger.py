"""The ledger and the state beside it."""

import secrets

import sqlalchemy as sa
from alembic import op

from app.crypto import GENESIS
from app.storage.tables import UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SERIAL = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "ledger_head",
        sa.Column("id", sa.Integer),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("epoch", sa.String(32), nullable=False),
        sa.Column("catalogue_serial", sa.BigInteger, nullable=False),
        sa.Column("keys_serial", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ledger_head"),
        sa.CheckConstraint("id = 1", name="ck_ledger_head_single"),
    )
    op.create_table(
        "ledger",
        sa.Column("position", SERIAL, autoincrement=False),
        sa.Column("event_id", sa.String(64), nullable=False),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("subject_id", sa.String(64)),
        sa.Column("purpose", sa.String(128)),
        sa.Column("channel", sa.String(16)),
        sa.Column("scope", sa.String(32)),
        sa.Column("occurred_at", UtcDateTime, nullable=False),
        sa.Column("recorded_at", UtcDateTime, nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_ledger"),
        sa.UniqueConstraint("event_id", name="uq_ledger_event_id"),
    )
    op.create_index("ix_ledger_subject", "ledger", ["subject_id", "position"])
    op.create_table(
        "subjects",
        sa.Column("subject_id", sa.String(64)),
        sa.Column("merged_into", sa.String(64)),
        sa.Column("was_device", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("erased_at", UtcDateTime),
        sa.Column("present", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("subject_id", name="pk_subjects"),
    )
    op.create_index("ix_subjects_merged_into", "subjects", ["merged_into"])
    op.create_table(
        "identifiers",
        sa.Column("identifier_id", sa.String(64)),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("type", sa.String(128), nullable=False),
        sa.Column("subject_id", sa.String(64), nullable=False),
        sa.Column("linked_at", UtcDateTime, nullable=False),
        sa.Column("sealed", sa.LargeBinary),
        sa.PrimaryKeyConstraint("identifier_id", name="pk_identifiers"),
        sa.UniqueConstraint("digest", name="uq_identifiers_digest"),
    )
    op.create_index("ix_identifiers_subject_id", "identifiers", ["subject_id"])
    op.create_table(
        "tombstones",
        sa.Column("digest", sa.LargeBinary),
        sa.Column("event_id", sa.String(64), nullable=False),
        sa.Column("state", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_tombstones"),
    )
    op.create_table(
        "attachments",
        sa.Column("subject_id", sa.String(64)),
        sa.Column("other_id", sa.String(64)),
        sa.PrimaryKeyConstraint("subject_id", "other_id", name="pk_attachments"),
    )
    op.create_table(
        "evidence",
        sa.Column("evidence_id", sa.String(64)),
        sa.Column("subject_id", sa.String(64), nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("evidence_id", name="pk_evidence"),
    )
    op.create_index("ix_evidence_subject_id", "evidence", ["subject_id"])
    op.create_table(
        "catalogues",
        sa.Column("serial", SERIAL, autoincrement=False),
        sa.Column("version", sa.String(128), nullable=False),
        sa.Column("content_digest", sa.String(64), nullable=False),
        sa.Column("effective_from", UtcDateTime, nullable=False),
        sa.Column("published_at", UtcDateTime, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("serial", name="pk_catalogues"),
        sa.UniqueConstraint("version", name="uq_catalogues_version"),
    )
    op.create_table(
        "api_keys",
        sa.Column("key_id", sa.String(64)),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("expires_at", UtcDateTime),
        sa.Column("revoked_at", UtcDateTime),
        sa.PrimaryKeyConstraint("key_id", name="pk_api_keys"),
    )
    op.create_table(
        "idempotency",
        sa.Column("key_id", sa.String(64)),
        sa.Column("idempotency_key", sa.String(255)),
        sa.Column("fingerprint", sa.LargeBinary, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("key_id", "idempotency_key", name="pk_idempotency"),
    )
    op.create_index("ix_idempotency_created_at", "idempotency", ["created_at"])
    _begin_the_ledger()
    _refuse_changes_to_the_ledger()


def _begin_the_ledger() -> None:
    head = sa.table(
        "ledger_head",
        sa.column("id"),
        sa.column("position"),
        sa.column("digest", sa.LargeBinary),
        sa.column("epoch"),
        sa.column("catalogue_serial"),
        sa.column("keys_serial"),
    )
    first = {
        "id": 1,
        "position": 0,
        "digest": GENESIS,
        "epoch": secrets.token_hex(8),
        "catalogue_serial": 0,
        "keys_serial": 0,
    }
    op.bulk_insert(head, [first])


def _refuse_changes_to_the_ledger() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER ledger_refuses_{verb.lower()} BEFORE {verb} ON ledger "
                "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$"
    )
    op.execute(
        "CREATE TRIGGER ledger_refuses_changes BEFORE UPDATE OR DELETE ON ledger "
        "FOR EACH ROW EXECUTE FUNCTION ledger_is_append_only()"
    )
    op.execute(
        "CREATE TRIGGER ledger_refuses_truncate BEFORE TRUNCATE ON ledger "
        "FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only()"
    )
    op.execute("ALTER TABLE ledger_head SET (fillfactor = 20)")


def downgrade() -> None:
    for table in (
        "idempotency",
        "api_keys",
        "catalogues",
        "evidence",
        "attachments",
        "tombstones",
        "identifiers",
        "subjects",
        "ledger",
        "ledger_head",
    ):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION ledger_is_append_only()")
