"""`make bench`: the table of docs/performance.md. `python -m bench --help` says how to run a part of it."""

import argparse
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import NamedTuple

from bench import machine, questions
from bench.machine import Load, Result

COUNT = 100_000
WRITTEN = 20_000
ENGINES = ("sqlite", "postgresql")
LENGTHS = ((200, 100), (100, 1_000), (20, 10_000))  # how many people with how many events each


class Side(NamedTuple):
    """A server and the load on it; a request counts for `worth` units."""

    name: str
    serve: Callable[[], AbstractContextManager[str]]
    load: Callable[[], Load]
    worth: int = 1


class Row(NamedTuple):
    """A line of the table: Maywe against something, and the least ratio of the rates that is wanted. Or, `is_paced`,
    with both at half the rate that Maywe can do, the greatest ratio of their p99."""

    name: str
    ours: Side
    other: Side
    target: float | None = None
    is_paced: bool = False


class Options(NamedTuple):
    """How long to measure."""

    pairs: int
    seconds: int


def _maywe(engine: str, load: Callable[[str], Load], *, count: int = COUNT, worth: int = 1, workers: int = 1) -> Side:
    def people() -> tuple[str, str]:
        return machine.people_in(engine, count, LENGTHS if count == COUNT else ())

    return Side("maywe", lambda: machine.maywe(people()[0], workers=workers), lambda: load(people()[1]), worth)


def _check(engine: str, kind: str = "uniform", *, count: int = COUNT, workers: int = 1) -> Side:
    return _maywe(
        engine, lambda key: Load("/v1/check", questions.checks(count, kind), key), count=count, workers=workers
    )


def _batch(engine: str, kind: str) -> Side:
    return _maywe(engine, lambda key: Load("/v1/check/batch", questions.batches(COUNT, kind), key), worth=1000)


def _long(engine: str, people: int, length: int) -> Side:
    return _maywe(engine, lambda key: Load("/v1/check", questions.long_histories(people, length), key))


def _choices(*, alone: bool) -> Side:
    """On PostgreSQL, about people of a database of their own: their histories grow."""

    def people() -> tuple[str, str]:
        return machine.people_in("postgresql", WRITTEN)

    name = "alone" if alone else "maywe"
    return Side(
        name,
        lambda: machine.maywe(people()[0], alone=alone),
        lambda: Load("/v1/choices", questions.choices(WRITTEN), people()[1]),
    )


def _ceiling(name: str, engine: str | None = None) -> Side:
    return Side(name, lambda: machine.ceiling(name, engine), lambda: Load("/", questions.points()))


def _rows() -> Iterator[Row]:
    for engine in ENGINES:
        select = _ceiling(engine, engine)
        wanted = 0.6 if engine == "sqlite" else 1.0
        for kind in ("uniform", "pareto", "yes", "no", "unknown"):
            yield Row(f"check-{kind}-{engine}", _check(engine, kind), select, wanted)
        yield Row(f"p99-half-{engine}", _check(engine), select, 2.0, is_paced=True)
        everything = _maywe(engine, lambda key: Load("/v1/check/all", questions.everything(COUNT), key))
        yield Row(f"check-all-{engine}", everything, select)
        yield Row(f"check-stack-{engine}", _check(engine), _ceiling("stack", engine))
        for kind in ("subjects", "mixed", "person"):
            yield Row(f"batch-{kind}-{engine}", _batch(engine, kind), _ceiling("sqlite", "sqlite"), 6.0)
        for people, length in LENGTHS[1:]:
            yield Row(
                f"growth-events-{length}-{engine}", _long(engine, people, length), _long(engine, *LENGTHS[0]), 1 / 1.15
            )
        for count in (COUNT, 1_000_000):
            grown, small = _check(engine, count=count), _check(engine, count=1_000)
            yield Row(f"growth-subjects-{count}-{engine}", grown, small, 1 / 1.15)
        yield Row(f"workers-2-{engine}", _check(engine, workers=2), _check(engine))
    yield Row("writes-16-postgresql", _choices(alone=False), _choices(alone=True), 3.0)
    yield Row("ceiling-sqlite", _ceiling("sqlite", "sqlite"), _ceiling("fixed"))
    yield Row("ceiling-postgresql", _ceiling("postgresql", "postgresql"), _ceiling("fixed"))


class Pairs:
    """Alternating runs of the two sides of a row."""

    def __init__(self, row: Row, options: Options) -> None:
        self.row = row
        self.ours: list[Result] = []
        self.other: list[Result] = []
        with ExitStack() as stack:
            ours = (row.ours.load(), stack.enter_context(row.ours.serve()), self.ours)
            other = (row.other.load(), stack.enter_context(row.other.serve()), self.other)
            for load, address, _ in (ours, other):
                load.run(address, 1)  # warm
            rate = ours[0].run(ours[1], options.seconds).rate / 2 if row.is_paced else None
            for n in range(options.pairs):
                for load, address, results in (ours, other) if n % 2 else (other, ours):
                    results.append(load.run(address, options.seconds, rate=rate))

    @property
    def ratios(self) -> list[float]:
        """Ours to the other's, per pair."""
        if self.row.is_paced:
            return [a.p99 / b.p99 for a, b in zip(self.ours, self.other, strict=True)]
        ours, other = self.row.ours.worth, self.row.other.worth
        return [a.rate * ours / (b.rate * other) for a, b in zip(self.ours, self.other, strict=True)]

    def line(self) -> str:
        """The line of the table."""
        rates = [self.row.ours.worth * r.rate for r in self.ours], [self.row.other.worth * r.rate for r in self.other]
        p99 = [statistics.median(r.p99 for r in results) for results in (self.ours, self.other)]
        ratio, wanted = statistics.median(self.ratios), self.row.target
        is_met = wanted is None or (ratio <= wanted if self.row.is_paced else ratio >= wanted)
        sign = "≤" if self.row.is_paced else "≥"
        verdict = "" if wanted is None else f"{sign} {wanted:.2f} {'✓' if is_met else 'MISSED'}"
        return (
            f"| {self.row.name} | {statistics.median(rates[0]):,.0f} | {statistics.median(rates[1]):,.0f} "
            f"({self.row.other.name}) | **{ratio:.2f}** [{min(self.ratios):.2f}-{max(self.ratios):.2f}] | {verdict} "
            f"| {p99[0]:.1f} / {p99[1]:.1f} |"
        )


_HEAD = """| row | Maywe, /s | other, /s | ratio, median [min-max] | wanted | p99, ms |
|---|---:|---:|---:|---|---:|"""


def main() -> None:
    """Measure the rows whose names contain one of the words given; without words all."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=main.__doc__)
    parser.add_argument("words", nargs="*", help="parts of the names of rows")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="of each run")
    parser.add_argument("--list", action="store_true", help="print the names of the rows")
    given = parser.parse_args()
    rows = [row for row in _rows() if not given.words or any(word in row.name for word in given.words)]
    if given.list:
        print("\n".join(row.name for row in rows))
        return
    machine.require_tools()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers end too
    print(_HEAD, flush=True)
    started = time.monotonic()
    for row in rows:
        print(Pairs(row, Options(given.pairs, given.seconds)).line(), flush=True)
    print(f"{len(rows)} rows in {time.monotonic() - started:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
