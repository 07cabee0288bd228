"""The first start on an embedded database: the database, the bundled catalogue, a first key, said once."""

from datetime import UTC, datetime
from importlib.resources import files

import click

from app import administering
from app.commands.working import migrate_schema, said_plainly, with_store
from app.documents import read_document
from app.placing import drafted, place
from app.scopes import SCOPES
from app.settings import Settings
from app.storage.store import Store

_BELKCASE = "belkcase.yaml"
_WELCOME = """
A new database, with the Belkcase catalogue in force. Your first API key, shown this once:

    {key}

Three commands to try, in another shell:

  # may we send this person offers by e-mail?
  curl -s {url}/v1/check -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\
    -d '{{"subject": {{"type": "email", "id": "ada@example.com"}}, "purpose": "email_marketing", "channel": "email"}}'

  # unsubscribe
  curl -s {url}/v1/choices -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\
    -d '{{"subject": {{"type": "email", "id": "ada@example.com"}}, "method": "email",
         "choices": [{{"purpose": "email_marketing", "channel": "email", "choice": "withdraw"}}]}}'

  # poll: what changed, the unsubscribe included; go on with ?after=<next>
  curl -s '{url}/v1/changes' -H 'Authorization: Bearer {key}'
"""


def make_embedded(settings: Settings, url: str, *, demo: bool) -> None:
    """Make the embedded database whole, with the bundled catalogue, and hand out a first key.

    Killed while at it, it leaves no database, and the next start begins anew: there is never one without its catalogue
    or its key. Of two that start at once the second works on the database of the first.
    """
    with said_plainly():
        settings.key_bytes()  # before there is a database
    with drafted(settings.sqlite_path) as draft:
        key = _make(settings.model_copy(update={"database_url": f"sqlite:///{draft}"}), demo=demo)
        with said_plainly():
            placed = place(draft, settings.sqlite_path)
    if placed:
        click.echo(_WELCOME.format(key=key, url=url), err=True)


def _make(settings: Settings, *, demo: bool) -> str:
    migrate_schema(settings)

    async def begin(store: Store) -> str:
        now = datetime.now(UTC)
        await administering.publish(store, read_document(_bundled(), is_yaml=True), now=now)
        if demo:
            await administering.add_sample_people(store, now=now)
        return await administering.create_key(store, "first", SCOPES, now=now, expires_at=None)

    return with_store(begin, settings)


def _bundled() -> bytes:
    return files("app").joinpath("catalogues", _BELKCASE).read_bytes()
