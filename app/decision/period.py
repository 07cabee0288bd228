"""ISO 8601 durations with UTC calendar arithmetic, clamped to the end of short months."""

import calendar
import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple

_PATTERN = re.compile(
    r"P(?=\d|T\d)(?:(?P<years>\d{1,4})Y)?(?:(?P<months>\d{1,5})M)?(?:(?P<weeks>\d{1,5})W)?(?:(?P<days>\d{1,6})D)?"
    r"(?:T(?=\d)(?:(?P<hours>\d{1,7})H)?(?:(?P<minutes>\d{1,8})M)?(?:(?P<seconds>\d{1,9})S)?)?"
)

_SHORTEST = 28  # days of a month: up to there every month has the day

END_OF_TIME = datetime.max.replace(tzinfo=UTC)


class Period(NamedTuple):
    """A length of calendar time: whole months, then an exact rest."""

    months: int
    rest: timedelta


@lru_cache(maxsize=1024)
def parse_period(text: str) -> Period:
    """Read an ISO 8601 duration such as P24M or P1Y6M; ValueError if it is none."""
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise ValueError("not an ISO 8601 duration")
    part = {name: int(digits or 0) for name, digits in match.groupdict().items()}
    rest = timedelta(
        weeks=part["weeks"],
        days=part["days"],
        hours=part["hours"],
        minutes=part["minutes"],
        seconds=part["seconds"],
    )
    return Period(part["years"] * 12 + part["months"], rest)


def after(start: datetime, period: Period) -> datetime:
    """The instant one period after `start` (UTC); the last representable instant if that lies beyond it."""
    month = start.year * 12 + start.month - 1 + period.months
    year, month = divmod(month, 12)
    try:
        day = start.day if start.day <= _SHORTEST else min(start.day, calendar.monthrange(year, month + 1)[1])
        return start.replace(year=year, month=month + 1, day=day) + period.rest
    except (ValueError, OverflowError):
        return END_OF_TIME


def midnight(day: date) -> datetime:
    """The beginning of a day, in UTC."""
    return datetime.combine(day, time(), UTC)


def earliest(instants: Iterable[datetime | None]) -> datetime | None:
    """The earliest of some instants, those that are none left out."""
    found = None
    for instant in instants:
        if instant is not None and (found is None or instant < found):
            found = instant
    return found
