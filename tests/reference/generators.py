"""What Hypothesis makes up: catalogues that lint accepts, histories, questions; few of everything, so that things meet.

All instants lie on a grid of hundred days (or a microsecond beside it), and so do the durations: ends are hit exactly.
Hypothesis draws plain numbers, because drawing is what takes time; each stands for one of each of several options.
"""

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st
from pydantic import TypeAdapter

from app.decision import catalogue as core
from app.decision.lint import lint
from tests.reference.catalogue import Catalogue

NOW = datetime(2026, 7, 1, tzinfo=UTC)
STEP = timedelta(days=100)
READER = TypeAdapter(core.Catalogue)
NUMBERS = st.binary(min_size=8, max_size=8).map(lambda drawn: int.from_bytes(drawn, "little"))

Document = dict[str, Any]


def on_grid(steps: int) -> datetime:
    return NOW - steps * STEP


def often(times: int, common: Any, *rare: Any) -> list[Any]:
    """`common` most of the time."""
    return [common] * times + list(rare)


def picked(number: int, *options: Sequence[Any]) -> list[Any]:
    """The one of each of the options that a number stands for; 0 for the first of each."""
    found = []
    for choices in options:
        number, index = divmod(number, len(choices))
        found.append(choices[index])
    return found


def stated(document: Document) -> Document:
    """Without what is absent or false."""
    return {name: value for name, value in document.items() if value not in (None, False)}


PURPOSES = ("p", "q", "r")
MOSTLY = ("p",) * 12 + ("q",) * 6 + ("r", "gone")
PERSONS = (("customer", "a"), ("customer", "b"), ("email", "c"))
DEVICES = (("device", "d"), ("device", "e"))
PEOPLE = (PERSONS[0],) * 9 + (PERSONS[1],) * 4 + (DEVICES[1],) + (DEVICES[0],) * 3 + (PERSONS[2],) * 4
DURATIONS = ("P100D", "P200D", "P400D", "P12M")
DAYS = tuple(on_grid(steps).date().isoformat() for steps in range(-4, 8))
INSTANTS = tuple(
    on_grid(steps) + timedelta(microseconds=beside) for beside in (0, 0, 0, 0, 1, -1) for steps in range(1, 8)
)


# Catalogues

CONSENT = ("consent",) * 6
INTEREST = ("legitimate_interest",) * 3
BASES_FOR = {
    "service": (*CONSENT, "contract", "contract", "public_task", "legal_obligation", "vital_interest", *INTEREST),
    "direct_marketing": (*CONSENT, *INTEREST),
    "marketing_profiling": (*CONSENT, *INTEREST),
    "automated_decision": (*CONSENT, "legitimate_interest", "public_task", "legal_obligation", "contract", "contract"),
    "analytics": (*CONSENT, "public_task", *INTEREST),
    "fraud_prevention": (*INTEREST, "consent", "legal_obligation", *INTEREST),
    "legal": (*INTEREST, "legal_obligation", "contract", "public_task"),
}
KINDS = (*BASES_FOR, "service", "direct_marketing")
EVIDENCE_FOR = {
    "consent": often(5, None, "sale", "enquiry", "informed"),
    "contract": often(5, "contract", None, "sale"),
    "legitimate_interest": often(4, None, "sale", "sale", "informed", "enquiry", "contract"),
    "public_task": often(6, None, "sale", "informed"),
    "legal_obligation": often(8, None, "informed"),
    "vital_interest": often(8, None, "enquiry"),
}
PLACES = often(20, None, ["EEA"], ["GB"], ["US"], ["DE", "US-CA"])


def ground(number: int, kind: str, *, is_electronic: bool) -> Document:
    options = (BASES_FOR[kind], range(60), PLACES, (None, *DURATIONS), (False, False, True), (None, *DAYS))
    basis, n, jurisdictions, expires_after, explicit, until = picked(number, *options)
    evidence = EVIDENCE_FOR[basis][n % len(EVIDENCE_FOR[basis])]
    if basis == "legitimate_interest" and kind == "direct_marketing" and is_electronic and evidence != "sale":
        jurisdictions = ["US"]
    if basis == "legitimate_interest" and kind == "automated_decision":
        jurisdictions = ["GB"]
    made = {
        "basis": basis,
        "reference": "ref",
        "evidence": evidence,
        "jurisdictions": jurisdictions,
        "expires_after": expires_after,
        "explicit": basis == "consent" and (explicit or kind == "automated_decision"),
        "standing_assessment": until and kind == "fraud_prevention" and {"reference": "LIA", "until": until},
    }
    return stated(made)


