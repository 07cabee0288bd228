"""One person under many identifiers: linking, attaching, merging, unlinking, erasure (domain 3.4)."""

from datetime import datetime
from typing import Any, NamedTuple

from app.addressing import Address, Subject, address_of
from app.decision import fold
from app.decision.history import History
from app.decision.model import Event, State
from app.decision.refusal import Conflicting, Unknown
from app.entries import told
from app.storage import decisions, subjects
from app.storage.database import Conflict
from app.storage.subjects import Identifier, Tombstone
from app.writing import Unit, subject_erased, unknown_subject


class Linked(NamedTuple):
    """The answer to a link: the survivor, who was merged into it, and whether it stays a subject of its own."""

    subject_id: str
    merged: list[str]
    attached: bool
    identifier_id: str
    revision: str


class Erasure(NamedTuple):
    """The answer to an erasure."""

    erased_at: datetime
    revision: str


async def link(unit: Unit, subject_id: str, identifier: Subject, *, carry_consents: bool) -> Linked:
    """Give a subject an identifier; if it belongs to another subject, merge the two, or attach a device."""
    address = address_of(identifier, unit.catalogue, unit.store.secrets)
    survivor = await subjects.survivor_of(unit.connection, subject_id)
    if survivor is None:
        raise unknown_subject()
    holder = await subjects.holder_of(unit.connection, address.digests)
    if holder is None:
        return await _link_free(unit, survivor, address, carry_consents=carry_consents)
    if holder.subject_id == survivor:
        state = (await unit.take([survivor], [address]))[0]
        _not_erased(state)
        return Linked(survivor, [], False, holder.identifier_id, await unit.finish())
    await _take_attached(unit, survivor, holder.subject_id)
    state, other = await unit.take([survivor, holder.subject_id], [address])
    _not_erased(state)
    return await _link_held(unit, subject_id, state, other, holder, carry_consents=carry_consents)


async def _take_attached(unit: Unit, *subject_ids: str) -> None:
    """Take some subjects and all that are attached to them, in one order: a merge moves attachments, and an attachment
    changes only while both its ends are held."""
    around = await subjects.attached_to(unit.connection, *subject_ids)
    await subjects.take(unit.connection, [*subject_ids, *around])
    if await subjects.attached_to(unit.connection, *subject_ids) != around:
        raise Conflict


def _not_erased(state: State) -> None:
    if state.erased_at is not None:
        raise subject_erased()


async def _link_free(unit: Unit, survivor: str, address: Address, *, carry_consents: bool) -> Linked:
    state = await unit.hold_existing(survivor)
    if unit.catalogue.is_pseudonymous(address.type) and not carry_consents:
        device = await unit.create(address)
        found = (await subjects.identifiers_of(unit.connection, [device.subject_id]))[0]
        return await _attach(unit, state, device, found)
    if await _is_pseudonymous(unit, state.subject_id) and not carry_consents:
        person = await unit.create(address)
        found = (await subjects.identifiers_of(unit.connection, [person.subject_id]))[0]
        return await _attach(unit, person, state, found)
    if not unit.catalogue.is_pseudonymous(address.type):
        is_device = await _is_pseudonymous(unit, state.subject_id)
        await _refuse_sharing(unit, {state.subject_id: is_device}, persons={"whoever this is"} if is_device else set())
    identifier = await unit.give_identifier(state, address)
    unit.draft(state, "subject.linked", {"identifier_id": identifier.identifier_id})
    return Linked(state.subject_id, [], False, identifier.identifier_id, await unit.finish())


