"""The catalogue: durations, jurisdictions, versions and their grounds (domain 2)."""

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

# fmt: off
EEA = {
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE",
    "IS", "IT", "LI", "LT", "LU", "LV", "MT", "NL", "NO", "PL", "PT", "RO", "SE", "SI", "SK",
}
# fmt: on
BASES = ("contract", "legal_obligation", "vital_interest", "public_task", "consent", "legitimate_interest")
MARKETING = ("direct_marketing", "marketing_profiling")
CHANNELS = ("email", "sms", "post", "phone", "push", "on_site")
DURATION = re.compile(
    r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?$",
)


def instant(value: str | date | datetime) -> datetime:
    """An instant in UTC; a bare date is its first moment."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if not isinstance(value, datetime):
        value = datetime.combine(value, time())
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


def later(start: datetime, duration: str) -> datetime:
    """`start` plus an ISO 8601 duration: UTC calendar arithmetic, clamped to the end of the month."""
    found = DURATION.match(duration)
    if found is None:
        raise ValueError(duration)
    years, months, weeks, days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    month = start.year * 12 + start.month - 1 + years * 12 + months
    year, month = month // 12, month % 12 + 1
    if year > 9000:
        return datetime.max.replace(tzinfo=UTC)
    day = min(start.day, calendar.monthrange(year, month)[1])
    rest = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
    return start.replace(year=year, month=month, day=day) + rest


def ladder(jurisdiction: str) -> list[str]:
    """The jurisdictions a place lies in, most specific first."""
    country = jurisdiction.split("-")[0]
    rungs = [jurisdiction] if country == jurisdiction else [jurisdiction, country]
    return [*rungs, "EEA"] if country in EEA else rungs


def closeness(jurisdiction: str, ground: dict[str, Any]) -> int:
    """How closely a ground names the jurisdiction: 0 it names none, -1 it names others only."""
    rungs = ladder(jurisdiction)
    named = ground.get("jurisdictions")
    if not named:
        return 0
    return max((len(rungs) - rungs.index(place) for place in named if place in rungs), default=-1)


@dataclass(frozen=True)
class Version:
    document: dict[str, Any]
    effective_from: datetime
    order: int  # of publication

    @property
    def since(self) -> tuple[datetime, int]:
        return self.effective_from, self.order

    def purpose(self, name: str | None) -> dict[str, Any] | None:
        found = (self.document.get("purposes") or {}).get(name)
        return dict(found) if found is not None else None

    def channels(self, name: str | None) -> list[str]:
        return list((self.purpose(name) or {}).get("channels") or [])

    def grounds(self, name: str | None) -> list[dict[str, Any]]:
        return list((self.purpose(name) or {}).get("grounds") or [])

    def has_ground(self, name: str | None, *bases: str) -> bool:
        return any(ground["basis"] in bases for ground in self.grounds(name))

    def grounds_here(self, name: str | None, jurisdiction: str) -> list[dict[str, Any]]:
        """The grounds that apply, in the order of domain 4.8; within one basis the closest replace wider ones."""
        here = []
        for basis in BASES:
            same = [ground for ground in self.grounds(name) if ground["basis"] == basis]
            closest = max((closeness(jurisdiction, ground) for ground in same), default=-1)
            here += [ground for ground in same if closeness(jurisdiction, ground) == closest >= 0]
        return here


class Catalogue:
    """The versions published so far."""

    def __init__(self, versions: tuple[Version, ...] = ()):
        self.versions = versions

    def publish(self, document: dict[str, Any], at: datetime) -> "Catalogue":
        since = document.get("effective_from")
        effective_from = at if since is None else instant(since)
        return Catalogue((*self.versions, Version(document, effective_from, len(self.versions))))

    def in_force(self, at: datetime) -> Version | None:
        return max((v for v in self.versions if v.effective_from <= at), key=lambda v: v.since, default=None)

    def in_force_or_first(self, at: datetime) -> Version | None:
        """The version in force, or the earliest when none was."""
        first = min((v.effective_from for v in self.versions), default=at)
        return self.in_force(max(at, first))

    def in_force_between(self, start: datetime, end: datetime) -> list[Version]:
        """Every version in force at some moment of the closed span."""
        moments = [start, *(v.effective_from for v in self.versions if start < v.effective_from <= end)]
        return [version for moment in moments if (version := self.in_force(moment)) is not None]

    def named(self, name: str | None) -> Version | None:
        return next((v for v in self.versions if v.document["version"] == name), None)

    def having(self, purpose: str | None) -> list[Version]:
        """The versions that have the purpose, oldest first."""
        return sorted((v for v in self.versions if v.purpose(purpose) is not None), key=lambda v: v.since)

    def channels_ever(self, purpose: str | None) -> set[str]:
        return {channel for v in self.having(purpose) for channel in (v.purpose(purpose) or {}).get("channels") or []}
