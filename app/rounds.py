"""What is to be delivered to a webhook at one moment, in which order, and what is kept of it afterwards."""

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from app.changes import Told
from app.posting import ACCEPTED, GONE, Outcome
from app.storage.webhooks import Letter, Webhook

_JITTER = 0.2  # of a delay, added at random, so that what failed together is not tried together

Place = tuple[int, int]  # a position in the feed, and the number of a row there


class Item(NamedTuple):
    """A row to be delivered; one that is `kept` was tried before, or waits behind one that was."""

    told: Told
    letter: Letter
    kept: bool

    @property
    def place(self) -> Place:
        """Where in the feed it is."""
        return self.letter.position, self.letter.n

    @property
    def people(self) -> list[str]:
        """Whose rows are kept in order with it; a merger belongs to both."""
        row = self.told.row
        return [who for who in (row.subject_id, row.merged_into) if who is not None] or [""]

    def is_due(self, now: datetime) -> bool:
        """Whether it may be tried now."""
        return self.letter.next_at is None or self.letter.next_at <= now


class Settled(NamedTuple):
    """What became of an item: its outcome, if it was tried, and what is kept of it."""

    item: Item
    outcome: Outcome | None
    letter: Letter | None

    @property
    def is_over(self) -> bool:
        """Whether a letter is to be forgotten."""
        return self.letter is None and self.item.kept

    @property
    def is_new(self) -> bool:
        """Whether a letter is to be kept, or kept otherwise than before."""
        return self.letter is not None and (self.letter != self.item.letter or not self.item.kept)


class Round(NamedTuple):
    """What is to be done for a webhook now."""

    webhook: Webhook
    items: tuple[Item, ...] = ()
    unwanted: tuple[Letter, ...] = ()  # letters that the filter leaves out by now
    cursor: str | None = None  # up to where the feed was read; None: it was not
    position: int = 0
    has_more: bool = False
    hushed_until: datetime | None = None  # nothing is to be done before

    @property
    def wake_at(self) -> datetime | None:
        """When there is something to be done whatever happens: the first of each chain is what the rest waits for."""
        firsts = (chain[0].letter.next_at for chain in self.chains())
        return self.hushed_until or min((at for at in firsts if at is not None), default=None)

    def chains(self) -> list[list[Item]]:
        """Items that come one after the other, in the order of the feed: those of one person, and of people of whom one
        was merged into the other."""
        leaders: dict[str, str] = {}

        def leader(who: str) -> str:
            while leaders.setdefault(who, who) != who:
                who = leaders[who]
            return who

        for item in self.items:
            for one, other in pairwise(item.people):
                leaders[leader(one)] = leader(other)
        found: defaultdict[str, list[Item]] = defaultdict(list)
        for item in self.items:
            found[leader(item.people[0])].append(item)
        return list(found.values())

    def settled(self, outcomes: Mapping[Place, Outcome], now: datetime, retries: Sequence[float]) -> list[Settled]:
        """What became of the items; `retries` are the seconds between attempts."""
        return [
            Settled(item, outcome, _after(item.letter, outcome, now, retries))
            for item in self.items
            for outcome in (outcomes.get(item.place),)
        ]


def _after(letter: Letter, outcome: Outcome | None, now: datetime, retries: Sequence[float]) -> Letter | None:
    """What is kept of a row after it was tried, or not tried; None if it was accepted."""
    if outcome is None:
        return letter
    if outcome.word == ACCEPTED:
        return None
    if outcome.word == GONE:
        return letter._replace(outcome=outcome.told, next_at=None)
    attempts = letter.attempts + 1
    tried = letter._replace(attempts=attempts, outcome=outcome.told, next_at=None)
    if attempts > len(retries):
        return tried._replace(dead_at=now)
    delay = retries[attempts - 1] * random.uniform(1, 1 + _JITTER)  # noqa: S311  spreading, not secrecy
    return tried._replace(next_at=now + timedelta(seconds=max(delay, outcome.retry_after or 0)))
