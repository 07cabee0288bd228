"""Runs migrations on the database named by the caller, or by MAYWE_DATABASE_URL when alembic itself is called."""

from alembic import context

from app.settings import Settings
from app.storage import schema
from app.storage.tables import metadata

url = context.config.attributes.get("url") or Settings().database_url

with schema.connect(url) as connection:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        compare_type=True,
        compare_server_default=True,
        transaction_per_migration=True,
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()
