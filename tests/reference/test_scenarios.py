"""The reference against answers derived by hand from the text. A scenario is a list of steps on fresh subjects.

Times are ISO 8601 durations before the start; each step happens a second after the one before it.
"""

import copy
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.reference.model import World

START = datetime(2026, 11, 24, 12, tzinfo=UTC)
BEFORE = re.compile(r"-P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?$")
Step = dict[str, Any]


def plain(*names: str) -> dict[str, Any]:
    return {name: {"title": name, "sources": ["subject"], "special": False} for name in names}


def processor(**more: Any) -> dict[str, Any]:
    safe = {"country": "DE", "contract": "DPA", "reviewed_on": "2026-05-01", "own_purposes": False}
    return {"role": "processor", **safe, "transfer_safeguard": None, **more}


def purpose(kind: str, *grounds: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"kind": kind, "grounds": list(grounds), "data_categories": ["email", "name"], "retention": "P2Y", **more}


CONSENT: dict[str, Any] = {"basis": "consent", "expires_after": "P24M"}
EXPLICIT = {**CONSENT, "explicit": True}
CONTRACT = {"basis": "contract", "evidence": "contract"}
INTEREST: dict[str, Any] = {"basis": "legitimate_interest", "reference": "LIA"}
BOTH_CHANNELS = ["email", "sms"]
CATALOGUE: dict[str, Any] = {
    "version": "v1",
    "effective_from": "2015-01-01T00:00:00Z",
    "material_changes": [],
    "home": "EEA",
    "default_jurisdiction": "EEA",
    "children": "excluded",
    "identifier_types": {"customer": {}, "email": {}, "device": {"pseudonymous": True}},
    "data_categories": {**plain("email", "name", "orders"), "health": {"special": True}},
    "recipients": {
        "mailer": processor(data_categories=["email"]),
        "courier": processor(),
        "stale": processor(reviewed_on="2025-11-24"),
        "loose": processor(contract=None),
        "broker": processor(own_purposes=True),
        "abroad": processor(country="US"),
        "court": {"role": "authority", "country": "CH", "transfer_safeguard": None},
    },
    "purposes": {
        "news": purpose(
            "direct_marketing",
            CONSENT,
            {**INTEREST, "evidence": "sale", "jurisdictions": ["GB"]},
            {**INTEREST, "jurisdictions": ["US"]},
            channels=BOTH_CHANNELS,
            recipients=["mailer", "stale", "loose", "broker", "abroad", "court"],
        ),
        "leaflets": purpose("direct_marketing", INTEREST, channels=["post"]),
        "tips": purpose("marketing_profiling", INTEREST),
        "ads": purpose("marketing_profiling", CONSENT, honours_gpc=True),
        "orders": purpose("service", CONTRACT, channels=["email"]),
        "help": purpose("service", CONTRACT, CONSENT),
        "stats": purpose(
            "analytics", {**CONSENT, "jurisdictions": ["EEA"]}, {**INTEREST, "jurisdictions": ["GB", "US-CA"]}
        ),
        "improve": purpose("analytics", INTEREST),
        "enrich": purpose("analytics", {**INTEREST, "evidence": "informed", "expires_after": "P1M"}),
        "fraud": purpose(
            "fraud_prevention", {**INTEREST, "standing_assessment": {"reference": "LIA", "until": "2026-12-24"}}
        ),
        "claims": purpose("legal", INTEREST, restriction_exempt="claims"),
        "accounts": purpose("legal", {"basis": "legal_obligation", "reference": "tax code"}),
        "rescue": purpose("service", {"basis": "vital_interest"}),
        "survey": purpose("analytics", {"basis": "public_task", "reference": "statute"}),
        "score": purpose("automated_decision", EXPLICIT),
        "casl": purpose(
            "direct_marketing",
            {"basis": "consent", "jurisdictions": ["CA"]},
            {"basis": "consent", "evidence": "sale", "expires_after": "P24M", "jurisdictions": ["CA"]},
            channels=["email"],
        ),
        "diet": purpose("service", EXPLICIT, {**INTEREST}, data_categories=["email", "health"]),
        "diary": purpose("service", CONSENT, data_categories=["email", "health"]),
        "research": purpose("analytics", INTEREST, personal=False),
        "off": purpose("service", CONTRACT, enabled=False),
    },
}


# Steps


def said(choice: str, what: str, at: str | None = None, **more: Any) -> Step:
    scope = what in ("all_marketing", "automation")
    return {"choice": {"choice": choice, "scope" if scope else "purpose": what, **({"at": at} if at else {}), **more}}


def fact(name: str, at: str | None = None, **more: Any) -> Step:
    return {"fact": {"fact": name, **({"at": at} if at else {}), **more}}


def yes(reason: str, what: str, *obligations: str, basis: str | None = None, **question: Any) -> Step:
    expect = {"decision": True, "reason": reason, "obligations": sorted(obligations)}
    return {"ask": {"purpose": what, **question}, "expect": {**expect, **({"basis": basis} if basis else {})}}


def no(reason: str, what: str, failing: list[str] | None = None, **question: Any) -> Step:
    expect = {"decision": False, "reason": reason, "basis": None, "failing": failing or []}
    return {"ask": {"purpose": what, **question}, "expect": expect}


def link(who: Any = "a", to: Any = "b", **more: Any) -> Step:
    return {"link": {"who": who, "to": to, **more}}


def unlink(who: Any, identifier: Any) -> Step:
    return {"unlink": {"who": who, "identifier": identifier}}


def erase(who: Any = "a", **more: Any) -> Step:
    return {"erase": {"who": who, **more}}


