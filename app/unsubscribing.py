"""What a link does: record the no of whoever holds the identifier now. Never a yes."""

import struct
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from app.addressing import Subject, address_of
from app.crypto import Secrets
from app.decision import fold
from app.decision.catalogue import MARKETING
from app.decision.history import History
from app.decision.model import ALL_MARKETING, Event, State
from app.judging import Choice
from app.links import Link
from app.recording import Circumstances, Recorded, record_choices
from app.storage import subjects
from app.writing import Unit

BY_LINK = "link"  # the key_id of what comes through a link: there is no API key behind it
ALL = Choice("object", scope=ALL_MARKETING)

_PAUSE = timedelta(seconds=10)
_YES = ("choice.give", "choice.request", "choice.withdraw_objection")
_UNDO = "undo"
_UNDO_WITHIN = timedelta(hours=1)
_UNDONE_A_DAY = 3
_EXPIRES = struct.Struct(">I")


class Stopped(NamedTuple):
    """What became of the noes: `events` is empty where they were said and done before. `undoable` is the event that can
    be taken back."""

    events: list[Recorded]
    undoable: str | None = None


def choice_of(link: Link) -> Choice:
    """The no that a link stands for."""
    if link.purpose is None:
        return ALL._replace(channel=link.channel)
    return Choice("withdraw", purpose=link.purpose, channel=link.channel)


async def stop(unit: Unit, subject: Subject, choices: Sequence[Choice], how: Circumstances) -> Stopped:
    """Record noes that came through a link, about whoever holds its identifier now, else about a new subject.

    Nothing is recorded where an erasure or unlinking left the same no on the identifier. A repeated no is kept (domain
    3.1), but not without end: links need no key, so each repetition is kept only after a longer pause than the last.
    """
    address = address_of(subject, unit.catalogue, unit.store.secrets)
    if await subjects.holder_of(unit.connection, address.digests) is None:
        left = [t.state for t in await subjects.tombstones_on(unit.connection, address.digests)]
        news = [c for c in choices if not any(_is_left_behind(c, state, unit) for state in left)]
    else:
        state = await unit.hold(subject)
        news = [c for c in choices if not _is_said_just_now(c, state, unit)]
    if not news:
        return Stopped([])
    record = await record_choices(unit, subject, news, how)
    return Stopped(record.events, _undoable(news, record.events, unit))


def _is_left_behind(choice: Choice, left: State, unit: Unit) -> bool:
    """Whether a no holds already on an identifier that nobody has. Marketing ended with the erasure (domain 3.4)."""
    purpose = unit.timeline.purpose_at(choice.purpose, unit.now) if choice.purpose else None
    if choice.scope == ALL_MARKETING or (purpose is not None and purpose.kind in MARKETING):
        return True
    history = History(left, unit.timeline, None)
    if choice.purpose is None:
        return bool(history.scope_objections_in_force(choice.scope or ""))
    return all(history.noes_in_force(choice.purpose, channel) for channel in _channels(choice, left, unit))


def _channels(choice: Choice, state: State, unit: Unit) -> list[str | None]:
    if choice.channel is not None or choice.purpose is None:
        return [choice.channel]
    return fold.channels_of(state, choice.purpose, unit.timeline)


def _is_said_just_now(choice: Choice, state: State, unit: Unit) -> bool:
    """Whether the same no is the last word on file, said again too soon to tell anything new."""
    said = [e.at for e in state.events() if _says(e, choice)]
    if not said or any(e.type in _YES and e.at > max(said) for e in state.events()):
        return False
    return unit.now - max(said) < _PAUSE * len(said)


def _says(event: Event, choice: Choice) -> bool:
    said = f"choice.{choice.choice}", choice.purpose, choice.scope, choice.channel
    return (event.type, event.purpose, event.scope, event.channel) == said


# Taking it back


def _undoable(choices: Sequence[Choice], events: list[Recorded], unit: Unit) -> str | None:
    """The event of a single objection that ended no consent: lifting it gives back exactly what was before. Consent
    cannot be given back by a link."""
    choice = choices[0]
    purpose = unit.timeline.purpose_at(choice.purpose, unit.now) if choice.purpose else None
    ended_consents = len(events) > 1 if choice.purpose is None else purpose is None or purpose.rests_on("consent")
    if len(choices) > 1 or ended_consents or not all(event.effective for event in events):
        return None
    return events[0].event_id


def write_undo(secrets: Secrets, link: str, event_id: str, *, now: datetime) -> str:
    """A token that takes back what a link just did; good for an hour, and with the same link only."""
    expires = _EXPIRES.pack(int((now + _UNDO_WITHIN).timestamp()))
    return secrets.write_token(_UNDO, expires + event_id.encode(), link)


def read_undo(secrets: Secrets, link: str, text: str, *, now: datetime) -> str | None:
    """The event to take back; None unless the token was made here for this link, within the hour."""
    content = secrets.read_token(_UNDO, text, link)
    if content is None or _EXPIRES.unpack_from(content)[0] < now.timestamp():
        return None
    return content[_EXPIRES.size :].decode()


async def undo(unit: Unit, subject: Subject, event_id: str, how: Circumstances) -> bool:
    """Lift the objection that a link just made, if it is still all that stands in the way; never gives consent."""
    address = address_of(subject, unit.catalogue, unit.store.secrets)
    if await subjects.holder_of(unit.connection, address.digests) is None:
        return False
    state = await unit.hold(subject)
    objection = next((e for e in state.events() if e.id == event_id), None)
    if objection is None:
        return False
    lift = Choice("withdraw_objection", objection.purpose, objection.scope, objection.channel)
    lifted = sum(_says(e, lift) and unit.now - e.at < timedelta(days=1) for e in state.events())
    if lifted >= _UNDONE_A_DAY or _reached(lift, state, unit) != {event_id}:
        return False
    await record_choices(unit, subject, [lift], how)
    return True


def _reached(lift: Choice, state: State, unit: Unit) -> set[str]:
    """The noes in force that a lift would end."""
    history = History(state, unit.timeline, None)
    if lift.purpose is None:
        objections = history.scope_objections_in_force(lift.scope or "")
        return {e.id for e in objections if lift.channel in (None, e.channel)}
    channels = _channels(lift, state, unit)
    return {no.id for channel in channels for no in history.noes_in_force(lift.purpose, channel)}
