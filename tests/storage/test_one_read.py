"""What a question costs: one statement, one round trip, however much is asked."""

from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from sqlalchemy import Engine, event

from app.storage import lookup
from tests.harness.databases import Databases
from tests.harness.people import IDENTIFIERS, People
from tests.harness.service import Maywe, in_process
from tests.harness.wire import wire_to

CUSTOMER = {"type": "customer", "id": "c-1"}
OFFERS = {"subject": CUSTOMER, "purpose": "offers", "channel": "email"}
QUESTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "one question": ("/v1/check", OFFERS),
    "about a subject_id": ("/v1/check", {**OFFERS, "subject": {"subject_id": "sub_of_nobody"}}),
    "a batch": (
        "/v1/check/batch",
        {"checks": [{"subject": subject, "purpose": "offers", "channel": "sms"} for subject in IDENTIFIERS]},
    ),
    "everything about a person": ("/v1/check/all", {"subject": CUSTOMER}),
}


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Every statement sent for a request from now on, but for the hint to other processes that follows a commit. What
    is done beside requests (the sweeper, the watch on the head) has no request id."""
    sent: list[str] = []

    def remember(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if "pg_notify" not in statement and "request_id" in structlog.contextvars.get_contextvars():
            sent.append(statement)

    def remembering(make: Any) -> Any:
        def made(*names: Any, **more: Any) -> Any:
            statement, parameters = make(*names, **more)
            sent.append(statement)
            return statement, parameters

        return made

    event.listen(Engine, "before_cursor_execute", remember)
    for make in ("_on_sqlite", "_on_postgres"):  # what checks send by the driver itself
        monkeypatch.setattr(lookup, make, remembering(getattr(lookup, make)))
    yield sent
    event.remove(Engine, "before_cursor_execute", remember)


@pytest.mark.parametrize("name", QUESTIONS)
async def test_a_question_is_one_statement(maywe: Maywe, statements: list[str], name: str) -> None:
    people = People(maywe.http, seed=3)
    for _ in range(30):
        await people.step()
    path, body = QUESTIONS[name]
    assert (await maywe.http.post(path, json=body)).status_code == 200
    statements.clear()
    assert (await maywe.http.post(path, json=body)).status_code == 200
    assert len(statements) == 1, statements


async def test_what_changed_is_read_again_once(maywe: Maywe, statements: list[str], shop: dict[str, Any]) -> None:
    await maywe.ask(CUSTOMER, "offers", channel="email")
    await maywe.publish({**shop, "version": "conformance-2"})
    await maywe.key("check")
    statements.clear()
    await maywe.ask(CUSTOMER, "offers", channel="email")
    first = len(statements)
    statements.clear()
    await maywe.ask(CUSTOMER, "offers", channel="email")
    assert (first > 1, len(statements)) == (True, 1)


async def test_a_question_is_one_round_trip_to_postgresql(databases: Databases, shop: dict[str, Any]) -> None:
    async with wire_to(databases.make("postgresql")) as wire, in_process(wire.url) as maywe:
        await maywe.publish(shop)
        for name, (path, body) in QUESTIONS.items():
            for _ in range(12):  # until the statement is prepared on each connection
                await maywe.http.post(path, json=body)
            least = 100
            for _ in range(20):  # what is done beside requests may ask in between: the least is what questions cost
                asked = await wire.silence()
                for _ in range(3):
                    await maywe.http.post(path, json=body)
                least = min(least, wire.questions - asked)
                if least <= 3:
                    break
            assert least == 3, name
