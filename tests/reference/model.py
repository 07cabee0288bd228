"""The world as the reference sees it: who is who, what was recorded, and the answers."""

from datetime import datetime, timedelta
from typing import Any

from tests.reference.answer import decide
from tests.reference.catalogue import Catalogue
from tests.reference.ledger import Event, File, Tombstone
from tests.reference.recording import problem_with_choices, problem_with_fact

Identifier = tuple[str, str]

TAKEN = "identifier-belongs-to-another-person"
MICROSECOND = timedelta(microseconds=1)
SLACK = timedelta(seconds=60)  # how far in the future an event may claim to be


class World:
    """Everything that was recorded, in commit order, and the catalogue versions published.

    A subject is a number. Merging puts numbers into one group, and the group is the person of today; each event keeps
    the group it was recorded in as its side. A tombstone that is taken over is a side of its own.
    """

    def __init__(self) -> None:
        self.catalogue = Catalogue()
        self.events: list[Event] = []
        self.groups: list[frozenset[int]] = []
        self.holders: dict[Identifier, int] = {}
        self.attached: set[frozenset[int]] = set()  # pairs of subjects
        self.tombstones: dict[Identifier, Tombstone] = {}  # on identifiers that nobody holds
        self.taken_over: dict[int, Tombstone] = {}
        self.erased: dict[int, Tombstone] = {}
        self.subjects = 0

    def publish(self, document: dict[str, Any], *, at: datetime) -> None:
        self.catalogue = self.catalogue.publish(document, at)

    # Choices and facts

    def choices(
        self,
        who: Identifier,
        items: list[dict[str, Any]],
        *,
        at: datetime | None,
        now: datetime,
        notice: str | None = None,
        method: str | None = None,
    ) -> str | None:
        happened = self._happened(who, at, now)
        if happened is None:
            return "refused"
        problem = problem_with_choices(items, self.catalogue, happened, notice, method)
        if problem is not None:
            return problem
        group = self._group(self._find_or_create(who))
        for item in items:
            self._record(
                Event(
                    kind=item["choice"],
                    at=happened,
                    position=len(self.events),
                    side=group,
                    purpose=item.get("purpose"),
                    scope=item.get("scope"),
                    channel=item.get("channel"),
                    explicit=bool(item.get("explicit")),
                    notice=notice,
                )
            )
        return None

    def facts(self, who: Identifier, items: list[dict[str, Any]], *, at: datetime | None, now: datetime) -> str | None:
        happened = self._happened(who, at, now)
        if happened is None:
            return "refused"
        for item in items:
            problem = problem_with_fact(item, self.catalogue, happened, self._file_of(who))
            if problem is not None:
                return problem
        group = self._group(self._find_or_create(who))
        for item in items:
            self.events.append(
                Event(
                    kind=item["fact"],
                    at=happened,
                    position=len(self.events),
                    side=group,
                    purpose=item.get("purpose"),
                    channel=item.get("channel"),
                    fields=item,
                )
            )
        return None

    def _happened(self, who: Identifier, at: datetime | None, now: datetime) -> datetime | None:
        """When the person acted, or None when that cannot be recorded (domain 3.3)."""
        if who[0] not in self._identifier_types(now) or (at is not None and at > now + SLACK):
            return None
        return self._after(self._file_of(who), now) if at is None else min(at, now)

    def _after(self, file: File, now: datetime) -> datetime:
        return max(now, file.latest + MICROSECOND)

    def _record(self, event: Event) -> None:
        """Only the same choice at the same instant adds nothing (domain 3.1)."""

        def what(e: Event) -> tuple[object, ...]:
            return e.kind, e.purpose, e.scope, e.channel, e.at

        if all(what(e) != what(event) for e in self._file(event.side).recorded):
            self.events.append(event)

    # Who is who

    def _identifier_types(self, now: datetime) -> dict[str, Any]:
        version = self.catalogue.in_force_or_first(now)
        return {} if version is None else version.document.get("identifier_types") or {}

    def _group(self, subject: int) -> frozenset[int]:
        return next(group for group in self.groups if subject in group)

    def are_one(self, one: Identifier, other: Identifier) -> bool:
        """Whether both identifiers name the same person."""
        return self._group(self.holders[one]) == self._group(self.holders[other])

    def _merge(self, one: int, other: int) -> None:
        both = self._group(one) | self._group(other)
        self.groups = [*(group for group in self.groups if not group & both), both]

    def _new_subject(self) -> int:
        self.subjects += 1
        self.groups.append(frozenset({self.subjects}))
        return self.subjects

    def _take_over(self, subject: int, tombstone: Tombstone) -> None:
        side = self._new_subject()
        self.taken_over[side] = tombstone
        self._merge(subject, side)

    def _find_or_create(self, identifier: Identifier) -> int:
        if identifier not in self.holders:
            self.holders[identifier] = self._new_subject()
            if identifier in self.tombstones:
                self._take_over(self.holders[identifier], self.tombstones.pop(identifier))
        return self.holders[identifier]

    def _file(self, group: frozenset[int]) -> File:
        tombstones = {side: kept for side, kept in self.taken_over.items() if side in group}
        return File(self.catalogue, [e for e in self.events if e.side <= group], tombstones)

    def _kept(self, tombstone: Tombstone) -> File:
        """What is on file where nothing but a tombstone is."""
        return File(self.catalogue, tombstones={0: tombstone})

    def _file_of(self, who: Identifier) -> File:
        if who in self.holders:
            return self._file(self._group(self.holders[who]))
        return self._kept(self.tombstones[who]) if who in self.tombstones else File(self.catalogue)

    def _neighbours(self, subject: int) -> set[int]:
        """The subjects attached to any that is one with this subject, except that itself."""
        group = self._group(subject)
        return {other for pair in self.attached if pair & group for other in pair - group}

    def _heard(self, subject: int) -> list[File]:
        erased = [self._kept(self.erased[other]) for other in self._neighbours(subject) if other in self.erased]
        live = {self._group(other) for other in self._neighbours(subject) if other not in self.erased}
        return erased + [self._file(group) for group in live]

    def _is_pseudonymous(self, subject: int, now: datetime) -> bool:
        group, types = self._group(subject), self._identifier_types(now)
        held = [identifier for identifier, holder in self.holders.items() if holder in group]
        return bool(held) and all((types.get(kind) or {}).get("pseudonymous") for kind, _ in held)

    def link(self, who: Identifier, to: Identifier, *, carry_consents: bool, now: datetime) -> str | None:
        types = self._identifier_types(now)
        if who[0] not in types or to[0] not in types:
            return "refused"
        one = self._find_or_create(who)
        if to in self.holders and self.holders[to] in self._group(one):
            return None
        if to in self.holders and types[to[0]].get("pseudonymous") and not self._is_pseudonymous(self.holders[to], now):
            return TAKEN
        if carry_consents and to in self.holders and self._are_attached_elsewhere(one, self.holders[to], now):
            return TAKEN
        if carry_consents and to not in self.holders and self._are_attached_elsewhere(one, one, now):
            return TAKEN
        other = self._find_or_create(to)
        if carry_consents or not (self._is_pseudonymous(one, now) or self._is_pseudonymous(other, now)):
            self._merge(one, other)
        else:
            self.attached.add(frozenset({one, other}))
        return None

    def _are_attached_elsewhere(self, one: int, other: int, now: datetime) -> bool:
        """Whether a pseudonymous side is attached to a living person outside the pair (domain 3.4)."""
        pair = self._group(one) | self._group(other)
        return any(
            neighbour not in pair and neighbour not in self.erased and not self._is_pseudonymous(neighbour, now)
            for side in (one, other)
            if self._is_pseudonymous(side, now)
            for neighbour in self._neighbours(side)
        )

    def unlink(self, who: Identifier, identifier: Identifier, *, now: datetime) -> str | None:
        if who not in self.holders or identifier not in self.holders:
            return "refused"
        one, other = (self.holders[side] for side in self.parting(who, identifier, now=now))
        if self._group(one) == self._group(other):
            file = self._file(self._group(one))
            self.tombstones[identifier] = Tombstone(self._after(file, now), file)
            del self.holders[identifier]
            return None
        between = {pair for pair in self.attached if pair & self._group(one) and pair & self._group(other)}
        if not between:
            return "refused"
        file, others = self._file(self._group(one)), self._file(self._group(other))
        self.attached -= between
        self._take_over(other, Tombstone(max(self._after(file, now), self._after(others, now)), file))
        return None

    def parting(self, who: Identifier, identifier: Identifier, *, now: datetime) -> tuple[Identifier, Identifier]:
        """Whose noes stay on whom: on the device, whichever side the call names."""
        is_device = [self._is_pseudonymous(self.holders[side], now) for side in (who, identifier)]
        return (identifier, who) if is_device == [True, False] else (who, identifier)

    def erase(self, who: Identifier, *, force: bool = False, now: datetime) -> str | None:
        if who not in self.holders:
            return "refused"
        group = self._group(self.holders[who])
        file = self._file(group)
        if file.open_contracts() and not force:
            return "contract-open"
        tombstone = Tombstone(self._after(file, now), file)
        for identifier in [held for held, holder in self.holders.items() if holder in group]:
            del self.holders[identifier]
            self.tombstones[identifier] = tombstone
        self.erased |= dict.fromkeys(group, tombstone)
        return None

    # Questions

    def ask(self, question: dict[str, Any], *, now: datetime) -> dict[str, Any]:
        who = question["subject"]
        heard = self._heard(self.holders[who]) if who in self.holders else []
        answer = decide(question, self.catalogue, self._file_of(who), heard, now)
        return {
            "decision": answer.decision,
            "reason": answer.reason,
            "basis": answer.basis,
            "obligations": sorted(answer.obligations),
            "failing_data_categories": sorted(set(answer.failing)),
        }
