"""Scenarios: lists of steps that anybody can take over HTTP, taken here on a running application.

tests/scenarios/README.md describes the steps.
"""

import uuid
from typing import Any

import httpx

from tests.harness.stages import Stage, instant

_CIRCUMSTANCES = ("method", "actor", "language", "evidence")
_HAVE_NO_BASIS = ("not_personal_data", "restriction_storage")

Json = Any
Step = dict[str, Any]


def merged(base: Json, patch: Json) -> Json:
    """A JSON merge patch (RFC 7396) applied."""
    if not isinstance(patch, dict):
        return patch
    result = dict(base) if isinstance(base, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


def lacks(value: Json, wanted: Json) -> str | None:
    """Where a value lacks what is wanted; None if it has it all. A mapping has it if each entry named does, a list if
    it is as long and each item does."""
    if isinstance(wanted, dict):
        if not isinstance(value, dict):
            return f" is {value!r}, no mapping"
        found = ((f"/{key}", lacks(value.get(key), item)) for key, item in wanted.items())
    elif isinstance(wanted, list):
        if not isinstance(value, list) or len(value) != len(wanted):
            return f" is {value!r}, not {wanted!r}"
        found = ((f"/{n}", lacks(*pair)) for n, pair in enumerate(zip(value, wanted, strict=True)))
    else:
        return None if value == wanted else f" is {value!r}, not {wanted!r}"
    return next((f"{place}{lack}" for place, lack in found if lack is not None), None)


class Scenario:
    """One scenario with subjects of its own, known by letters or by the identifiers it writes out."""

    def __init__(self, stage: Stage, name: str) -> None:
        self.stage = stage
        self.name = name
        self.unique = uuid.uuid4().hex[:12]
        self.notice = stage.notice_at(None)
        self.scopes: tuple[str, ...] = ()
        self.recorded: list[dict[str, Any]] = []

    async def play(self, steps: list[Step]) -> None:
        """Take the steps in order. Raises AssertionError where one does not hold."""
        for n, taken in enumerate(steps):
            step = {key: value for key, value in taken.items() if key not in ("expect", "scopes")}
            ((kind, body),) = step.items()
            self.scopes = tuple(taken.get("scopes", ()))
            body = self._filled(body or {})
            try:
                await getattr(self, f"_{kind}")(body, **({"expect": taken["expect"]} if "expect" in taken else {}))
            except AssertionError as error:
                raise AssertionError(f"{self.name}, step {n + 1} {kind} {body}: {error}") from None

    def _filled(self, value: Json) -> Json:
        if isinstance(value, dict):
            return {key: self._filled(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._filled(item) for item in value]
        return value.replace("{n}", self.unique).replace("{notice}", self.notice) if isinstance(value, str) else value

    # Who

    def _person(self, who: Json) -> dict[str, Any]:
        if isinstance(who, str):
            return {"type": "customer", "id": f"{self.name}-{who}-{self.unique}"}
        return dict(who)

    async def _subject(self, body: dict[str, Any], name: str = "who") -> dict[str, Any]:
        who = body.pop(name, "a")
        if isinstance(who, dict) and "subject_id" in who:
            return {"subject_id": await self._id(self._person(who["subject_id"]))}
        return self._person(who)

    async def _id(self, identifier: dict[str, Any]) -> str:
        """The subject_id of an identifier; a harmless fact makes one known of whom nothing is recorded."""
        found = await self.stage.send("POST", "/v1/subjects/find", json=identifier)
        if found.status_code == 404:
            facts = [{"fact": "informed", "notice": self.notice}]
            await self.stage.send("POST", "/v1/facts", json={"subject": identifier, "facts": facts})
        return await self.stage.maywe.find(identifier)

    # Recording

    async def _choice(self, body: dict[str, Any]) -> None:
        await self._choices({**{key: body.pop(key) for key in _OF_THE_REQUEST if key in body}, "choices": [body]})

    async def _choices(self, body: dict[str, Any]) -> None:
        at = instant(body.pop("at", None))
        request = {"subject": await self._subject(body), "choices": body.pop("choices"), "method": "web_form"}
        request |= {key: body.pop(key) for key in _CIRCUMSTANCES if key in body}
        if at is not None:
            request["occurred_at"] = at
        notice = body.pop("notice") if "notice" in body else self.stage.notice_at(at)
        if notice != "none":
            request["notice"] = notice
        await self._record("/v1/choices", request, body)

    async def _fact(self, body: dict[str, Any]) -> None:
        wanted = {key: body.pop(key) for key in ("status", "problem", "effective") if key in body}
        subject = await self._subject(body)
        at = instant(body.pop("at", None))
        fact = {key: str(value) if key == "until" else value for key, value in body.items()}
        if at is not None:
            fact["occurred_at"] = at
        await self._record("/v1/facts", {"subject": subject, "facts": [fact]}, wanted)

    async def _record(self, path: str, request: dict[str, Any], wanted: dict[str, Any]) -> None:
        answer = await self._sent("POST", path, json=request, status=wanted.get("status", 201))
        problem = wanted.get("problem")
        assert problem is None or problem in answer.text, answer.text
        if answer.status_code == 201:
            self.recorded = answer.json()["events"]
            lack = lacks(self.recorded, wanted["events"]) if "events" in wanted else None
            assert lack is None, lack
            effective = any(event["effective"] for event in self.recorded)
            assert wanted.get("effective", effective) is effective, answer.text

    async def _sent(self, method: str, path: str, *, status: int = 200, **request: Any) -> httpx.Response:
        answer = await self.stage.send(method, path, scopes=self.scopes, **request)
        assert answer.status_code == status, f"{path}: {answer.status_code}, not {status}: {answer.text[:600]}"
        return answer

    # Asking

    async def _ask(self, body: dict[str, Any], expect: dict[str, Any] | None = None) -> None:
        question = {key: instant(value) if key in _INSTANTS else value for key, value in body.items()}
        status = question.pop("status", 200)
        question["subject"] = await self._subject(question)
        answer = await self._sent("POST", "/v1/check", json=question, status=status)
        if expect is not None:
            _compare(answer.json(), expect)

    # Subjects

    async def _link(self, body: dict[str, Any]) -> None:
        subject_id = await self._id(await self._subject(body))
        request = {**self._person(body["to"]), "carry_consents": body.get("carry_consents", False)}
        status = body.get("status", 200)
        answer = await self._sent("POST", f"/v1/subjects/{subject_id}/identifiers", json=request, status=status)
        assert body.get("problem", "") in answer.text, answer.text

    async def _unlink(self, body: dict[str, Any]) -> None:
        subject_id = await self._id(await self._subject(body))
        gone = self._person(body["to"])
        held = (await self._sent("GET", f"/v1/subjects/{subject_id}")).json()["identifiers"]
        (found,) = [i["identifier_id"] for i in held if (i["type"], i["id"]) == (gone["type"], gone["id"])]
        await self._sent("DELETE", f"/v1/subjects/{subject_id}/identifiers/{found}")

    async def _erase(self, body: dict[str, Any]) -> None:
        subject_id = await self._id(await self._subject(body))
        request = {"force": True} if body.get("force") else {}
        answer = await self._sent(
            "POST", f"/v1/subjects/{subject_id}/erasure", json=request, status=body.get("status", 200)
        )
        assert body.get("problem", "") in answer.text, answer.text

    async def _read(self, body: dict[str, Any]) -> None:
        subject_id = await self._id(await self._subject(body))
        lack = lacks((await self._sent("GET", f"/v1/subjects/{subject_id}")).json(), body["has"])
        assert lack is None, lack

    async def _events(self, body: dict[str, Any]) -> None:
        subject_id = await self._id(await self._subject(body))
        events = (await self._sent("GET", f"/v1/subjects/{subject_id}/events")).json()["events"]
        told = [{**event["details"], **event} for event in events]
        assert any(lacks(event, body["contains"]) is None for event in told), told

    # The catalogue

    async def _publish(self, body: dict[str, Any]) -> None:
        effective_from = body.get("effective_from", "-PT0S")
        await self.stage.replace(merged(self.stage.catalogue, body), effective_from=effective_from)

    async def _catalogue(self, body: dict[str, Any]) -> None:
        version = body.pop("version", None)
        path = f"/v1/catalogue/versions/{version}" if version else "/v1/catalogue"
        entry = (await self._sent("GET", path)).json()
        wanted = body.pop("has")
        for kind, key in body.items():
            entry = entry[_SECTIONS[kind]][key]
        lack = lacks(entry, wanted)
        assert lack is None, lack

    async def _lint(self, body: dict[str, Any]) -> None:
        document = merged({**self.stage.catalogue, "version": f"lint-{self.unique}"}, body["patch"])
        status = body.get("status", 422)
        answer = await self._sent("PUT", "/v1/catalogue?dry_run=true", json=document, status=status)
        codes = [error["code"] for error in answer.json().get("errors", [])]
        assert body.get("code") is None or body["code"] in codes, codes

    # Anything else

    async def _get(self, body: dict[str, Any]) -> None:
        subject_id = await self._id(await self._subject(body))
        event_id = self.recorded[0]["event_id"] if self.recorded else ""
        path, *texts = (
            text.format(subject_id=subject_id, event_id=event_id) for text in (body["path"], *body.get("contains", []))
        )
        answer = await self._sent("GET", path, headers=body.get("headers", {}), status=body.get("status", 200))
        for text in texts:
            assert text in answer.text, answer.text[:2000]


_OF_THE_REQUEST = ("who", "at", "notice", "status", "problem", "effective", "events", *_CIRCUMSTANCES)
_INSTANTS = ("as_of", "data_collected_at")
_SECTIONS = {
    "purpose": "purposes",
    "data_category": "data_categories",
    "recipient": "recipients",
    "measure": "measures",
}


def _compare(answer: dict[str, Any], expect: dict[str, Any]) -> None:
    """An answer against what a scenario expects; `reason` may list several, obligations must be among those told."""
    reasons = expect.get("reason", answer["reason"])
    told = f"{answer['decision']} {answer['reason']} {answer['basis']} {answer['obligations']}"
    assert answer["decision"] is expect["decision"], told
    assert answer["reason"] in ([reasons] if isinstance(reasons, str) else reasons), told
    assert answer["basis"] == expect.get("basis", answer["basis"]), told
    assert answer["valid_until"] == expect.get("valid_until", answer["valid_until"]), told
    assert set(expect.get("obligations", [])) <= set(answer["obligations"]), told
    assert "no_obligation" not in expect or expect["no_obligation"] not in answer["obligations"], told
    failing = answer["failing_data_categories"]
    assert sorted(expect.get("failing", failing)) == sorted(failing), failing
    assert not answer["decision"] or answer["basis"] or answer["reason"] in _HAVE_NO_BASIS, told
