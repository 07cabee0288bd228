"""One question with all it is answered from: what is in force here, and which grounds hold (domain 4.8)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.reference.catalogue import MARKETING, Catalogue, Version, instant, later
from tests.reference.ledger import Event, File, Place

MISSING = {
    "contract": "no_contract",
    "sale": "no_permission_for_channel",
    "enquiry": "no_permission_for_channel",
    "informed": "not_informed",
}


@dataclass(frozen=True)
class Answer:
    decision: bool
    reason: str
    basis: str | None = None
    obligations: tuple[str, ...] = ()
    failing: tuple[str, ...] = ()


def said_no(last: Event) -> str:
    return "consent_refused" if last.kind == "refuse" else "consent_withdrawn"


class Case:
    """One question, with everything it is answered from."""

    def __init__(
        self,
        question: dict[str, Any],
        catalogue: Catalogue,
        version: Version,
        file: File,
        heard: list[File],
        at: datetime,
    ):
        self.question, self.catalogue, self.version = question, catalogue, version
        self.file, self.heard, self.at = file, heard, at
        self.declared = version.purpose(question["purpose"])
        self.purpose = self.declared or {}
        self.kind = self.purpose.get("kind")
        self.channels = self.purpose.get("channels") or []
        self.place = Place(question["purpose"], question.get("channel"))
        self.categories: list[str] = question.get("data_categories") or list(self.purpose.get("data_categories") or [])
        default = version.document.get("default_jurisdiction") or "EEA"
        self.jurisdiction: str = question.get("jurisdiction") or default
        self.grounds = version.grounds_here(self.place.purpose, self.jurisdiction)
        self.consent_grounds = [ground for ground in self.grounds if ground["basis"] == "consent"]
        self.restrictions = [r for f in (file, *heard) for r in f.open_restrictions(self.categories)]

    @property
    def is_exempt(self) -> bool:
        return self.purpose.get("restriction_exempt") is not None

    @property
    def is_special(self) -> bool:
        declared = self.version.document["data_categories"]
        return any(declared[category].get("special") for category in self.categories)

    # Heard and own

    def noes_in_force(self) -> list[Event]:
        """Own ones, those taken over, and those heard which no newer give of this side outweighs."""
        return self._noes_in_force(self.place)

    def _noes_in_force(self, place: Place) -> list[Event]:
        heard = [n for other in self.heard for n in other.noes_in_force(place)]
        return self.file.noes_in_force(place) + [n for n in heard if self.file.outweighed_at(n, place) is None]

    def scope_objections_in_force(self, scope: str) -> list[Event]:
        heard = [o for other in self.heard for o in other.scope_objections_in_force(scope, self.place)]
        own = self.file.scope_objections_in_force(scope, self.place)
        return own + [o for o in heard if self.file.scope_outweighed_at(o, self.place) is None]

    # Grounds

    def ground_allows(self, ground: dict[str, Any]) -> tuple[Answer | None, set[str]]:
        """The yes of a ground that holds, or the reasons why it does not."""
        basis = ground["basis"]
        if self.is_blocked(ground):
            return None, {"basis_added_after_refusal"}
        if basis == "consent":
            return self.consent_allows(ground)
        lacking = self.evidence_lacking(ground)
        if basis in ("legitimate_interest", "public_task"):
            answer = self.interest_allows(ground)
            reasons = lacking if answer is not None else lacking | {"objected"}
            return (answer if not reasons else None), reasons
        return (None if lacking else Answer(True, basis)), lacking

    def is_blocked(self, ground: dict[str, Any]) -> bool:
        """No swap of basis: a ground that was added after a no which is in force does not count."""
        if ground["basis"] in ("legal_obligation", "vital_interest"):
            return False
        agreed_at = None
        if ground["basis"] == "consent" and (give := self.said(self.place)[1]) is not None:
            agreed_at = give.at  # to a ground that the person agreed to since, nobody swapped
        refused = [n.at for n in self.noes_on_purpose() if agreed_at is None or agreed_at <= n.at]
        return any(self.is_added_after(at, ground["basis"]) for at in refused)

    def noes_on_purpose(self) -> list[Event]:
        """Any no on the purpose: in force on a channel it has, or on one that a no was said on."""
        purpose = self.place.purpose
        named = {n.channel for n in self._noes_in_force(Place(purpose, None))} - {None}
        return [n for c in {*(self.channels or [None]), *named} for n in self._noes_in_force(Place(purpose, c))]

    def is_added_after(self, refused_at: datetime, basis: str) -> bool:
        if self.had_ground_here(self.catalogue.in_force_or_first(refused_at), basis):
            return False
        return basis != "contract" or not any(
            contract.at > refused_at and self.had_ground_here(self.catalogue.in_force(contract.at), "contract")
            for contract in self.file.open_contracts()
        )

    def had_ground_here(self, version: Version | None, basis: str) -> bool:
        grounds = [] if version is None else version.grounds_here(self.place.purpose, self.jurisdiction)
        return any(ground["basis"] == basis for ground in grounds)

    # Consent

    def said(self, place: Place) -> tuple[str | None, Event | None]:
        """What the person said last there: a no (why), a yes (the give), or neither."""
        heard = [n for other in self.heard for n in other.noes_in_force(place)]
        last_no = max([*self.file.noes(place), *heard], key=lambda n: n.order, default=None)
        give = self.file.latest_valid_give(place)
        if last_no is not None and (give is None or give.at <= last_no.at):
            return said_no(last_no), None
        if give is not None and any(o.at >= give.at for o in self.marketing_objections(place)):
            return "consent_withdrawn", None
        return None, give

    def marketing_objections(self, place: Place) -> list[Event]:
        """Own objections to all marketing, lifted or not, and those heard."""
        if self.kind not in MARKETING:
            return []
        heard = [o for other in self.heard for o in other.scope_objections_in_force("all_marketing", place)]
        return self.file.scope_objections("all_marketing", place) + heard

    def consent_faults(self, ground: dict[str, Any]) -> set[str]:
        """Why what the person said carries no yes on this ground; empty when it does."""
        said, give = self.said(self.place)
        if said is not None:
            return {said}
        if give is None:
            return {self.unsaid(ground)}
        faults = {
            "consent_not_explicit": bool(ground.get("explicit")) and not give.explicit,
            "consent_outdated": self.is_outdated(give),
            "consent_expired": self.is_expired(give, ground),
        }
        required = self.evidence_lacking(ground) if ground.get("evidence") in ("contract", "informed") else set()
        return {fault for fault, there in faults.items() if there} | required

    def unsaid(self, ground: dict[str, Any]) -> str:
        """Neither a valid give nor a no is on file for this channel."""
        gives = [g for g in self.file.events("give", purpose=self.place.purpose) if g.channel == self.place.channel]
        if gives:
            invalidated = self.file.is_invalidated(max(gives, key=lambda g: g.order))
            return "consent_invalid" if invalidated else "child_consent_invalid"
        requests = self.file.events("request", purpose=self.place.purpose)
        if any(request.channel == self.place.channel for request in requests):
            return "consent_requested"
        given = {g.channel for g in self.file.events("give", purpose=self.place.purpose)} - {None, self.place.channel}
        for channel in given:
            _, give = self.said(Place(self.place.purpose, channel))
            if give is not None and not self.is_expired(give, ground):
                return "channel_not_consented"
        return "no_consent"

    def is_outdated(self, give: Event) -> bool:
        agreed = self.catalogue.named(give.notice)
        return agreed is not None and any(
            self.place.purpose in (version.document.get("material_changes") or [])
            for version in self.catalogue.versions
            if version.since > agreed.since and version.effective_from <= self.at
        )

    def is_expired(self, give: Event, ground: dict[str, Any]) -> bool:
        agreed = self.catalogue.named(give.notice)
        stated_by = self.catalogue.in_force_between(give.at, max(give.at, self.at))
        lives = [
            stated["expires_after"]
            for version in (*stated_by, *([agreed] if agreed else []))
            for stated in version.grounds_here(self.place.purpose, self.jurisdiction)
            if stated["basis"] == "consent" and stated.get("evidence") == ground.get("evidence")
            if stated.get("expires_after")
        ]
        return any(later(give.at, life) <= self.at for life in lives)

    def holding_give(self, ground: dict[str, Any]) -> Event | None:
        """The give on which a consent ground holds, newer than every restriction that stands in its way."""
        if self.consent_faults(ground) or self.is_blocked(ground):
            return None
        _, give = self.said(self.place)
        stopped = not self.is_exempt and any(give is not None and give.at <= r.at for r in self.restrictions)
        return None if stopped else give

    def consent_allows(self, ground: dict[str, Any]) -> tuple[Answer | None, set[str]]:
        reasons = self.consent_faults(ground)
        stand_in = self.stand_in(ground)
        if not reasons or (stand_in == "holds" and not self.is_special):
            return Answer(True, "consent_given"), set()
        arose = {None: set(), "expired": {"consent_expired"}, "child": {"child_consent_invalid"}}
        return None, reasons | arose[stand_in]

    def stand_in(self, ground: dict[str, Any]) -> str | None:
        """Whether a sale or an enquiry stands in for the choice (domain 2.1): it "holds", is "expired" or that of a
        "child" nobody spoke for; None if there is none."""
        evidence = ground.get("evidence")
        if evidence not in ("sale", "enquiry") or ground.get("explicit") or self.restrictions or self.noes_in_force():
            return None
        if self.kind in MARKETING and self.scope_objections_in_force("all_marketing"):
            return None
        facts = [f for f in self.file.events(evidence) if all(f.at > lifted for lifted in self.lifts())]
        if not facts:
            return None
        if all(self.file.is_unauthorised_childs(f) for f in facts):
            return "child"
        facts = [f for f in facts if not self.file.is_unauthorised_childs(f)]
        return "holds" if any(not self.is_fact_expired(f, ground) for f in facts) else "expired"

    def lifts(self) -> list[datetime]:
        """When each no and each objection to all marketing that reaches here was lifted; none is in force."""
        heard = [n for other in self.heard for n in other.noes_in_force(self.place)]
        lifted = [self.file.lifted_at(n, self.place) for n in self.file.noes(self.place)]
        lifted += [self.file.outweighed_at(n, self.place) for n in heard]
        if self.kind in MARKETING:
            own = self.file.scope_objections("all_marketing", self.place)
            heard = [o for f in self.heard for o in f.scope_objections_in_force("all_marketing", self.place)]
            lifted += [self.file.scope_lifted_at(o, self.place) for o in own]
            lifted += [self.file.scope_outweighed_at(o, self.place) for o in heard]
        return [at for at in lifted if at is not None]

    # Evidence and objections

    def is_fact_expired(self, fact: Event, ground: dict[str, Any]) -> bool:
        return "expires_after" in ground and later(fact.at, ground["expires_after"]) <= self.at

    def evidence_lacking(self, ground: dict[str, Any]) -> set[str]:
        """The reason why the evidence a ground asks for is not on file; empty when it is, or none is asked for."""
        evidence = ground.get("evidence")
        if evidence is None:
            return set()
        facts = self.file.open_contracts() if evidence == "contract" else self.file.events(evidence)
        if evidence == "sale" and ground["basis"] in ("legitimate_interest", "public_task"):
            facts = [f for f in facts if f.fields.get("opt_out_offered") and f.fields.get("own_similar_products")]
        if any(not self.is_fact_expired(f, ground) for f in facts):
            return set()
        return {"no_contract" if ground["basis"] == "contract" else MISSING[evidence]}

    def interest_allows(self, ground: dict[str, Any]) -> Answer | None:
        """Legitimate interest and public task: the yes, unless an objection stops it."""
        noes = self.noes_in_force()
        if not noes:
            return Answer(True, "soft_opt_in" if ground.get("evidence") == "sale" else ground["basis"])
        if self.kind == "legal":
            return Answer(True, "legal_claims")
        if all(self.is_overridden(n) for n in noes):
            return Answer(True, "objection_overridden")
        assessment = ground.get("standing_assessment")
        earliest = min(n.at for n in noes)
        if assessment and self.at < instant(assessment["until"]) and not self.is_upheld_since(earliest):
            return Answer(True, "objection_overridden", obligations=("review_individual_case",))
        return None

    def is_upheld_since(self, at: datetime) -> bool:
        return any(u.at >= at for u in self.file.events("objection_upheld", purpose=self.place.purpose))

    def is_overridden(self, objection: Event) -> bool:
        """A newer override of this side, and none of the objections was upheld since; nothing reaches what is heard."""
        if objection not in self.file.noes_in_force(self.place):
            return False
        overrides = self.file.events("objection_overridden", purpose=self.place.purpose)
        return any(o.reaches(objection) and not self.is_upheld_since(o.at) for o in overrides)
