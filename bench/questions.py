"""The bodies and queries that are sent, sampled beforehand: uniform or Pareto access, answers of one kind or mixed."""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench import ceilings, people
from bench.machine import FOLDER

_SENT = 40_000  # then from the beginning again
_PLACES = [(topic, channel) for topic in people.TOPICS for channel in people.CHANNELS]


def _file(name: str, lines: Iterator[str]) -> Path:
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.load"
    path.write_text("\n".join(lines) + "\n")
    return path


def points() -> Path:
    """Any row."""
    dice = random.Random(1)
    return _file("points", (f"?id={dice.randrange(ceilings.ROWS)}" for _ in range(_SENT)))


def _uniform(dice: random.Random, count: int) -> int:
    return dice.randrange(count)


def _pareto(dice: random.Random, count: int) -> int:
    return min(int(count * (dice.paretovariate(1.16) - 1) / 100), count - 1)  # 80 % ask about 20 %, and so on inside


def _question(n: int, place: tuple[str, str]) -> dict[str, Any]:
    topic, channel = place
    return {"subject": {"type": "customer", "id": f"c-{n}"}, "purpose": topic, "channel": channel}


def _place(dice: random.Random, n: int, word: str | None) -> tuple[str, str]:
    said = people.said(n)
    return dice.choice([p for p in _PLACES if word is None or (said[p] == "give") == (word == "yes")] or _PLACES)


def checks(count: int, kind: str = "uniform") -> Path:
    """Single questions. `kind`: uniform, pareto, yes, no, or unknown (subjects nobody ever heard of)."""
    dice = random.Random(2)
    pick: Callable[[random.Random, int], int] = _pareto if kind == "pareto" else _uniform
    word = kind if kind in ("yes", "no") else None

    def lines() -> Iterator[str]:
        for _ in range(_SENT):
            n = pick(dice, count) + (10**9 if kind == "unknown" else 0)
            yield json.dumps(_question(n, _place(dice, n, word)))

    return _file(f"checks-{kind}-{count}", lines())


def batches(count: int, kind: str) -> Path:
    """A thousand questions each. `kind`: subjects (one question about a thousand people), mixed (all at random), or
    person (a thousand questions about fifty people)."""
    dice = random.Random(3)

    def batch() -> Iterator[dict[str, Any]]:
        place, few = dice.choice(_PLACES), [dice.randrange(count) for _ in range(50)]
        for n in range(1000):
            person = few[n % 50] if kind == "person" else dice.randrange(count)
            question = _question(person, place if kind == "subjects" else dice.choice(_PLACES))
            yield {"id": str(n), **question}

    return _file(f"batches-{kind}-{count}", (json.dumps({"checks": list(batch())}) for _ in range(50)))


def everything(count: int) -> Path:
    """Everything about one person."""
    dice = random.Random(4)
    subjects = ({"type": "customer", "id": f"c-{dice.randrange(count)}"} for _ in range(_SENT))
    return _file(f"all-{count}", (json.dumps({"subject": subject}) for subject in subjects))


def long_histories(people_of: int, length: int) -> Path:
    """Single questions about people with so many events, on the topic that most of the events are about."""
    dice = random.Random(5)

    def question() -> str:
        subject = {"type": "customer", "id": f"e{length}-{dice.randrange(people_of)}"}
        return json.dumps({"subject": subject, "purpose": people.TOPICS[0], "channel": people.CHANNELS[0]})

    return _file(f"long-{length}", (question() for _ in range(_SENT // 10)))


def choices(count: int) -> Path:
    """One choice each, about any person."""
    dice = random.Random(6)

    def body() -> str:
        n, (topic, channel) = dice.randrange(count), dice.choice(_PLACES)
        choice = {"purpose": topic, "channel": channel, "choice": dice.choice(("give", "withdraw"))}
        subject = {"type": "customer", "id": f"c-{n}"}
        return json.dumps({"subject": subject, "choices": [choice], "method": "web_form", "notice": people.VERSION})

    return _file(f"choices-{count}", (body() for _ in range(_SENT)))