def publish(**patch: Any) -> Step:
    return {"publish": patch}


def grounds(name: str, *new: dict[str, Any]) -> dict[str, Any]:
    return {"purposes": {name: {"grounds": list(new)}}}


def override(what: str = "improve", at: str | None = None, **more: Any) -> Step:
    return fact("objection_overridden", at, purpose=what, grounds="safety", decided_by="dpo", **more)


DEVICE = {"type": "device", "id": "d"}
EMAIL = {"channel": "email"}
SMS = {"channel": "sms"}
US = {"jurisdiction": "US"}
US_EMAIL = {"channel": "email", "jurisdiction": "US"}
US_SMS = {"channel": "sms", "jurisdiction": "US"}
UNSUBSCRIBE = "unsubscribe_link"
TAKEN = "identifier-belongs-to-another-person"


class Runner:
    """Plays steps into a fresh world."""

    def __init__(self, catalogue: dict[str, Any] | None = None, start: datetime = START):
        self.world, self.start, self.now = World(), start, start
        self.document = copy.deepcopy(catalogue or CATALOGUE)
        self.world.publish(self.document, at=start - timedelta(days=4500))

    def play(self, steps: list[Step]) -> None:
        for step in steps:
            kind = next(iter(step))
            self.now += timedelta(seconds=1)
            getattr(self, kind)(dict(step[kind]), **{k: v for k, v in step.items() if k != kind})

    def who(self, name: Any) -> tuple[str, str]:
        if isinstance(name, dict):
            return str(name["type"]), str(name["id"]).strip().casefold()
        return "customer", str(name)

    def instant(self, text: str | None) -> datetime | None:
        if text is None:
            return None
        before = BEFORE.match(text)
        if before is None:
            return datetime.fromisoformat(text)
        days, hours, minutes, seconds = (int(part or 0) for part in before.groups())
        return self.start - timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)

    def check(self, problem: str | None, body: dict[str, Any]) -> None:
        expected = body.get("problem")
        if expected is None:
            assert (problem is not None) == (body.get("status", 201) >= 400), problem
        else:
            assert expected in (problem or "recorded")

    def choice(self, body: dict[str, Any]) -> None:
        at = self.instant(body.get("at"))
        in_force = self.world.catalogue.in_force_or_first(at or self.now)
        notice = body.get("notice", in_force.document["version"] if in_force else None)
        item = {k: body[k] for k in ("purpose", "scope", "channel", "choice", "explicit") if k in body}
        problem = self.world.choices(
            self.who(body.get("who", "a")),
            [item, *body.get("and", [])],
            at=at,
            now=self.now,
            notice=None if notice == "none" else notice,
            method=body.get("method", "web_form"),
        )
        self.check(problem, body)

    def fact(self, body: dict[str, Any]) -> None:
        item = {k: v for k, v in body.items() if k not in ("who", "at", "status", "problem")}
        who, at = self.who(body.get("who", "a")), self.instant(body.get("at"))
        self.check(self.world.facts(who, [item], at=at, now=self.now), body)

    def ask(self, body: dict[str, Any], expect: dict[str, Any]) -> None:
        question = {**body, "subject": self.who(body.get("who", "a"))}
        for field in ("as_of", "data_collected_at"):
            question[field] = self.instant(body.get(field))
        answer = self.world.ask(question, now=self.now)
        reasons = [expect["reason"]] if isinstance(expect["reason"], str) else expect["reason"]
        assert (answer["decision"], answer["reason"] in reasons) == (expect["decision"], True), (body, answer)
        if "basis" in expect:
            assert answer["basis"] == expect["basis"], (body, answer)
        if "obligations" in expect:
            assert answer["obligations"] == expect["obligations"], (body, answer)
        if "failing" in expect:
            assert answer["failing_data_categories"] == sorted(expect["failing"]), (body, answer)

    def link(self, body: dict[str, Any]) -> None:
        who, to = self.who(body.get("who", "a")), self.who(body["to"])
        self.check(self.world.link(who, to, carry_consents=body.get("carry_consents", False), now=self.now), body)

    def unlink(self, body: dict[str, Any]) -> None:
        self.check(self.world.unlink(self.who(body["who"]), self.who(body["identifier"]), now=self.now), body)

    def erase(self, body: dict[str, Any]) -> None:
        problem = self.world.erase(self.who(body.get("who", "a")), force=body.get("force", False), now=self.now)
        self.check(problem, body)

    def publish(self, patch: dict[str, Any]) -> None:
        self.document = merge(self.document, patch)
        self.document["version"] = f"v{len(self.world.catalogue.versions) + 1}"
        since = self.instant(patch.get("effective_from")) or self.now
        self.document["effective_from"] = since.isoformat()
        self.world.publish(self.document, at=self.now)