async def _link_held(
    unit: Unit, named_id: str, state: State, other: State, holder: Identifier, *, carry_consents: bool
) -> Linked:
    state_is_device = await _is_pseudonymous(unit, state.subject_id)
    other_is_device = await _is_pseudonymous(unit, other.subject_id)
    names_merged_device = await subjects.was_device(unit.connection, named_id)
    device_is_taken = unit.catalogue.is_pseudonymous(holder.type) and not other_is_device
    if not state_is_device and (device_is_taken or (names_merged_device and not other_is_device)):
        raise _belongs_to_another()
    if not (state_is_device or other_is_device):
        return await _merge(unit, state, other, holder.identifier_id)
    if not carry_consents:
        person, device = (other, state) if state_is_device else (state, other)
        return await _attach(unit, person, device, holder)
    pair = {state.subject_id: state_is_device, other.subject_id: other_is_device}
    await _refuse_sharing(unit, pair, persons={subject_id for subject_id, is_device in pair.items() if not is_device})
    survivor, loser = (other, state) if state_is_device and not other_is_device else (state, other)
    return await _merge(unit, survivor, loser, holder.identifier_id)


async def _refuse_sharing(unit: Unit, joined: dict[str, bool], *, persons: set[str]) -> None:
    """A device becomes a part of one person at most: a shared browser must not hand one person's yes to another."""
    for subject_id, is_device in joined.items():
        if is_device:
            attached = await subjects.living(unit.connection, await subjects.attached_to(unit.connection, subject_id))
            others = {other for other in attached if not await _is_pseudonymous(unit, other)}
            persons = persons | others - joined.keys()
    if len(persons) > 1:
        raise _belongs_to_another()


def _belongs_to_another() -> Conflicting:
    return Conflicting("identifier-belongs-to-another-person", "This device already belongs to another person.")


async def _is_pseudonymous(unit: Unit, subject_id: str) -> bool:
    """Whether all that is known of a subject is pseudonymous: a device nobody has shown to be a person."""
    own = await subjects.identifiers_of(unit.connection, [subject_id])
    return bool(own) and all(unit.catalogue.is_pseudonymous(identifier.type) for identifier in own)


async def _attach(unit: Unit, person: State, device: State, found: Identifier) -> Linked:
    if await subjects.attach(unit.connection, person.subject_id, device.subject_id):
        data = {"identifier_id": found.identifier_id, "attached": device.subject_id}
        unit.draft(person, "subject.linked", data)
    return Linked(person.subject_id, [], True, found.identifier_id, await unit.finish())


async def _merge(unit: Unit, survivor: State, loser: State, identifier_id: str) -> Linked:
    unit.tell_ends(survivor)
    purposes = {*survivor.by_purpose, *loser.by_purpose}
    data = {"identifier_id": identifier_id, "merged": loser.subject_id}
    is_device = await _is_pseudonymous(unit, loser.subject_id)
    was_device = {"was_device": True} if is_device else {}
    unit.draft(loser, "subject.merged", {"merged_into": survivor.subject_id, **was_device})
    draft = unit.draft(survivor, "subject.linked", data)
    draft.at = unit.after_all(survivor, loser)
    unit.change(survivor, draft, purposes, lambda: fold.join(survivor, loser, side=draft.event_id))
    unit.replace(State(subject_id=loser.subject_id, side=loser.subject_id))  # its history is the survivor's now
    await subjects.merge(unit.connection, loser.subject_id, survivor.subject_id, is_device=is_device)
    return Linked(survivor.subject_id, [loser.subject_id], False, identifier_id, await unit.finish())


async def unlink(unit: Unit, subject_id: str, identifier_id: str) -> str:
    """Take an identifier from a subject; its opt-outs stay on it. Returns the revision."""
    survivor = await subjects.survivor_of(unit.connection, subject_id)
    if survivor is None:
        raise unknown_subject()
    found = await _reachable(unit, survivor, identifier_id)
    states = await unit.take([survivor] if found is None else list(dict.fromkeys([survivor, found.subject_id])))
    _not_erased(states[0])
    if await _reachable(unit, survivor, identifier_id) != found:
        raise Conflict
    if found is None:
        raise Unknown("unknown-identifier", "This subject has no such identifier.")
    if found.subject_id == survivor:
        return await _unlink_own(unit, states[0], found)
    named, other = states
    if await _is_pseudonymous(unit, named.subject_id) and not await _is_pseudonymous(unit, other.subject_id):
        found = (await subjects.identifiers_of(unit.connection, [named.subject_id]))[0]
        return await _detach(unit, other, named, found)
    return await _detach(unit, named, other, found)


