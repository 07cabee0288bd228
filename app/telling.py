"""What an entry of the ledger tells the change feed: no row where nothing changed, else one per thing that did."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from app.storage.ledger import Entry

TYPES = (
    *(f"choice.{c}" for c in ("request", "give", "refuse", "withdraw", "object", "withdraw_objection")),
    *(f"fact.{f}" for f in ("contract_started", "contract_ended", "sale", "enquiry", "informed", "child")),
    *(f"fact.{f}" for f in ("restriction_started", "restriction_lifted", "consent_invalidated")),
    *(f"fact.{f}" for f in ("objection_upheld", "objection_overridden")),
    *(f"subject.{s}" for s in ("linked", "unlinked", "merged", "erased")),
    "consent.expired",
    "evidence.expired",
    "erasure_due",
    "catalogue.published",
)
_DETAILS: dict[str, tuple[str, ...]] = {
    "fact.sale": ("opt_out_offered", "own_similar_products"),
    "fact.restriction_started": ("data_categories",),
    "fact.restriction_lifted": ("data_categories",),
    "fact.child": ("until",),
    "evidence.expired": ("evidence",),
    "erasure_due": ("data_categories",),
    "subject.linked": ("attached", "merged", "suppressed_since"),
    "subject.unlinked": ("attached",),
    "catalogue.published": ("version", "effective_from", "material_changes"),
}


class Row(NamedTuple):
    """One row of the feed. With a `version` it tells where a standing is after its commit; without one, that something
    else happened which answers depend on. `details` holds what only its type has."""

    id: str
    event_id: str | None
    type: str
    subject_id: str | None
    purpose: str | None
    channel: str | None
    scope: str | None
    status: str | None
    previous_status: str | None
    objected: bool | None
    version: int | None
    basis: str | None
    method: str | None
    notice: str | None
    merged_into: str | None
    details: dict[str, Any] | None
    occurred_at: datetime | None
    recorded_at: datetime | None


class Filter(NamedTuple):
    """What a reader wants to be told of; an empty part lets everything pass."""

    purposes: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    types: tuple[str, ...] = ()

    def passes(self, row: Row) -> bool:
        """Whether a row is wanted. Rows without purpose or channel change answers too, so those filters let them by."""
        return (
            (not self.types or row.type in self.types)
            and (not self.purposes or row.purpose is None or row.purpose in self.purposes)
            and (not self.channels or row.channel is None or row.channel in self.channels)
        )


def rows_of(entry: Entry) -> list[Row]:
    """The rows of an entry, always the same and in the same order: what happened, then the standings it changed."""
    return [row_of(entry, n, **told) for n, told in enumerate([*_happened(entry), *_changed(entry)])]


def row_of(entry: Entry, n: int = 0, **told: Any) -> Row:
    """A row that tells of an entry, with nothing in it but what is given."""
    return Row(
        id=row_id(entry.event_id, n),
        event_id=entry.event_id,
        type=entry.type,
        method=entry.data.get("method"),
        notice=entry.data.get("notice"),
        occurred_at=entry.occurred_at,
        recorded_at=entry.recorded_at,
        **(_NOTHING | {"subject_id": entry.subject_id} | told),
    )


def bare_row(type: str, **told: Any) -> Row:
    """A row that rests on no single event."""
    no_event: dict[str, Any] = {"id": "", "event_id": None, "method": None, "notice": None}
    return Row(type=type, occurred_at=None, recorded_at=None, **(_NOTHING | no_event | told))


def row_id(event_id: str, n: int) -> str:
    """The id of a row: no full stop in it, as the signature of a webhook needs it."""
    return f"{event_id}-{n}"


def read_row_id(text: str) -> tuple[str, int]:
    """The event and the number of the row. Raises ValueError."""
    event_id, dash, n = text.rpartition("-")
    if not dash or not n.isascii() or not n.isdigit() or len(n) > 4:
        raise ValueError("not the id of a row")
    return event_id, int(n)


_NOTHING: dict[str, Any] = {
    "purpose": None,
    "channel": None,
    "scope": None,
    "status": None,
    "previous_status": None,
    "objected": None,
    "version": None,
    "basis": None,
    "merged_into": None,
    "details": None,
}


def _happened(entry: Entry) -> Iterator[dict[str, Any]]:
    if entry.type == "consent.expired":
        return
    if entry.type.startswith("choice."):
        yield from _scopes(entry)
    else:
        yield {
            "purpose": entry.purpose,
            "channel": entry.channel,
            "merged_into": entry.data.get("merged_into"),
            "details": _details(entry) or None,
        }
        yield from _scopes(entry)


def _details(entry: Entry) -> dict[str, Any]:
    details = {name: entry.data[name] for name in _DETAILS.get(entry.type, ()) if name in entry.data}
    if "reference" in entry.data:
        details["reference_digest"] = entry.data["reference"]
    if entry.type == "fact.child":
        details["guardian_authorised"] = entry.data.get("holds", False)
    return details


def _scopes(entry: Entry) -> Iterator[dict[str, Any]]:
    """Each objection to a scope that began or ended, that which the choice names first."""
    named = (entry.scope, entry.channel)
    for row in sorted(entry.data.get("scopes", ()), key=lambda row: (row["scope"], row["channel"]) != named):
        yield {
            "scope": row["scope"],
            "channel": row["channel"],
            "status": _objected(row.get("after", row)["objected"]),
            "previous_status": _objected(not row["objected"]),
        }


def _objected(objected: bool) -> str | None:
    return "objected" if objected else None


def _changed(entry: Entry) -> Iterator[dict[str, Any]]:
    for row in entry.data.get("standings", ()):
        if row["effective"]:
            after = row.get("after", row)
            yield {
                "purpose": row["purpose"],
                "channel": row["channel"],
                "previous_status": row["previous_status"],
                **{name: after[name] for name in ("status", "objected", "basis", "version")},
            }