CHANNELS = (["email", "sms"], [], ["post"], [], ["email"])
CATEGORIES = often(8, ["name", "orders"], ["name"], ["name", "health"])
LISTED = often(3, ["mailer", "abroad", "court"], ["mailer"], [])


def purpose(number: int, ground_numbers: list[int]) -> Document:
    options = (KINDS, CHANNELS, CATEGORIES, LISTED, ("P4Y", "P4Y", "P200D"), (False, True), (None, None, "claims"))
    number, off = divmod(number, 60)
    kind, channels, categories, listed, retention, honours_gpc, exempt = picked(number, *options)
    is_electronic = bool({"email", "sms"} & set(channels))
    rests_on = [ground(n, kind, is_electronic=is_electronic) for n in ground_numbers]
    if "health" in categories and not any(g["basis"] == "consent" and g.get("explicit") for g in rests_on):
        rests_on.append({"basis": "consent", "explicit": True})
    made = {
        "kind": kind,
        "grounds": rests_on,
        "data_categories": categories,
        "channels": channels,
        "recipients": listed,
        "retention": retention,
        "honours_gpc": honours_gpc,
        "restriction_exempt": exempt,
    }
    return stated(made) | {7: {"enabled": False}, 8: {"personal": False}}.get(off, {})


def recipients(reviewed_on: str, court: str, categories: list[str] | None) -> Document:
    reviewed = {"contract": "DPA", "reviewed_on": reviewed_on}
    return {
        "mailer": {"role": "processor", "country": "DE", **reviewed, "data_categories": categories},
        "abroad": {"role": "processor", "country": "US", **reviewed, "transfer_safeguard": "clauses"},
        "court": {"role": "authority", "country": court, "disclosure_basis": "ZPO"},
        "unreviewed": {"role": "processor", "country": "DE", "contract": "DPA"},
        "loose": {"role": "processor", "country": "DE", "reviewed_on": "2026-06-01"},
        "broker": {"role": "processor", "country": "FR", **reviewed, "own_purposes": True},
        "unsafe": {"role": "processor", "country": "US", **reviewed},
    }


GENERAL: Document = {
    "identifier_types": {
        "customer": {"normalise": "exact"},
        "email": {"normalise": "exact", "channel": "email"},
        "device": {"normalise": "exact", "pseudonymous": True},
    },
    "data_categories": {
        "name": {"sources": ["subject"]},
        "orders": {"sources": ["observed"]},
        "health": {"sources": ["subject"], "special": True},
    },
}


def begun(draft: Document) -> Document:
    """A purpose before its later grounds were added."""
    is_plain = "health" not in draft["data_categories"]
    return {**draft, "grounds": draft["grounds"][:1]} if is_plain else draft


def documents(number: int, drafts: list[Document], changes: list[int]) -> list[Document]:
    """One to four versions in the order of publication; the purposes change little from one to the next."""
    twins = [*drafts, *map(begun, drafts)]
    reviews = [f"{int(day[:4]) - 1}{day[4:]}" for day in DAYS]
    options = (often(4, "EEA", "DE"), often(4, "EEA", "GB"), ("DE", "CH"), reviews, (None, ["name"]))
    home, here, court, reviewed_on, only, *held = picked(number, *options, *[range(len(twins))] * 3)
    general = {"home": home, "default_jurisdiction": here, "recipients": recipients(reviewed_on, court, only)}
    holding = dict(zip(PURPOSES, held, strict=True))
    changed = ("p", "p", "p", "q", "r")
    starts = (7, 6, 5, 4, 3, 2, -1, -2)
    material, gone = often(1, None, *PURPOSES), often(9, None, *PURPOSES)
    to_twin = [len(drafts)] * 3 + list(range(len(twins)))
    later = sorted(
        (picked(n, starts, changed, to_twin, material, gone, ("excluded", "guardian")) for n in changes),
        key=lambda change: -change[0],
    )
    versions = []
    for n, (start, name, steps, changed_materially, without, children) in enumerate(
        [(8, "p", 0, None, None, "excluded"), *later]
    ):
        if name in holding:
            holding[name] = (holding[name] + steps) % len(twins)
        holding.pop(without, None)
        version = {
            **GENERAL,
            **general,
            "version": f"v{n}",
            "effective_from": on_grid(start).isoformat(),
            "children": children,
            "material_changes": [changed_materially] if changed_materially else [],
            "purposes": {name: twins[which] for name, which in holding.items()},
        }
        assume(all(found.level != "error" for found in lint(read(version))))
        versions.append(copy.deepcopy(version))
    return versions


