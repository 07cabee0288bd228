"""The record of processing activities (Art. 30(1)) as CSV: one row per purpose. Pure."""

import csv
import io

from app.decision.catalogue import Catalogue, Ground, Purpose

COLUMNS = (
    *(
        "controller",
        "contact",
        "purpose",
        "title",
        "description",
        "lawful_bases",
        "data_subjects_known_by",
        "data_categories",
    ),
    *("special_categories", "recipients", "transfers", "retention", "measures", "notice_lines"),
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_csv(catalogue: Catalogue) -> str:
    """The enabled purposes of a catalogue, a header before them; safe to open in a spreadsheet."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for key, purpose in catalogue.purposes.items():
        if purpose.enabled and purpose.personal:
            writer.writerow([_plain(cell) for cell in _row(catalogue, key, purpose)])
    return text.getvalue()


def _plain(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def _row(catalogue: Catalogue, key: str, purpose: Purpose) -> list[str]:
    controller = catalogue.controller
    categories = [(c, catalogue.data_categories[c]) for c in purpose.data_categories]
    return [
        "; ".join(filter(None, [controller.name, controller.address])) if controller else "",
        (controller.contact or "") if controller else "",
        key,
        purpose.title or key,
        purpose.description or "",
        "; ".join(_ground(ground) for ground in purpose.grounds),
        ", ".join(catalogue.identifier_types),
        "; ".join(category.title or name for name, category in categories),
        "; ".join(category.title or name for name, category in categories if category.special),
        "; ".join(_recipient(catalogue, r) for r in purpose.recipients),
        "; ".join(_transfers(catalogue, purpose)),
        purpose.retention or "",
        "; ".join(measure.title or name for name, measure in catalogue.measures.items()),
        " ".join(str(line) for line in purpose.notice_lines),
    ]


def _ground(ground: Ground) -> str:
    words = [ground.basis, *([f"({ground.reference})"] if ground.reference else [])]
    return " ".join([*words, *(["in", *ground.jurisdictions] if ground.jurisdictions else [])])


def _recipient(catalogue: Catalogue, key: str) -> str:
    recipient = catalogue.recipients[key]
    return f"{recipient.title or key} ({recipient.role}, {recipient.country})"


def _transfers(catalogue: Catalogue, purpose: Purpose) -> list[str]:
    recipients = [(r, catalogue.recipients[r]) for r in purpose.recipients]
    return [f"{r.title or key}: {r.country}, {r.transfer_safeguard}" for key, r in recipients if r.transfer_safeguard]
