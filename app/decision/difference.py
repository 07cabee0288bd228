"""What one catalogue version changes against another."""

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from app.decision.catalogue import Catalogue, Purpose


class Difference(NamedTuple):
    """The keys of what a new version adds, removes and changes, each in the order of its document."""

    purposes_added: tuple[str, ...] = ()
    purposes_removed: tuple[str, ...] = ()
    purposes_changed: tuple[str, ...] = ()
    grounds_changed: tuple[str, ...] = ()
    data_categories_added: tuple[str, ...] = ()
    data_categories_removed: tuple[str, ...] = ()
    recipients_added: tuple[str, ...] = ()
    recipients_removed: tuple[str, ...] = ()
    newly_material: tuple[str, ...] = ()


def difference(old: Catalogue | None, new: Catalogue) -> Difference:
    """What the new version changes; against no version everything is added. A purpose counts as changed for anything
    but its grounds, which are told apart: people answered those (Art. 13(1)(c)). `newly_material` lists the purposes
    whose earlier consents become outdated."""
    before = old or Catalogue(version="", purposes={})
    pairs = [(key, before.purposes[key], purpose) for key, purpose in new.purposes.items() if key in before.purposes]
    return Difference(
        purposes_added=_without(new.purposes, before.purposes),
        purposes_removed=_without(before.purposes, new.purposes),
        purposes_changed=tuple(key for key, was, now in pairs if _but_grounds(was) != _but_grounds(now)),
        grounds_changed=tuple(key for key, was, now in pairs if was.grounds != now.grounds),
        data_categories_added=_without(new.data_categories, before.data_categories),
        data_categories_removed=_without(before.data_categories, new.data_categories),
        recipients_added=_without(new.recipients, before.recipients),
        recipients_removed=_without(before.recipients, new.recipients),
        newly_material=tuple(dict.fromkeys(new.material_changes)),
    )


def _without(keys: Iterable[str], others: Iterable[str]) -> tuple[str, ...]:
    known = set(others)
    return tuple(key for key in keys if key not in known)


def _but_grounds(purpose: Purpose) -> Purpose:
    """The purpose without its grounds; an empty list of channels says the same as none."""
    return replace(purpose, grounds=(), channels=purpose.channels or None)
