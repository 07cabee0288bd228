"""The catalogue in force for people: what data is used for, why, how long, who receives it, and their rights."""

import re
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from app.decision.catalogue import Catalogue, DataCategory, Measure, Recipient, Translation, Wording
from app.doors import pages
from app.doors.dependencies import Now, TheStore
from app.doors.problems import responses
from app.storage import ledger
from app.writing import no_catalogue

router = APIRouter(tags=["catalogue"], default_response_class=HTMLResponse, responses=responses(503))

_PART = re.compile(r"(\d+)([YMWD])")


@router.get("/notice", summary="The notice, for people", response_description="A page")
async def notice(request: Request, store: TheStore, now: Now) -> HTMLResponse:
    """Open to all; in the language asked for with `?lang=`, else as the browser prefers."""
    async with store.database.read() as connection:
        catalogue = (await store.timeline(connection, await ledger.head(connection))).in_force(now)
    if catalogue is None or catalogue.effective_from is None:
        raise no_catalogue()
    language = pages.language_of(request)
    return pages.page(
        "notice.html",
        language,
        catalogue=catalogue,
        version=catalogue.version,
        since=catalogue.effective_from.date().isoformat(),
        url=catalogue.notice.url if catalogue.notice else None,
        purposes=[_purpose(catalogue, key, language) for key, p in catalogue.purposes.items() if p.enabled],
        measures=_titles(catalogue.measures, catalogue.measures, _translation(catalogue, language).measures),
    )


def _translation(catalogue: Catalogue, language: str) -> Translation:
    return catalogue.translations.get(language, Translation())


def _purpose(catalogue: Catalogue, key: str, language: str) -> dict[str, Any]:
    purpose, words, translation = (
        catalogue.purposes[key],
        catalogue.wording(key, language),
        _translation(catalogue, language),
    )
    return {
        "key": key,
        "title": words.title,
        "description": words.description,
        "bases": dict.fromkeys(ground.basis for ground in purpose.grounds),
        "data": _titles(purpose.data_categories, catalogue.data_categories, translation.data_categories),
        "channels": purpose.channels or (),
        "recipients": _titles(purpose.recipients, catalogue.recipients, translation.recipients),
        "kept": _in_words(purpose.retention, pages.messages(language)["notice"]["units"]),
    }


def _titles(
    keys: Any, declared: Mapping[str, DataCategory | Recipient | Measure], translated: Mapping[str, Wording]
) -> list[str]:
    return [translated.get(key, Wording()).title or declared[key].title or key for key in keys]


def _in_words(period: str | None, units: dict[str, list[str]]) -> str | None:
    """A period of years, months, weeks and days in words; one with hours as it stands."""
    if period is None or "T" in period:
        return period
    parts = [(int(number), units[unit]) for number, unit in _PART.findall(period)]
    return " ".join(f"{number} {words[0] if number == 1 else words[1]}" for number, words in parts)
