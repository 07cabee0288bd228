"""One database with its secrets, and what is known of it between requests: catalogues and keys, each trusted only while
the ledger head read in the same request says that nothing newer exists."""

import json
from datetime import datetime

from pydantic import TypeAdapter
from sqlalchemy.ext.asyncio import AsyncConnection

from app.crypto import Secrets
from app.decision.catalogue import Catalogue, Timeline
from app.settings import SettingsError
from app.storage import catalogue, keys, ledger, secret_keys
from app.storage.catalogue import Published
from app.storage.database import Database
from app.storage.keys import ApiKey
from app.storage.ledger import Head
from app.storage.lookup import PostgresLook, SqliteLook
from app.storage.subjects import Identifier

_MISSING_KEY = (
    "this database was written under another secret key (fingerprint {}): who is known under it would not be found, "
    "nor what they refused. Give that key, as MAYWE_SECRET_KEY or, if it was replaced, in MAYWE_PREVIOUS_SECRET_KEYS"
)

DOCUMENT: TypeAdapter[Catalogue] = TypeAdapter(Catalogue)


class Store:
    """What every door and command works on."""

    def __init__(self, database: Database, secrets: Secrets) -> None:
        self.database = database
        self.secrets = secrets
        self.look: SqliteLook | PostgresLook = (
            SqliteLook(database.path) if database.is_sqlite else PostgresLook(database)
        )
        self._published: list[Published] = []
        self._timeline = Timeline([])
        self._keys: dict[str, ApiKey] = {}
        self._keys_serial = -1

    @property
    def known(self) -> tuple[int, Timeline]:
        """The catalogues known so far, and the serial of the last."""
        return (self._published[-1].serial if self._published else 0), self._timeline

    @property
    def last_publication(self) -> datetime:
        """When the last of the catalogues known so far was published; there must be one."""
        return self._published[-1].published_at

    async def timeline(self, connection: AsyncConnection | None, head: Head) -> Timeline:
        """The catalogues as of a head; read only when the head says there are newer ones, on a connection of its own if
        there is none."""
        serial, timeline = self.known
        if serial == head.catalogue_serial:
            return timeline
        if connection is None:
            async with self.database.read() as own:
                return await self.timeline(own, head)
        self._published, self._timeline = await _catalogues(connection)
        return self._timeline

    async def published(self, connection: AsyncConnection) -> list[Published]:
        """The published versions as documents, oldest first."""
        await self.timeline(connection, await ledger.head(connection))
        return self._published

    def key(self, key_id: str) -> ApiKey | None:
        """A key as last known."""
        return self._keys.get(key_id)

    async def refresh_keys(self, connection: AsyncConnection | None, head: Head) -> None:
        """Read the keys again if the head says that they changed."""
        if head.keys_serial == self._keys_serial:
            return
        if connection is None:
            async with self.database.read() as own:
                await self.refresh_keys(own, head)
        else:
            self._keys = {key.key_id: key for key in await keys.all_keys(connection)}
            self._keys_serial = head.keys_serial

    def value_of(self, identifier: Identifier) -> str | None:
        """The value of an identifier; None if only a link named it so far."""
        if identifier.sealed is None:
            return None
        return self.secrets.unseal(identifier.sealed, identifier.identifier_id.encode()).decode()

    async def confirm_secrets(self) -> None:
        """Make sure that the secret keys are those of this database, or newer beside them. Under others nobody in it is
        found, nor any no: raises SettingsError. Raises Unavailable."""
        configured = self.secrets.fingerprints
        async with self.database.read() as connection:
            known = await secret_keys.fingerprints(connection)
        if configured[0] not in known:
            known = await self.database.write(self._add_secrets)
        if missing := known.difference(configured):
            raise SettingsError(_MISSING_KEY.format(", ".join(sorted(missing))))

    async def _add_secrets(self, connection: AsyncConnection) -> set[str]:
        """What is known after the configured keys were added, unless one of those known is missing among them."""
        known = await secret_keys.fingerprints(connection)
        if known <= set(self.secrets.fingerprints):
            await secret_keys.add(connection, set(self.secrets.fingerprints) - known)
        return known

    async def close(self) -> None:
        """Give back every connection."""
        await self.look.close()
        await self.database.close()


async def read_timeline(connection: AsyncConnection) -> Timeline:
    """The catalogues as a connection sees them."""
    _, timeline = await _catalogues(connection)
    return timeline


async def _catalogues(connection: AsyncConnection) -> tuple[list[Published], Timeline]:
    published = await catalogue.published(connection)
    return published, Timeline(DOCUMENT.validate_json(version.document, strict=True) for version in published)


def document_of(published: Published) -> dict[str, object]:
    """A published document as it was given, with the `effective_from` it got."""
    document: dict[str, object] = json.loads(published.document)
    return document


def is_current(key: ApiKey, now: datetime) -> bool:
    """Whether a key is neither revoked nor expired."""
    return key.revoked_at is None and (key.expires_at is None or now < key.expires_at)
