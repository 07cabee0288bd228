"""Durations: how they are read, and where calendar arithmetic ends up."""

from datetime import UTC, datetime, timedelta

import pytest

from app.decision.period import Period, after, parse_period

LAST = datetime.max.replace(tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "months", "rest"),
    [
        ("P24M", 24, timedelta()),
        ("P2Y", 24, timedelta()),
        ("P1Y6M", 18, timedelta()),
        ("P730D", 0, timedelta(days=730)),
        ("P3W", 0, timedelta(weeks=3)),
        ("PT36H", 0, timedelta(hours=36)),
        ("PT1M", 0, timedelta(minutes=1)),
        ("P1Y2M3W4DT5H6M7S", 14, timedelta(weeks=3, days=4, hours=5, minutes=6, seconds=7)),
        ("P0D", 0, timedelta()),
        ("P9999Y99999M", 9999 * 12 + 99999, timedelta()),
    ],
)
def test_read(text: str, months: int, rest: timedelta) -> None:
    assert parse_period(text) == Period(months, rest)


@pytest.mark.parametrize(
    "text",
    [
        "", "P", "PT", "P1", "1Y", "P1DT", "P1H", "PT1D", "P1M1Y", "P1Y1Y", "P-1Y", "-P1Y", "+P1Y", "P1.5Y", "P1,5Y",
        "p1y", "P1Y ", " P1Y", "P1Y\n", "P 1Y", "P10000Y", "P0001-02-03", "P1Y/P2Y", "two years",
    ],
)  # fmt: skip
def test_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an ISO 8601 duration"):
        parse_period(text)


@pytest.mark.parametrize(
    ("start", "text", "end"),
    [
        ("2026-01-15", "P1M", "2026-02-15"),
        ("2026-12-15", "P1M", "2027-01-15"),
        ("2026-11-30", "P1M", "2026-12-30"),
        # clamped to the end of a short month
        ("2026-01-31", "P1M", "2026-02-28"),
        ("2024-01-31", "P1M", "2024-02-29"),
        ("2026-03-31", "P1M", "2026-04-30"),
        ("2026-01-31", "P2M", "2026-03-31"),
        ("2026-08-31", "P6M", "2027-02-28"),
        # leap years
        ("2024-02-29", "P1Y", "2025-02-28"),
        ("2024-02-29", "P4Y", "2028-02-29"),
        ("2096-02-29", "P4Y", "2100-02-28"),
        ("1996-02-29", "P4Y", "2000-02-29"),
        ("2024-02-29", "P12M", "2025-02-28"),
        ("2024-02-28", "P1D", "2024-02-29"),
        ("2023-02-28", "P1D", "2023-03-01"),
        ("2024-01-01", "P365D", "2024-12-31"),
        # months first, then the exact rest
        ("2026-01-31", "P1M1D", "2026-03-01"),
        ("2026-01-31", "P1MT24H", "2026-03-01"),
        ("2026-03-28", "P1D", "2026-03-29"),
        ("2026-01-31T23:59:59.999999", "P1M", "2026-02-28T23:59:59.999999"),
        ("2026-01-31T12:00:00", "P0D", "2026-01-31T12:00:00"),
    ],
)
def test_after(start: str, text: str, end: str) -> None:
    assert after(at(start), parse_period(text)) == at(end)


@pytest.mark.parametrize(
    ("start", "text"),
    [("2026-01-01", "P9999Y"), ("9999-12-15", "P1M"), ("9999-12-31", "P1D"), ("2026-01-01", "P9999Y99999M999999D")],
)
def test_beyond_the_last_instant_is_the_last_instant(start: str, text: str) -> None:
    assert after(at(start), parse_period(text)) == LAST


def test_up_to_the_last_instant_is_exact() -> None:
    assert after(at("9999-12-30"), parse_period("P1D")) == at("9999-12-31")
    assert after(at("9998-12-31"), parse_period("P1Y")) == at("9999-12-31")