def read(document: Document) -> core.Catalogue:
    return READER.validate_json(json.dumps(document), strict=True)


# Histories


@dataclass(frozen=True)
class Act:
    """One request to write: `what` is choices, facts, link, unlink or erase."""

    what: str
    who: tuple[str, str]
    items: list[Document] = field(default_factory=list)
    at: datetime | None = None
    notice: str | None = None
    method: str | None = None
    to: tuple[str, str] | None = None
    is_yes: bool = False  # link: carry_consents; erase: force

    def by_people_of(self, story: str) -> "Act":
        to = None if self.to is None else (self.to[0], self.to[1] + story)
        return replace(self, who=(self.who[0], self.who[1] + story), to=to)


ACTS = ("choices",) * 12 + ("facts",) * 9 + ("link",) * 3 + ("unlink", "erase", "choices")
MEETINGS = ("choices",) * 8 + ("facts",) * 3 + ("link",) * 8 + ("unlink",) * 2 + ("erase", "choices")
CHOICES = ("give",) * 3 + ("withdraw", "object", "refuse", "request", "withdraw_objection")
FACTS = (
    "contract_started", "contract_started", "contract_ended", "sale", "sale", "enquiry", "informed", "informed",
    "restriction_started", "restriction_lifted", "child", "child", "objection_upheld", "objection_overridden",
    "objection_overridden", "consent_invalidated", "consent_invalidated",
)  # fmt: skip


def act(number: int, items: list[int], catalogue: Catalogue, kinds: Sequence[str]) -> Act:
    what, who, at, to, is_yes, n = picked(
        number, kinds, PEOPLE, INSTANTS + (None,) * 16, PEOPLE, (True, False), range(60)
    )
    if what == "choices":
        fitting = catalogue.in_force_or_first(at or NOW)
        assert fitting is not None
        notices = often(
            6, fitting.document["version"], *(v.document["version"] for v in catalogue.versions), None, "unknown"
        )
        notice = notices[n % len(notices)]
        said = [choice(item, catalogue, notice) for item in items]
        return Act("choices", who, said, at, notice, method=None if n == 50 else "web_form")
    if what == "facts":
        return Act("facts", who, [fact(item, catalogue) for item in items], at)
    return Act(what, who, to=None if what == "erase" else to, is_yes=is_yes)


def choice(number: int, catalogue: Catalogue, notice: str | None) -> Document:
    limits = often(4, None, "email", "sms", "fax")
    word, scope, limit, explicit, n, m = picked(
        number, CHOICES, (None, "all_marketing", "automation", None), limits, (False, True), range(60), range(12)
    )
    if scope and word in ("object", "withdraw_objection"):
        return stated({"choice": word, "scope": scope, "channel": limit if scope == "all_marketing" else None})
    agreed = catalogue.named(notice)
    asks = word in ("give", "request")
    askable = [name for name in MOSTLY if asks and agreed is not None and agreed.has_ground(name, "consent")]
    name = [*askable, *askable, *MOSTLY][n % (2 * len(askable) + len(MOSTLY))]
    declared = agreed.channels(name) if agreed and asks else sorted(catalogue.channels_ever(name))
    channels = (declared or [None]) * 4 + [None] * 2 + ["sms"]
    explicit = explicit and word == "give"
    return stated({"choice": word, "purpose": name, "channel": channels[m % len(channels)], "explicit": explicit})


def fact(number: int, catalogue: Catalogue) -> Document:
    categories = (None, None, ["name"], ["orders"], ["name", "health"])
    name, reference, yes, of, until, about, n = picked(
        number, FACTS, ("r1", "r2"), (True, False), categories, DAYS, MOSTLY, range(6)
    )
    channels = [None, *sorted(catalogue.channels_ever(about))]
    more: dict[str, Document] = {
        "contract_started": {"reference": reference},
        "contract_ended": {"reference": reference},
        "sale": {"reference": reference, "opt_out_offered": True, "own_similar_products": yes},
        "enquiry": {"reference": reference},
        "informed": {},
        "restriction_started": {"data_categories": of},
        "restriction_lifted": {"data_categories": of},
        "child": {"until": until, "guardian_authorised": yes},
        "objection_upheld": {"purpose": about},
        "objection_overridden": {"purpose": about, "grounds": "safety", "decided_by": "dpo"},
        "consent_invalidated": {"purpose": about, "channel": channels[n % len(channels)], "reason": "forged"},
    }
    return stated({"fact": name, **more[name]})


