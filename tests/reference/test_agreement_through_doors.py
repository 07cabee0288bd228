"""The service answers as the reference does, through its doors and on both engines: every write, every answer.

A longer search, of other examples each time: MAYWE_EXAMPLES=200 pytest tests/reference/test_agreement_through_doors.py
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import httpx
from hypothesis import Phase, given

from tests.harness.databases import Databases
from tests.harness.effort import effort
from tests.harness.service import in_process
from tests.reference.generators import MEETINGS, NOW, Act, Case, cases_of, on_grid
from tests.reference.model import Identifier, World
from tests.reference.test_agreement import bounded


class Service:
    """The service and the reference side by side, under one clock."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.world = World()
        self.now = on_grid(9)
        self.known: set[Identifier] = set()

    def clock(self) -> datetime:
        return self.now

    async def play(self, url: str) -> None:
        async with in_process(url, clock=self.clock) as self.maywe:
            for document in self.case.documents:
                await self.maywe.publish(document)
                self.world.publish(document, at=self.now)
            self.now = NOW
            for act in self.case.acts:
                self.now += timedelta(seconds=1)
                await _ACTS[act.what](self, act)
                if act.what in ("link", "unlink", "erase"):
                    await self._compare_people()
            await self._compare_answers()

    async def _post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        return await self.maywe.http.post(path, json=body)

    # Writing

    async def _choices(self, act: Act) -> None:
        about = {"notice": act.notice, "method": act.method, "occurred_at": _text(act.at)}
        body = {"subject": _named(act.who), "choices": act.items, **{k: v for k, v in about.items() if v}}
        problem = self.world.choices(act.who, act.items, at=act.at, now=self.now, notice=act.notice, method=act.method)
        _same(await self._post("/v1/choices", body), problem)
        self.known.add(act.who)

    async def _facts(self, act: Act) -> None:
        at = {"occurred_at": _text(act.at)} if act.at else {}
        body = {"subject": _named(act.who), "facts": [item | at for item in act.items]}
        problem = self.world.facts(act.who, act.items, at=act.at, now=self.now)
        _same(await self._post("/v1/facts", body), problem)
        self.known.add(act.who)

    async def _link(self, act: Act) -> None:
        assert act.to is not None
        subject_id = await self._find(act.who)
        if subject_id is None:
            return
        body = {**_named(act.to), "carry_consents": act.is_yes}
        problem = self.world.link(act.who, act.to, carry_consents=act.is_yes, now=self.now)
        _same(await self._post(f"/v1/subjects/{subject_id}/identifiers", body), problem)
        self.known.add(act.to)

    async def _unlink(self, act: Act) -> None:
        assert act.to is not None
        subject_id = await self._find(act.who)
        if subject_id is None:
            return
        read = (await self.maywe.http.get(f"/v1/subjects/{subject_id}")).json()
        of = {(i["type"], i["id"]): i["identifier_id"] for i in read["identifiers"]}
        answer = await self.maywe.http.delete(f"/v1/subjects/{subject_id}/identifiers/{of.get(act.to, 'idn_none')}")
        _same(answer, self.world.unlink(act.who, act.to, now=self.now))

    async def _erase(self, act: Act) -> None:
        subject_id = await self._find(act.who)
        problem = self.world.erase(act.who, force=act.is_yes, now=self.now)
        if subject_id is not None:
            _same(await self._post(f"/v1/subjects/{subject_id}/erasure", {"force": act.is_yes}), problem)

    # Comparing

    async def _find(self, who: Identifier) -> str | None:
        answer = await self._post("/v1/subjects/find", _named(who))
        assert answer.status_code in (200, 404), answer.text
        return answer.json()["subject_id"] if answer.status_code == 200 else None

    async def _compare_people(self) -> None:
        """The same identifiers name the same people."""
        found = {who: await self._find(who) for who in sorted(self.known)}
        assert {who for who, subject_id in found.items() if subject_id} == self.known & self.world.holders.keys()
        for one in self.world.holders:
            for other in self.world.holders:
                assert (found[one] == found[other]) == self.world.are_one(one, other), (one, other)

    async def _compare_answers(self) -> None:
        questions = self.case.questions()
        await self._compare_batch([question for question in questions if "as_of" in question])
        await self._compare_batch([question for question in questions if "as_of" not in question])
        await self._compare_all()

    async def _compare_batch(self, questions: list[dict[str, Any]]) -> None:
        for start in range(0, len(questions), 1000):
            batch = questions[start : start + 1000]
            checks = [_question(question) for question in batch]
            answers = (await self._post("/v1/check/batch", {"checks": checks})).json()["decisions"]
            for question, answer in zip(batch, answers, strict=True):
                assert _told(answer) == self.world.ask(question, now=self.now), question
            await self._compare_single(checks[0], answers[0])

    async def _compare_single(self, check: dict[str, Any], answer: dict[str, Any]) -> None:
        """One question alone is answered as in a batch."""
        single = (await self._post("/v1/check", check)).json()
        assert {name: single[name] for name in answer if name != "id"} == {k: v for k, v in answer.items() if k != "id"}

    async def _compare_all(self) -> None:
        """Everything at once is answered as one by one."""
        for who in sorted(self.known):
            told = (await self._post("/v1/check/all", {"subject": _named(who)})).json()["decisions"]
            for answer in told:
                question = {"subject": who, "purpose": answer["purpose"], "channel": answer["channel"]}
                assert _told(answer) == self.world.ask(question, now=self.now), question


_ACTS: dict[str, Callable[[Service, Act], Awaitable[None]]] = {
    "choices": Service._choices,
    "facts": Service._facts,
    "link": Service._link,
    "unlink": Service._unlink,
    "erase": Service._erase,
}


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat().replace("+00:00", "Z")


def _named(who: Identifier) -> dict[str, str]:
    return {"type": who[0], "id": who[1]}


def _question(question: dict[str, Any]) -> dict[str, Any]:
    instants = {name: _text(value) for name, value in question.items() if isinstance(value, datetime)}
    return question | instants | {"subject": _named(question["subject"])}


def _told(answer: dict[str, Any]) -> dict[str, Any]:
    return {
        "decision": answer["decision"],
        "reason": answer["reason"],
        "basis": answer["basis"],
        "obligations": sorted(answer["obligations"]),
        "failing_data_categories": sorted(answer["failing_data_categories"]),
    }


def _same(answer: httpx.Response, problem: str | None) -> None:
    """Both did it, or both refused; where the text names the problem, it is named."""
    assert (answer.status_code < 300) == (problem is None), (answer.text, problem)
    if problem not in (None, "refused"):
        body = answer.json()
        assert problem in [body["type"].rsplit(":", 1)[-1], *(e["code"] for e in body.get("errors", []))], body


def test_the_service_answers_as_the_reference_does(databases: Databases, engine: str) -> None:
    with asyncio.Runner() as runner:

        @bounded(effort(3, 12), Phase.generate)  # each step of shrinking would need a database of its own
        @given(cases_of(2) | cases_of(2, MEETINGS))
        def agree(case: Case) -> None:
            runner.run(Service(case).play(databases.make(engine)))

        agree()