def merge(base: Any, patch: Any) -> Any:
    """A JSON merge patch (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(base) if isinstance(base, dict) else {}
    for key, value in patch.items():
        merged[key] = merge(merged.get(key), value)
    return {key: value for key, value in merged.items() if value is not None}


CHOICES_AND_TIME: dict[str, list[Step]] = {
    "at one instant the restrictive one wins (3.3)": [
        said("withdraw", "news", "-P2D", **EMAIL),
        said("give", "news", "-P2D", **EMAIL),
        no("consent_withdrawn", "news", **EMAIL),
        said("object", "improve", "-P3D"),
        said("withdraw_objection", "improve", "-P3D"),
        no("objected", "improve"),
        fact("contract_started", "-P3D", reference="o-1"),
        fact("contract_ended", "-P3D", reference="o-1"),
        no("no_contract", "orders", **EMAIL),
        fact("restriction_started", "-P3D", data_categories=["health"]),
        fact("restriction_lifted", "-P3D"),
        no("restricted", "diet"),
    ],
    "the last no speaks, by time and then by kind (3.3)": [
        said("refuse", "help", "-P2D"),
        said("withdraw", "help", "-P2D"),
        no("consent_withdrawn", "help"),
        said("refuse", "help", "-P1D"),
        no("consent_refused", "help"),
    ],
    "what a choice must be to be taken (3.1)": [
        said("give", "leaflets", channel="post", problem="no-consent-ground"),
        said("request", "improve", status=422),
        said("give", "news", problem="channel-required"),
        said("request", "news", problem="channel-required"),
        said("give", "help", **EMAIL, status=422),
        said("give", "news", **EMAIL, notice="v9", status=422),
        said("give", "news", **EMAIL, notice="none", status=422),
        said("give", "news", **EMAIL, method=None, status=422),
        said("give", "news", "-P5000D", **EMAIL, problem="notice-not-in-force"),
        said("give", "score", problem="explicit-consent-required"),
        said("give", "help", at="2027-01-01T00:00:00+00:00", status=422),
        said("give", "all_marketing", status=422),
        said("object", "automation", **EMAIL, status=422),
        said("withdraw", "off"),
        said("give", "off", status=422),
        said(
            "give",
            "news",
            **EMAIL,
            problem="contradictory-choices",
            **{"and": [{"purpose": "news", "choice": "withdraw"}]},
        ),
        no("no_consent", "news", **EMAIL),
    ],
    "an exact repetition adds nothing (3.1)": [
        said("give", "ads", "-P2D"),
        said("give", "ads", "-P2D", explicit=True),
        no("gpc_opt_out", "ads", gpc=True),
        said("give", "ads", "-P1D", explicit=True),
        yes("consent_given", "ads", gpc=True),
    ],
    "a later no is kept and outweighs a yes that arrives late (3.1)": [
        said("withdraw", "news", "-P9D", **EMAIL),
        said("withdraw", "news", "-P5D", **EMAIL),
        said("give", "news", "-P7D", **EMAIL),
        no("consent_withdrawn", "news", **EMAIL),
        yes("consent_given", "news", UNSUBSCRIBE, **EMAIL, as_of="-P6D"),
    ],
    "an objection is lifted on its channel, or on all (3.1)": [
        said("withdraw", "news", "-P9D"),
        said("withdraw_objection", "news", "-P8D", **EMAIL),
        yes("legitimate_interest", "news", UNSUBSCRIBE, **US_EMAIL),
        no("consent_withdrawn", "news", **US_SMS),
        no("consent_withdrawn", "news", **EMAIL),
        said("withdraw_objection", "news", "-P7D"),
        yes("legitimate_interest", "news", UNSUBSCRIBE, **US_SMS),
    ],
    "a refusal is an objection only where one could object (3.1)": [
        said("refuse", "ads", "-P9D"),
        said("withdraw_objection", "ads", "-P8D"),
        said("object", "ads", "-P9D", who="b"),
        no("objected_to_marketing", "ads", who="b"),
        said("withdraw_objection", "ads", "-P8D", who="b"),
        no("consent_withdrawn", "ads", who="b"),
        publish(**grounds("ads", CONSENT, INTEREST)),
        no("consent_refused", "ads"),
        yes("legitimate_interest", "ads", who="b"),
        said("refuse", "ads", who="c"),
        said("withdraw_objection", "ads", who="c"),
        yes("legitimate_interest", "ads", who="c"),
    ],
    "a scope objection, its channel, and what lifts it (3.1)": [
        said("object", "all_marketing", "-P9D", **EMAIL),
        no("objected_to_marketing", "news", **US_EMAIL),
        yes("legitimate_interest", "news", UNSUBSCRIBE, **US_SMS),
        yes("legitimate_interest", "tips"),
        said("object", "all_marketing", "-P8D"),
        no("objected_to_marketing", "tips"),
        said("withdraw_objection", "all_marketing", "-P7D", **EMAIL),
        yes("legitimate_interest", "news", UNSUBSCRIBE, **US_EMAIL),
        no("no_consent", "news", **EMAIL),
        no("objected_to_marketing", "news", **US_SMS),
        said("withdraw_objection", "news", "-P6D", **SMS),
        yes("legitimate_interest", "news", UNSUBSCRIBE, **US_SMS),
        no("objected_to_marketing", "leaflets", channel="post"),
        said("give", "ads", "-P5D"),
        yes("consent_given", "ads"),
    ],
    "objecting to all marketing withdraws what was given before (3.1)": [
        said("give", "news", "-P9D", **EMAIL),
        said("object", "leaflets", "-P9D"),
        said("object", "all_marketing", "-P8D"),
        said("withdraw_objection", "all_marketing", "-P7D"),
        no("consent_withdrawn", "news", **EMAIL),
        no("no_consent", "news", **SMS),
        no("objected_to_marketing", "leaflets", channel="post"),
        yes("legitimate_interest", "tips"),
        said("give", "news", "-P6D", **EMAIL),
        yes("consent_given", "news", UNSUBSCRIBE, **EMAIL),
    ],
    "a purpose that lost its channels hears a no on any of them": [
        said("withdraw", "news", "-P5D", **SMS),
        yes("legitimate_interest", "news", UNSUBSCRIBE, **US_EMAIL),
        publish(purposes={"news": {"channels": []}}),
        no("consent_withdrawn", "news", **US),
        said("give", "news"),
        yes("consent_given", "news", **US),
        said("object", "news", "-P2D", who="b"),
        publish(purposes={"news": {"channels": ["sms"]}}),
        no("objected_to_marketing", "news", **US_SMS, who="b"),
    ],
}

FACTS_AND_VALIDITY: dict[str, list[Step]] = {
    "an invalidated give carries nothing and lifts nothing (3.2)": [
        said("withdraw", "news", "-P9D", **EMAIL),
        said("give", "news", "-P8D", **EMAIL),
        said("give", "news", "-P8D", **SMS),
        yes("consent_given", "news", UNSUBSCRIBE, **EMAIL),
        fact("consent_invalidated", "-P7D", purpose="news", channel="email", reason="forged"),
        no("consent_withdrawn", "news", **EMAIL),
        yes("consent_given", "news", UNSUBSCRIBE, **SMS),
        fact("consent_invalidated", "-P8D", purpose="news", reason="forged"),
        no("consent_invalid", "news", **SMS),
        said("give", "news", "-P6D", **EMAIL),
        yes("consent_given", "news", UNSUBSCRIBE, **EMAIL),
    ],
    "a child's consent needs a guardian, and a tie is restrictive (3.2, 4.2)": [
        fact("child", "-P9D", until="2030-01-01", guardian_authorised=True),
        said("give", "help", "-P8D"),
        yes("consent_given", "help"),
        no("child", "improve"),
        no("child", "tips"),
        yes("legal_obligation", "accounts"),
        fact("child", "-P9D", until="2029-01-01", guardian_authorised=False),
        no("child_consent_invalid", "help"),
        fact("child", "-P7D", until="2026-11-20", guardian_authorised=False),
        no("child_consent_invalid", "help"),
        yes("legitimate_interest", "improve"),
        no("child", "improve", as_of="-P7D"),
        publish(children="guardian"),
        fact("child", until="2030-01-01", guardian_authorised=False),
        yes("legitimate_interest", "improve"),
        no("child", "score"),
    ],
    "a give that ended still lifted the older no": [
        said("withdraw", "news", "-P1000D", **EMAIL),
        said("give", "news", "-P900D", **EMAIL),
        no("consent_expired", "news", **EMAIL),
        yes("legitimate_interest", "news", UNSUBSCRIBE, **US_EMAIL),
    ],
    "a restriction leaves storage, consent given after it, and what is exempt (4.3)": [
        said("give", "help", "-P9D"),
        fact("contract_started", "-P9D", reference="o-1"),
        said("give", "score", "-P9D", explicit=True),
        fact("restriction_started", "-P8D"),
        fact("restriction_lifted", "-P7D", data_categories=["name"]),
        no("restricted", "help"),
        yes("contract", "help", data_categories=["name"]),
        yes("restriction_storage", "help", operation="store"),
        yes("restriction_exempt", "claims", basis="legitimate_interest"),
        no("restricted", "accounts"),
        said("give", "help", "-P6D"),
        yes("consent_given", "help", basis="consent"),
        said("refuse", "help", "-P5D"),
        no("restricted", "help"),
        no("restricted", "score"),
        fact("restriction_lifted", "-P4D", data_categories=["email"]),
        yes("contract", "help"),
        yes("consent_given", "score", "human_review", "contest"),
    ],
    "overrides answer older objections, of marketing never (3.2, 4.8)": [
        override(problem="no-objection"),
        said("object", "improve", "-P9D"),
        override(at="-P9D"),
        no("objected", "improve"),
        override(at="-P8D"),
        yes("objection_overridden", "improve"),
        fact("objection_upheld", "-P8D", purpose="improve"),
        no("objected", "improve"),
        override(at="-P7D"),
        yes("objection_overridden", "improve"),
        said("object", "improve", "-P6D"),
        no("objected", "improve"),
        said("object", "tips", "-P9D"),
        override("tips", status=422),
        fact("objection_overridden", purpose="improve", grounds="safety", status=422),
    ],
    "a standing assessment holds until its date or an upheld objection (4.8)": [
        fact("objection_upheld", "-P9D", purpose="fraud"),
        said("object", "fraud", "-P8D"),
        yes("objection_overridden", "fraud", "review_individual_case"),
        fact("objection_upheld", "-P8D", purpose="fraud"),
        no("objected", "fraud"),
        said("object", "fraud", "-P8D", who="b"),
        publish(
            **grounds(
                "fraud", {**INTEREST, "standing_assessment": {"reference": "LIA", "until": "2026-11-24T12:00:00Z"}}
            )
        ),
        no("objected", "fraud", who="b"),
        said("object", "claims"),
        yes("legal_claims", "claims"),
    ],
    "implied consent stands in for the choice, until a no (2.1)": [
        no("no_consent", "casl", channel="email", jurisdiction="CA"),
        fact("sale", "-P900D", reference="o-1"),
        no("consent_expired", "casl", channel="email", jurisdiction="CA"),
        fact("sale", "-P90D", reference="o-2", opt_out_offered=False, own_similar_products=False),
        yes("consent_given", "casl", UNSUBSCRIBE, channel="email", jurisdiction="CA-QC"),
        fact("restriction_started", "-P80D"),
        no("restricted", "casl", channel="email", jurisdiction="CA"),
        fact("restriction_lifted", "-P79D"),
        said("object", "casl", "-P70D", channel="email"),
        fact("sale", "-P60D", reference="o-3"),
        no("objected_to_marketing", "casl", channel="email", jurisdiction="CA"),
        said("withdraw_objection", "casl", "-P60D"),
        no("consent_withdrawn", "casl", channel="email", jurisdiction="CA"),
        fact("sale", "-P59D", reference="o-4"),
        yes("consent_given", "casl", UNSUBSCRIBE, channel="email", jurisdiction="CA"),
        said("object", "all_marketing", "-P50D"),
        said("withdraw_objection", "all_marketing", "-P40D"),
        no("consent_withdrawn", "casl", channel="email", jurisdiction="CA"),
        fact("sale", "-P39D", reference="o-5"),
        yes("consent_given", "casl", UNSUBSCRIBE, channel="email", jurisdiction="CA"),
    ],
    "the shortest life stated since the give counts (4.8)": [
        said("give", "help", "-P300D"),
        publish(effective_from="-P200D", **grounds("help", CONTRACT, {**CONSENT, "expires_after": "P300D"})),
        publish(effective_from="-P100D", **grounds("help", CONTRACT, CONSENT)),
        said("give", "help", "-P99D", who="b", notice="v2"),
        said("give", "help", "-P99D", who="c"),
        no("consent_expired", "help"),
        yes("consent_given", "help", as_of="-P1D"),
        yes("consent_given", "help", who="b"),
        publish(**grounds("help", CONTRACT, {**CONSENT, "expires_after": "P99D"})),
        no("consent_expired", "help", who="c"),
    ],
    "consent to what has changed since is outdated (4.8)": [
        said("give", "help", "-P300D"),
        publish(effective_from="-P200D", material_changes=["help"]),
        publish(effective_from="-P100D", material_changes=[]),
        no("consent_outdated", "help"),
        yes("consent_given", "help", as_of="-P201D"),
        said("give", "help", "-P50D", notice="v1"),
        no("consent_outdated", "help"),
        said("give", "help", "-P50D", who="b"),
        yes("consent_given", "help", who="b"),
    ],
}

WHO: dict[str, list[Step]] = {
    "what merely lifts reaches its own side, a give both (3.4)": [
        said("object", "improve", "-P9D"),
        said("withdraw_objection", "improve", "-P8D", who="b"),
        said("withdraw", "stats", "-P9D"),
        said("give", "stats", "-P8D", who="b"),
        said("object", "all_marketing", "-P9D"),
        said("withdraw_objection", "all_marketing", "-P8D", who="b"),
        said("give", "ads", "-P8D", who="b"),
        fact("restriction_started", "-P9D", data_categories=["health"]),
        fact("restriction_lifted", "-P8D", who="b"),
        link(),
        no("objected", "improve"),
        yes("consent_given", "stats"),
        no("objected_to_marketing", "tips", who="b"),
        yes("consent_given", "ads"),
        no("restricted", "diet"),
        said("withdraw_objection", "improve"),
        yes("legitimate_interest", "improve"),
        said("withdraw_objection", "all_marketing", who="b"),
        yes("legitimate_interest", "tips"),
        fact("restriction_lifted", "-P7D"),
        no("special_category", "diet"),
    ],
    "an override before the merge stays on its side, an upheld objection does not (3.4)": [
        said("object", "improve", "-P9D"),
        said("object", "improve", "-P9D", who="b"),
        override(at="-P8D", who="b"),
        said("object", "fraud", "-P9D"),
        fact("objection_upheld", "-P8D", who="b", purpose="fraud"),
        said("give", "help", "-P9D"),
        fact("consent_invalidated", "-P8D", who="b", purpose="help", reason="forged"),
        link(),
        no("objected", "improve"),
        no("objected", "fraud"),
        no("consent_invalid", "help"),
        override(at="-P7D"),
        yes("objection_overridden", "improve"),
        link(),
    ],
    "person and device hear noes, never grants (3.4)": [
        said("give", "help", "-P9D"),
        fact("contract_started", "-P9D", reference="o-1"),
        said("object", "improve", "-P8D"),
        said("object", "all_marketing", "-P8D"),
        said("object", "automation", "-P8D"),
        said("give", "ads", "-P9D", who=DEVICE),
        said("give", "stats", "-P9D", who=DEVICE),
        link("a", DEVICE),
        no("no_contract", "help", who=DEVICE),
        no("no_consent", "stats"),
        no("objected", "improve", who=DEVICE),
        said("withdraw_objection", "improve", who=DEVICE),
        no("objected", "improve", who=DEVICE),
        no("objected_to_marketing", "ads", who=DEVICE),
        said("give", "ads", "-P7D", who=DEVICE),
        yes("consent_given", "ads", who=DEVICE),
        yes("consent_given", "stats", "human_review", who=DEVICE, automated=True),
        said("withdraw_objection", "improve"),
        yes("legitimate_interest", "improve", who=DEVICE),
        said("withdraw", "stats", "-P6D"),
        no("consent_withdrawn", "stats", who=DEVICE),
        fact("restriction_started", "-P5D", who=DEVICE),
        no("restricted", "help"),
        fact("restriction_lifted", "-P4D"),
        no("restricted", "help"),
    ],
    "what was heard is not passed on, and no override reaches it (3.4)": [
        said("object", "improve", "-P9D"),
        said("object", "fraud", "-P9D"),
        link("a", DEVICE),
        link("b", DEVICE),
        yes("legitimate_interest", "improve", who="b"),
        said("object", "improve", "-P8D", who=DEVICE),
        override(who=DEVICE),
        no("objected", "improve", who=DEVICE),
        no("objected", "improve", who="b"),
        yes("objection_overridden", "fraud", "review_individual_case", who=DEVICE),
        unlink("b", DEVICE),
        no("objected", "improve"),
        yes("legitimate_interest", "improve", who="b"),
    ],
    "whom a device may be merged with (3.4)": [
        link("a", DEVICE),
        link("a", DEVICE),
        link("b", DEVICE, carry_consents=True, problem=TAKEN),
        link("b", DEVICE),
        link("a", DEVICE, carry_consents=True, problem=TAKEN),
        unlink("b", DEVICE),
        link("a", DEVICE, carry_consents=True),
        link("b", DEVICE, problem=TAKEN),
        said("give", "help", "-P1D", who=DEVICE),
        yes("consent_given", "help"),
        link({"type": "device", "id": "e"}, "c"),
        said("give", "help", who={"type": "device", "id": "e"}),
        no("no_contract", "help", who="c"),
        link({"type": "device", "id": "e"}, "c", carry_consents=True),
        yes("consent_given", "help", who="c"),
        link("d", {"type": "undeclared", "id": "x"}, status=422),
    ],
    "an erased person is suppressed, and comes back with the noes (3.4)": [
        said("give", "news", "-P9D", **EMAIL),
        said("withdraw", "news", "-P8D", **SMS),
        said("object", "improve", "-P8D"),
        fact("contract_started", "-P8D", reference="o-1"),
        erase(problem="contract-open"),
        erase(force=True),
        no("suppressed", "news", **EMAIL),
        no("objected", "improve"),
        no("no_contract", "orders", **EMAIL),
        no("suppressed", "news", **EMAIL, as_of="-P8D"),
        said("give", "help", "-P1D"),
        yes("consent_given", "help"),
        no("suppressed", "tips"),
        said("give", "news", "-P1D", **SMS),
        no("suppressed", "news", **SMS),
        said("give", "news", **EMAIL),
        yes("consent_given", "news", UNSUBSCRIBE, **EMAIL),
        said("withdraw", "news", **EMAIL),
        no("consent_withdrawn", "news", **EMAIL),
        no("objected", "improve"),
        said("withdraw_objection", "improve"),
        yes("legitimate_interest", "improve"),
        erase("nobody", status=404),
    ],
    "who is linked to a tombstone takes it over (3.4)": [
        said("object", "improve", "-P8D"),
        said("object", "all_marketing", "-P8D", **SMS),
        erase(),
        said("give", "news", "-P1D", **US_SMS, who="b"),
        said("withdraw_objection", "improve", "-P1D", who="b"),
        link("b", "a"),
        no("objected", "improve", who="b"),
        no("suppressed", "news", **EMAIL, who="b"),
        said("give", "ads", who="b"),
        yes("consent_given", "ads", who="b"),
        said("withdraw_objection", "improve", who="b"),
        yes("legitimate_interest", "improve", who="a"),
    ],
    "attached to an erased person, a device goes on hearing what was kept (3.4)": [
        said("object", "improve", "-P8D"),
        said("object", "survey", "-P8D"),
        fact("restriction_started", "-P8D"),
        link("a", DEVICE),
        no("restricted", "help", who=DEVICE),
        said("withdraw_objection", "survey"),
        erase(),
        no("objected", "improve", who=DEVICE),
        yes("public_task", "survey", who=DEVICE),
        yes("legitimate_interest", "tips", who=DEVICE),
        link("b", DEVICE, carry_consents=True),
        no("objected", "improve", who="b"),
    ],
    "unlinking leaves the noes on the identifier (3.4)": [
        said("object", "improve", "-P8D"),
        said("give", "help", "-P8D"),
        link("a", "b"),
        unlink("a", "b"),
        no("objected", "improve", who="b"),
        no("no_contract", "help", who="b"),
        no("suppressed", "tips", who="b"),
        yes("legitimate_interest", "tips"),
        said("withdraw_objection", "improve", who="b"),
        yes("legitimate_interest", "improve", who="b"),
        no("objected", "improve"),
        said("give", "stats", "-P9D", who=DEVICE),
        link("a", DEVICE),
        unlink("a", DEVICE),
        no("objected", "improve", who=DEVICE),
        no("suppressed", "tips", who=DEVICE),
        yes("consent_given", "stats", who=DEVICE),
        said("withdraw_objection", "improve", who=DEVICE),
        yes("legitimate_interest", "improve", who=DEVICE),
    ],
}

STEPS: dict[str, list[Step]] = {
    "the catalogue settles first (4.1)": [
        no("no_catalogue", "help", as_of="-P4500D"),
        no("unknown_purpose", "hlep"),
        no("purpose_disabled", "off"),
        yes("not_personal_data", "research"),
        no("unknown_data_category", "help", ["shoe_size"], data_categories=["shoe_size", "orders"]),
        no("data_category_not_covered", "help", ["orders"], data_categories=["name", "orders"]),
        no("channel_required", "news"),
        no("channel_not_declared", "news", channel="post"),
        no("channel_not_declared", "help", **EMAIL),
        no("no_basis_in_jurisdiction", "casl", **EMAIL),
        no("no_basis_in_jurisdiction", "stats", jurisdiction="US"),
        yes("legitimate_interest", "stats", jurisdiction="US-CA"),
        no("no_consent", "stats", jurisdiction="NO"),
    ],
    "recipients, their own faults first (4.1)": [
        no("recipient_not_declared", "improve", recipient="nobody"),
        no("recipient_own_purposes", "improve", recipient="broker"),
        no("recipient_not_reviewed", "improve", recipient="stale"),
        no("recipient_not_reviewed", "improve", recipient="loose"),
        no("no_transfer_safeguard", "improve", recipient="abroad"),
        no("no_transfer_safeguard", "news", **EMAIL, recipient="court"),
        no("recipient_not_declared", "improve", recipient="courier"),
        no("recipient_not_declared", "news", ["name"], **EMAIL, recipient="mailer"),
        no("no_consent", "news", **EMAIL, recipient="mailer", data_categories=["email"]),
        no("recipient_not_reviewed", "news", **EMAIL, recipient="stale", as_of="-PT1H"),
        no("no_consent", "news", **EMAIL, recipient="stale", as_of="-P1D"),
    ],
    "retention is counted in calendar time, half-open (4.1)": [
        yes("legitimate_interest", "improve", data_collected_at="2024-11-24T12:00:02+00:00"),
        no("retention_elapsed", "improve", data_collected_at="2024-11-24T12:00:02+00:00"),
    ],
    "a no to marketing stops every ground (4.4)": [
        fact("sale", "-P9D", reference="o-1", opt_out_offered=True, own_similar_products=True),
        yes("soft_opt_in", "news", UNSUBSCRIBE, channel="email", jurisdiction="GB"),
        said("refuse", "news", "-P8D", **EMAIL),
        no("consent_refused", "news", channel="email", jurisdiction="GB"),
        no("consent_refused", "news", **US_EMAIL),
        said("withdraw", "news", "-P7D", **EMAIL),
        no("consent_withdrawn", "news", **US_EMAIL),
        said("object", "news", "-P6D", **EMAIL),
        no("objected_to_marketing", "news", **US_EMAIL),
        yes("legitimate_interest", "news", UNSUBSCRIBE, **US_SMS),
        said("refuse", "tips", "-P6D"),
        no("objected_to_marketing", "tips"),
        fact("sale", "-P9D", who="b", reference="o-1", opt_out_offered=False, own_similar_products=True),
        no("no_permission_for_channel", "news", who="b", channel="email", jurisdiction="GB"),
    ],
    "the automation opt-out, and what it leaves (4.5)": [
        said("object", "automation", "-P9D"),
        no("automation_opt_out", "tips"),
        no("automation_opt_out", "score"),
        yes("legitimate_interest", "leaflets", "no_segmentation", channel="post", automated=True),
        yes("legitimate_interest", "improve", "human_review", automated=True),
        yes("legitimate_interest", "improve"),
        said("give", "score", "-P9D", explicit=True),
        no("automation_opt_out", "score"),
        said("give", "score", "-P8D", explicit=True),
        yes("consent_given", "score", "human_review", "contest"),
        yes("legitimate_interest", "news", UNSUBSCRIBE, "no_segmentation", **US_SMS),
        said("give", "news", "-P8D", **EMAIL),
        yes("legitimate_interest", "news", UNSUBSCRIBE, **US_SMS),
        said("withdraw_objection", "automation", "-P8D"),
        yes("legitimate_interest", "tips"),
    ],
    "special categories rest on explicit consent only (4.6)": [
        no("special_category", "diet"),
        yes("legitimate_interest", "diet", data_categories=["email"]),
        said("request", "diet", "-P9D"),
        no("special_category", "diet"),
        said("give", "diet", "-P900D", explicit=True),
        no("special_category", "diet"),
        yes("consent_given", "diet", as_of="-P800D"),
        said("give", "diet", "-P8D", explicit=True),
        yes("consent_given", "diet"),
        said("refuse", "diet", "-P7D"),
        no("consent_refused", "diet"),
        said("give", "diary", "-P8D"),
        no("consent_not_explicit", "diary"),
        yes("consent_given", "diary", data_categories=["email"]),
    ],
    "global privacy control (4.7)": [
        no("gpc_opt_out", "ads", gpc=True),
        said("give", "ads", "-P9D", explicit=True),
        yes("consent_given", "ads", gpc=True),
        said("give", "ads", "-P8D"),
        no("gpc_opt_out", "ads", gpc=True),
        yes("consent_given", "ads"),
        yes("legitimate_interest", "improve", gpc=True),
    ],
    "grounds in their order, and the reason that comes first (4.8)": [
        no("no_contract", "help"),
        said("give", "help", "-P9D"),
        yes("consent_given", "help", basis="consent"),
        fact("contract_started", "-P8D", reference="o-1"),
        fact("contract_started", "-P8D", reference="o-2"),
        fact("contract_ended", "-P7D", reference="o-1"),
        yes("contract", "help", basis="contract"),
        said("withdraw", "help", "-P6D"),
        yes("contract", "help"),
        fact("contract_ended", "-P5D", reference="o-2"),
        no("consent_withdrawn", "help"),
        yes("vital_interest", "rescue"),
        yes("public_task", "survey", basis="public_task"),
        no("not_informed", "enrich"),
        fact("informed", "-P31D"),
        no("not_informed", "enrich"),
        yes("legitimate_interest", "enrich", as_of="-P1D"),
        said("object", "enrich"),
        fact("informed"),
        no("objected", "enrich"),
    ],
    "what a channel lacks when another has consent (4.8)": [
        said("give", "news", "-P720D", **EMAIL),
        no("channel_not_consented", "news", **SMS),
        said("request", "news", "-P9D", **SMS),
        no("consent_requested", "news", **SMS),
        said("give", "news", "-P900D", **EMAIL, who="b"),
        no("no_consent", "news", **SMS, who="b"),
        said("give", "news", "-P9D", **EMAIL, who="c"),
        said("request", "news", "-P8D", **EMAIL, who="c"),
        yes("consent_given", "news", UNSUBSCRIBE, **EMAIL, who="c"),
        said("refuse", "news", "-P7D", **EMAIL, who="c"),
        said("request", "news", "-P6D", **EMAIL, who="c"),
        no("consent_refused", "news", **EMAIL, who="c"),
        no("no_consent", "news", **SMS, who="c"),
    ],
    "no swap of basis after a no (4.8)": [
        said("refuse", "stats", "-P9D"),
        said("refuse", "orders", "-P5000D"),
        publish(**grounds("stats", CONSENT, CONTRACT, INTEREST, {"basis": "vital_interest", "jurisdictions": ["CH"]})),
        fact("contract_started", "-P8D", reference="o-1"),
        no("consent_refused", "stats"),
        no("objected", "stats", jurisdiction="GB"),
        no("basis_added_after_refusal", "stats", jurisdiction="JP"),
        yes("vital_interest", "stats", jurisdiction="CH"),
        yes("contract", "orders", **EMAIL),
        fact("contract_started", who="b", reference="o-2"),
        yes("contract", "stats", who="b"),
        fact("contract_started", reference="o-3"),
        yes("contract", "stats"),
        said("give", "stats", who="c"),
        said("withdraw", "stats", who="c"),
        no("objected", "stats", who="c"),
    ],
}

AT_THE_INSTANT: dict[str, list[Step]] = {
    "what is restrictive wins the tie (3.3)": [
        said("give", "news", "-P9D", **EMAIL),
        said("object", "all_marketing", "-P9D"),
        said("withdraw_objection", "all_marketing", "-P8D"),
        no("consent_withdrawn", "news", **EMAIL),
        said("give", "help", "-P9D"),
        fact("restriction_started", "-P9D"),
        no("restricted", "help"),
        said("object", "fraud", "-P9D", who="b"),
        fact("objection_upheld", "-P8D", who="b", purpose="fraud"),
        said("object", "fraud", "-P7D", who="b"),
        no("objected", "fraud", who="b"),
        said("withdraw", "stats", "-P9D", who="c"),
        said("give", "stats", "-P9D", who="c"),
        no("consent_withdrawn", "stats", who="c"),
        no("objected", "stats", who="c", jurisdiction="GB"),
    ],
    "ends are half-open, beginnings are not (4)": [
        said("give", "help", "-P9D"),
        yes("consent_given", "help", as_of="-P9D"),
        said("give", "stats", "2024-11-24T12:00:00+00:00"),
        no("consent_expired", "stats", as_of="-PT0S"),
        said("give", "stats", "2024-11-24T12:00:00.000001+00:00"),
        yes("consent_given", "stats", as_of="-PT0S"),
        fact("informed", "2026-10-24T12:00:00+00:00"),
        no("not_informed", "enrich", as_of="-PT0S"),
        no("recipient_not_reviewed", "improve", recipient="stale", as_of="2026-11-24T00:00:00+00:00"),
        fact("child", "-P1D", who="b", until="2026-11-24", guardian_authorised=False),
        said("give", "help", "2026-11-24T00:00:00+00:00", who="b"),
        yes("legitimate_interest", "improve", who="b", as_of="2026-11-24T00:00:00+00:00"),
        yes("consent_given", "help", who="b"),
        publish(effective_from="-PT5H", material_changes=["help"]),
        no("consent_outdated", "help", as_of="-PT5H"),
    ],
    "a fact counts from the first lift on; a give without end has none (2.1)": [
        said("object", "casl", "-P70D", **EMAIL),
        said("withdraw_objection", "casl", "-P60D"),
        fact("sale", "-P50D", reference="o-1"),
        said("withdraw_objection", "casl", "-P40D"),
        yes("consent_given", "casl", UNSUBSCRIBE, **EMAIL, jurisdiction="CA"),
        said("give", "casl", "-P900D", **EMAIL, who="b"),
        yes("consent_given", "casl", UNSUBSCRIBE, **EMAIL, jurisdiction="CA", who="b"),
    ],
    "a scope objection that was heard takes the consent away, too (3.4, 4.3)": [
        fact("restriction_started", "-P9D", who=DEVICE),
        said("give", "ads", "-P8D", who=DEVICE),
        link("a", DEVICE),
        yes("consent_given", "ads", who=DEVICE),
        said("object", "all_marketing", "-P7D"),
        no("restricted", "ads", who=DEVICE),
    ],
    "what else may be recorded, and what not (3.1, 3.2)": [
        said("give", "news", **EMAIL, **{"and": [{"purpose": "news", "channel": "sms", "choice": "withdraw"}]}),
        said("give", "news", **EMAIL, **{"and": [{"purpose": "stats", "choice": "withdraw"}]}),
        said("withdraw", "news", channel="post", status=422),
        said("withdraw", "hlep", status=422),
        said("request", "hlep", status=422),
        said("give", "diet", problem="explicit-consent-required"),
        said("withdraw", "orders", **EMAIL),
        override("orders"),
        {"unlink": {"who": "a", "identifier": "b", "status": 404}},
        said("withdraw", "orders", who="b"),
        {"unlink": {"who": "a", "identifier": "b", "status": 404}},
    ],
}

SCENARIOS = {**CHOICES_AND_TIME, **FACTS_AND_VALIDITY, **WHO, **STEPS, **AT_THE_INSTANT}


@pytest.mark.parametrize("name", SCENARIOS)
def test_scenario(name: str) -> None:
    Runner().play(SCENARIOS[name])


def test_without_a_time_a_choice_comes_after_all_on_file() -> None:
    """Domain 3.3, an erasure included."""
    runner, who = Runner(), ("customer", "a")

    def news(choice: str) -> str:
        item = {"purpose": "news", "channel": "email", "choice": choice}
        assert runner.world.choices(who, [item], at=None, now=START, notice="v1", method="app") is None
        return str(runner.world.ask({"subject": who, "purpose": "news", "channel": "email"}, now=START)["reason"])

    assert [news("withdraw"), news("give")] == ["consent_withdrawn", "consent_given"]
    assert runner.world.erase(who, now=START) is None
    assert [news("request"), news("give")] == ["suppressed", "consent_given"]