# Questions

JURISDICTIONS = often(9, None, "DE", "GB", "US", "US-CA", "CH")
RECIPIENTS = often(12, None, "nobody", "mailer", "mailer", "abroad", "court", "unreviewed", "loose", "broker", "unsafe")
UNDECLARED = (
    None,
    {"purpose": "gone"},
    {"channel": "push"},
    {"channel": None},
    {"data_categories": ["shoe_size", "name"]},
    {"as_of": on_grid(9)},
)


def circumstances(number: int) -> Document:
    """A question but for whom and what it is about."""
    as_of, jurisdiction, gpc, is_plain = picked(
        number, (None,) * 60 + INSTANTS, JURISDICTIONS, often(8, False, True), (True, True, False)
    )
    question = {"as_of": as_of, "jurisdiction": jurisdiction, "gpc": gpc}
    if not is_plain:
        names = ("data_categories", "recipient", "operation", "automated", "data_collected_at")
        options = (
            often(5, None, ["name"], ["orders"], ["name", "health"]),
            RECIPIENTS,
            ("use", "store", "disclose", "use"),
            (False, True),
            often(4, None, *((as_of or NOW) - steps * STEP for steps in (1, 2, 4))),
        )
        question |= dict(zip(names, picked(number // 7, *options), strict=True))
    return stated(question)


def places(catalogue: Catalogue, at: datetime) -> list[Document]:
    """Every purpose and channel that the version in force declares."""
    version = catalogue.in_force(at)
    assert version is not None
    return [
        stated({"purpose": name, "channel": channel})
        for name, declared in version.document["purposes"].items()
        for channel in declared["channels"] or [None]
    ]


@dataclass(frozen=True)
class Case:
    """A catalogue, what was recorded, and what is asked about everybody for every purpose and channel."""

    documents: list[Document]
    acts: list[Act]
    asked: list[Document]
    undeclared: Document | None = None

    def questions(self) -> list[Document]:
        catalogue = published(self.documents)
        people = sorted({*(act.who for act in self.acts), *(act.to for act in self.acts if act.to)})
        questions = [
            {"subject": who, **place, **asked}
            for asked in self.asked
            for place in places(catalogue, asked.get("as_of", NOW))
            for who in people
        ]
        return questions + [question | self.undeclared for question in questions[:1] if self.undeclared]


def published(versions: list[Document]) -> Catalogue:
    catalogue = Catalogue()
    for document in versions:
        catalogue = catalogue.publish(document, on_grid(9))
    return catalogue


def _case(
    number: int,
    drafts: list[tuple[int, list[int]]],
    changes: list[int],
    histories: list[list[tuple[int, list[int]]]],
    asked: list[int],
    kinds: Sequence[str],
) -> Case:
    versions = documents(number, [purpose(n, grounds) for n, grounds in drafts], changes)
    catalogue = published(versions)
    acts = [
        act(n, items, catalogue, kinds).by_people_of(str(of))
        for of, history in enumerate(histories)
        for n, items in history
    ]
    return Case(versions, acts, [circumstances(n) for n in asked], UNDECLARED[number % len(UNDECLARED)])


def cases_of(histories: int, kinds: Sequence[str] = ACTS) -> st.SearchStrategy[Case]:
    """Cases with as many histories of people who have nothing to do with each other; `kinds` of acts, as common."""
    history = st.lists(st.tuples(NUMBERS, st.lists(NUMBERS, min_size=1, max_size=2)), min_size=8, max_size=24)
    return st.builds(
        _case,
        NUMBERS,
        st.lists(st.tuples(NUMBERS, st.lists(NUMBERS, min_size=1, max_size=3)), min_size=2, max_size=4),
        st.lists(NUMBERS, max_size=3),
        st.lists(history, min_size=histories, max_size=histories),
        st.lists(NUMBERS, min_size=2, max_size=3),
        st.just(kinds),
    )