async def _reachable(unit: Unit, subject_id: str, identifier_id: str) -> Identifier | None:
    """An identifier of a subject, or of one attached to it."""
    attached = await subjects.attached_to(unit.connection, subject_id)
    held = await subjects.identifiers_of(unit.connection, [subject_id, *attached])
    return next((identifier for identifier in held if identifier.identifier_id == identifier_id), None)


async def _unlink_own(unit: Unit, state: State, found: Identifier) -> str:
    draft = unit.draft(state, "subject.unlinked", {"identifier_id": found.identifier_id})
    kept = fold.tombstone(state, at=draft.at, side=draft.event_id, timeline=unit.timeline)
    draft.data["kept"] = written_tombstone(kept)
    await subjects.remove_identifier(unit.connection, found.identifier_id)
    await subjects.add_tombstone(unit.connection, Tombstone(found.digest, draft.event_id, kept))
    return await unit.finish()


async def _detach(unit: Unit, state: State, device: State, found: Identifier) -> str:
    """Part a device from a person: the noes stay on the device, whichever side the call names."""
    data = {"identifier_id": found.identifier_id, "attached": device.subject_id}
    draft = unit.draft(state, "subject.unlinked", data)
    draft.at = unit.after_all(state, device)
    kept = fold.tombstone(state, at=draft.at, side=draft.event_id, timeline=unit.timeline)
    draft.data["kept"] = written_tombstone(kept)
    await subjects.detach(unit.connection, state.subject_id, device.subject_id)
    unit.take_over(device, draft.event_id, kept, found.identifier_id)
    return await unit.finish()


async def erase(unit: Unit, subject_id: str, *, force: bool, key_id: str) -> Erasure:
    """Erase a person (Art. 17): sealed values and evidence go, the noes in force stay on each identifier as
    tombstones."""
    survivor = await subjects.survivor_of(unit.connection, subject_id)
    if survivor is None:
        raise unknown_subject()
    state = (await unit.take([survivor]))[0]
    if state.erased_at is not None:
        return Erasure(state.erased_at, await unit.finish())
    if History(state, unit.timeline, None).open_contracts() and not force:
        detail = "A contract with this person is open; end it first, or say force: true."
        raise Conflicting("contract-open", detail)
    draft = unit.draft(state, "subject.erased", {"key_id": key_id, "forced": force})
    kept = fold.tombstone(state, at=draft.at, side=draft.event_id, timeline=unit.timeline)
    draft.data["kept"] = written_tombstone(kept)
    for identifier in await subjects.identifiers_of(unit.connection, [survivor]):
        await subjects.add_tombstone(unit.connection, Tombstone(identifier.digest, draft.event_id, kept))
    component = await subjects.component_of(unit.connection, survivor)
    await decisions.forget(unit.connection, component)
    await subjects.erase(unit.connection, survivor)
    unit.replace(kept)
    return Erasure(draft.at, await unit.finish())


def written_tombstone(kept: State) -> list[dict[str, Any]]:
    """What the ledger says that an erasure or unlinking kept."""
    return [
        {
            "event_id": e.id,
            "type": e.type,
            "at": e.at.isoformat(),
            "position": e.position,
            "purpose": e.purpose,
            "channel": e.channel,
            "scope": e.scope,
        }
        | told(e)
        for e in sorted(kept.events(), key=_place)
    ]


def _place(event: Event) -> tuple[int, str, str]:
    return event.position, event.purpose or "", event.channel or ""
