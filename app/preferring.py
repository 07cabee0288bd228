"""The preference page: what can be chosen on it, what a person has chosen, and which choices a filled-in page makes."""

import struct
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from app.crypto import Secrets
from app.decision.catalogue import MARKETING, OBJECTABLE, Catalogue, Purpose, Timeline
from app.decision.history import Hearing
from app.decision.model import ALL_MARKETING, AUTOMATION, Person, Question
from app.decision.rules import decide
from app.decision.standing import standing
from app.judging import Choice
from app.links import can_be_stopped
from app.storage.lookup import looking
from app.storage.store import Store
from app.writing import no_catalogue, subject_erased, unknown_subject

VALID_FOR = timedelta(minutes=30)  # long enough to read the page, too short to be passed on
_KIND = "preferences"
_SESSION = struct.Struct(">BI2s")  # version, expires_at, language; then the subject_id
_VERSION = 1
_ORDER = {"direct_marketing": 0, "marketing_profiling": 1}


class Session(NamedTuple):
    """What a link for a signed-in person says."""

    subject_id: str
    expires_at: datetime
    language: str | None


def write_session(secrets: Secrets, session: Session) -> str:
    """The token of a session."""
    content = _SESSION.pack(_VERSION, int(session.expires_at.timestamp()), (session.language or "").encode())
    return secrets.write_token(_KIND, content + session.subject_id.encode())


def read_session(secrets: Secrets, text: str) -> Session | None:
    """What a token says, ended or not; None unless it was made here, for a signed-in person."""
    content = secrets.read_token(_KIND, text)
    if content is None or content[0] != _VERSION:
        return None
    _, expires, language = _SESSION.unpack_from(content)
    subject_id = content[_SESSION.size :].decode()
    return Session(subject_id, datetime.fromtimestamp(expires, UTC), language.rstrip(b"\0").decode() or None)


# What can be chosen


class Target(NamedTuple):
    """What one box of the page is about: a purpose on a channel, or a scope."""

    purpose: str | None = None
    channel: str | None = None
    scope: str | None = None

    @property
    def name(self) -> str:
        """What it is called in the form."""
        return f"scope:{self.scope}" if self.scope else f"purpose:{self.purpose}:{self.channel or ''}"

    @property
    def no(self) -> Choice:
        """The no it stands for."""
        return Choice("object" if self.scope else "withdraw", self.purpose, self.scope, self.channel)


EVERYTHING = Target(scope=ALL_MARKETING)
PROFILING = Target(scope=AUTOMATION)


def targets(catalogue: Catalogue) -> list[Target]:
    """Every purpose and channel a person can decide about, what they most likely came for first."""
    stoppable = {key: purpose for key, purpose in catalogue.purposes.items() if can_be_stopped(purpose)}
    ordered = sorted(stoppable, key=lambda key: _ORDER.get(stoppable[key].kind, len(_ORDER)))
    return [Target(key, channel) for key in ordered for channel in stoppable[key].channels or (None,)]


def needs_explicit(purpose: Purpose) -> bool:
    """Whether agreeing to a purpose has to be stated expressly (Art. 9, Art. 22)."""
    return any(ground.explicit for ground in purpose.grounds if ground.basis == "consent")


# What is chosen


class Chosen(NamedTuple):
    """What a person has chosen: for each target whether it is on."""

    catalogue: Catalogue
    timeline: Timeline
    is_on: dict[Target, bool]


async def chosen_by(connection: AsyncConnection, store: Store, subject_id: str, *, now: datetime) -> Chosen:
    """What a person has chosen. Raises Unknown, Erased, NotReady."""
    snapshot = await looking(connection)([], [subject_id], whole=True)
    timeline = await store.timeline(connection, snapshot.head)
    catalogue = timeline.judging(now)
    found = snapshot.people.get(subject_id)
    if catalogue is None:
        raise no_catalogue()
    if found is None:
        raise unknown_subject()
    person = found.person
    if person.own.erased_at is not None:
        raise subject_erased()
    is_on = {target: _is_on(target, person, timeline, now) for target in [*targets(catalogue), PROFILING]}
    return Chosen(catalogue, timeline, is_on)


def _is_on(target: Target, person: Person, timeline: Timeline, now: datetime) -> bool:
    """Whether the person said yes where consent is needed, and did not say no anywhere."""
    hearing = Hearing(person, timeline, None)
    if target.purpose is None:
        return not any(history.scope_objections_in_force(AUTOMATION) for history in (hearing.own, *hearing.heard))
    purpose = timeline.purpose_at(target.purpose, now)
    assert purpose is not None, "targets come from the catalogue in force"
    noes = hearing.noes_in_force(target.purpose, target.channel)
    if purpose.kind in MARKETING:
        if hearing.own.is_suppressed(target.purpose, target.channel):
            return False
        noes += hearing.marketing_objections_in_force(target.purpose, target.channel)
    if noes or not purpose.rests_on("consent"):
        return not noes
    if standing(person.own, target.purpose, target.channel, timeline=timeline, now=now).status == "given":
        return True
    question = Question(target.purpose, channel=target.channel)
    return decide(question, person, timeline, now).basis in OBJECTABLE  # a soft opt-in


def choices_of(shown: Catalogue, was_on: dict[Target, bool], ticked: Iterable[Target]) -> list[Choice]:
    """The choices that a filled-in page makes: only what was shown, and only what differs from it."""
    now_on = set(ticked)
    return [
        _yes(target, shown) if target in now_on else target.no
        for target, on in was_on.items()
        if (target in now_on) != on
    ]


def _yes(target: Target, shown: Catalogue) -> Choice:
    purpose = shown.purposes.get(target.purpose or "")
    if purpose is None or not purpose.rests_on("consent"):
        return Choice("withdraw_objection", target.purpose, target.scope, target.channel)
    return Choice("give", target.purpose, channel=target.channel, explicit=needs_explicit(purpose))
