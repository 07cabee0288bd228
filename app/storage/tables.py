"""The tables, one schema on both engines. Imported by storage and migrations only."""

from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    false,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "pk": "pk_%(table_name)s",
    }
)

KEY_NAME_LENGTH = 128  # characters
Serial = BigInteger().with_variant(Integer, "sqlite")


class UtcDateTime(TypeDecorator[datetime]):
    """An aware instant in UTC, to the microsecond; SQLite would drop the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("an instant needs a zone")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


# One row: where the ledger ends, and counters by which every process notices a change within its own read.
ledger_head = Table(
    "ledger_head",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("epoch", String(32), nullable=False),
    Column("catalogue_serial", BigInteger, nullable=False),
    Column("keys_serial", BigInteger, nullable=False),
    CheckConstraint("id = 1", name="single"),
)

# The keys this database was written under; with another one, nobody in it would be found.
secret_keys = Table("secret_keys", metadata, Column("fingerprint", String(16), primary_key=True))

# Append-only: triggers refuse UPDATE and DELETE. No identifier and no free text in it.
ledger = Table(
    "ledger",
    metadata,
    Column("position", Serial, primary_key=True, autoincrement=False),
    Column("event_id", String(64), nullable=False, unique=True),
    Column("type", String(64), nullable=False),
    Column("subject_id", String(64)),
    Column("purpose", String(128)),
    Column("channel", String(16)),
    Column("scope", String(32)),
    Column("occurred_at", UtcDateTime, nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False),
    Column("data", Text, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Index("ix_ledger_subject", "subject_id", "position"),
)

_IS_DUE = text("due_at IS NOT NULL")
subjects = Table(
    "subjects",
    metadata,
    Column("subject_id", String(64), primary_key=True),
    Column("merged_into", String(64), index=True),
    Column("was_device", Boolean, nullable=False, server_default=false()),
    Column("erased_at", UtcDateTime),
    Column("present", LargeBinary, nullable=False),  # what a check reads, before the whole that may be long
    Column("due_at", UtcDateTime),  # when time alone changes what is to be told
    Column("state", LargeBinary, nullable=False),
)
Index("ix_subjects_due_at", subjects.c.due_at, sqlite_where=_IS_DUE, postgresql_where=_IS_DUE)

# One row: the catalogue version by which every subject's due_at was reckoned, and how far the next reckoning got.
reckoning = Table(
    "reckoning",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("version", String(128), nullable=False),
    Column("doing", String(128), nullable=False),
    Column("reached", String(64), nullable=False),
    CheckConstraint("id = 1", name="single"),
)

# One row: up to which subject the round has come that tells what is due for erasure, and when the last one ended.
retention_round = Table(
    "retention_round",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("reached", String(64), nullable=False),
    Column("ended_at", UtcDateTime),
    CheckConstraint("id = 1", name="single"),
)

identifiers = Table(
    "identifiers",
    metadata,
    Column("identifier_id", String(64), primary_key=True),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("type", String(128), nullable=False),
    Column("subject_id", String(64), nullable=False, index=True),
    Column("linked_at", UtcDateTime, nullable=False),
    Column("sealed", LargeBinary),  # null: only a link named it, nobody said its value yet
)

# Noes kept on an identifier that nobody holds, after an erasure or unlinking.
tombstones = Table(
    "tombstones",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("event_id", String(64), nullable=False),
    Column("state", LargeBinary, nullable=False),
)

# Both directions of each pair.
attachments = Table(
    "attachments",
    metadata,
    Column("subject_id", String(64), primary_key=True),
    Column("other_id", String(64), primary_key=True),
)

# Wording, references and other free text, sealed; the ledger names it by digest. Deleted on erasure.
evidence = Table(
    "evidence",
    metadata,
    Column("evidence_id", String(64), primary_key=True),
    Column("subject_id", String(64), nullable=False, index=True),
    Column("sealed", LargeBinary, nullable=False),
)

catalogues = Table(
    "catalogues",
    metadata,
    Column("serial", Serial, primary_key=True, autoincrement=False),
    Column("version", String(128), nullable=False, unique=True),
    Column("content_digest", String(64), nullable=False),
    Column("effective_from", UtcDateTime, nullable=False),
    Column("published_at", UtcDateTime, nullable=False),
    Column("document", Text, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", String(64), primary_key=True),
    Column("name", String(KEY_NAME_LENGTH), nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("key_id", String(64), primary_key=True),
    Column("idempotency_key", String(255), primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("status", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created_at", UtcDateTime, nullable=False, index=True),
)

# Who is pushed what happens, and how far: everything up to `cursor` was delivered, or is among the letters. Whoever
# delivers holds the lease, and shows by the beat that it lives.
webhooks = Table(
    "webhooks",
    metadata,
    Column("webhook_id", String(64), primary_key=True),
    Column("url", LargeBinary, nullable=False),  # sealed like the secrets: it may hold some itself
    Column("secret", LargeBinary, nullable=False),
    Column("previous_secret", LargeBinary),
    Column("previous_until", UtcDateTime),
    Column("filter", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", String(32)),
    Column("cursor", Text, nullable=False),
    Column("not_before", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False),
    Column("lease", String(64)),
    Column("beat", BigInteger, nullable=False),
)

# Rows of the feed before the cursor of a webhook that were not delivered: they wait, or are dead. Positions only: what
# is sent is made when it is sent.
webhook_letters = Table(
    "webhook_letters",
    metadata,
    Column("webhook_id", String(64), primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("n", Integer, primary_key=True, autoincrement=False),
    Column("attempts", Integer, nullable=False),
    Column("outcome", String(32)),
    Column("next_at", UtcDateTime),
    Column("dead_at", UtcDateTime),
)

# What was answered about whom, to whom: opaque ids only. `position` is where the ledger ended for that answer.
decisions = Table(
    "decisions",
    metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("decision_id", String(64), nullable=False),
    Column("answered_at", UtcDateTime, nullable=False, index=True),
    Column("key_id", String(64), nullable=False),
    Column("subject_id", String(64), index=True),  # null: nobody was known by that name, or they were erased since
    Column("purpose", String(128)),
    Column("channel", String(16)),
    Column("recipient", String(128)),
    Column("operation", String(16), nullable=False),
    Column("decision", Boolean, nullable=False),
    Column("reason", String(64), nullable=False),
    Column("basis", String(32)),
    Column("catalogue_version", String(128)),
    Column("position", BigInteger, nullable=False),
)
