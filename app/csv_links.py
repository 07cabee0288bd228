"""Links for many: a CSV of recipients in, the same with links out. No call per mail, and no more memory for more."""

import csv
from collections.abc import Iterable
from typing import IO, NamedTuple

from app.addressing import Subject
from app.decision.refusal import Invalid
from app.links import Minter, Wanted

MADE = ("url", "preferences_url", "list_unsubscribe", "list_unsubscribe_post", "error")


class Counted(NamedTuple):
    """How many links were made and how many rows were refused."""

    made: int
    refused: int


class Unreadable(Exception):
    """The first line does not say where the identifiers are."""


def write_links(rows: Iterable[str], out: IO[str], minter: Minter, *, wanted: Wanted) -> Counted:
    """Write every row with its links behind it, or with the reason why there are none. A column named as an identifier
    type of the catalogue, or `id` (with `type`), says who; columns purpose, channel, campaign and language outweigh
    what `wanted` says for all. Raises Unreadable."""
    reader = csv.DictReader(rows)
    columns = list(reader.fieldnames or ())
    type = next((name for name in columns if name in minter.catalogue.identifier_types), wanted.subject.type)
    column = "id" if "id" in columns else type
    if column not in columns or (type is None and "type" not in columns):
        raise Unreadable("name the column of identifiers as their type, such as email; or id, with --type")
    kept = [name for name in columns if name not in MADE]  # a file that was made here may be made anew
    writer = csv.DictWriter(out, [*kept, *MADE], extrasaction="ignore", restval="")
    writer.writeheader()
    counts = {True: 0, False: 0}
    for row in reader:
        subject = Subject(row.get("type") or type or "", row.get(column or "") or "")
        links = _links(minter, _of_row(wanted, subject, row))
        counts["error" not in links] += 1
        writer.writerow(row | dict.fromkeys(MADE, "") | links)
    return Counted(made=counts[True], refused=counts[False])


def _of_row(wanted: Wanted, subject: Subject, row: dict[str, str]) -> Wanted:
    own = {name: row[name] for name in ("purpose", "channel", "campaign", "language") if row.get(name)}
    return wanted._replace(subject=subject, **own)


def _links(minter: Minter, wanted: Wanted) -> dict[str, str]:
    try:
        made = minter.mint(wanted)
    except Invalid as invalid:
        return {"error": "; ".join(f"{fault.code}: {fault.detail}" for fault in invalid.faults)}
    return {
        "url": made.url,
        "preferences_url": made.preferences_url,
        "list_unsubscribe": made.headers["List-Unsubscribe"],
        "list_unsubscribe_post": made.headers["List-Unsubscribe-Post"],
    }
