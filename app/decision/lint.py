"""What lint refuses in a catalogue and what it warns of: where, what, and how to mend it."""

import re
from collections.abc import Callable, Iterable, Iterator, Set
from typing import Literal, NamedTuple

from app.decision.catalogue import CHANNELS, Basis, Catalogue, Ground, Kind, Purpose, Recipient
from app.decision.jurisdictions import is_jurisdiction, lies_within
from app.decision.period import parse_period

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+:-]{0,127}")
_SHAPE = frozenset({"bad-key", "bad-duration", "bad-jurisdiction"})
_MISNAMED = {"UK": "GB", "EL": "GR"}  # as people and EU institutions write them; ISO 3166-1 does not

_FORCED: frozenset[Basis] = frozenset({"contract", "legal_obligation", "vital_interest"})  # leave no say to the person
_NOT_FOR_KIND: dict[Kind, frozenset[Basis]] = {
    "direct_marketing": _FORCED | {"public_task"},
    "marketing_profiling": _FORCED | {"public_task"},
    "analytics": _FORCED,
    "fraud_prevention": frozenset({"contract"}),
}
_REFERENCE_NAMES: dict[Basis, str] = {
    "legal_obligation": "the statute",
    "public_task": "the statute",
    "legitimate_interest": "the assessment",
}


class Finding(NamedTuple):
    """One thing lint found: a JSON pointer (RFC 6901) to where it is or should be, a fixed code, how to mend it, and
    whether the catalogue is refused for it."""

    pointer: str
    code: str
    detail: str
    level: Literal["error", "warning"] = "error"


def lint(catalogue: Catalogue) -> list[Finding]:
    """Everything wrong with the document itself, in document order: what the law does not allow (Art. 5, 6, 9, 13, 14,
    21, 22, 28 and 44 GDPR, Art. 13 ePrivacy, PECR 22), and values that cannot be read. A disabled purpose may be
    incomplete: of it only unreadable values are found."""
    return [
        *_key(catalogue.version, "/version"),
        *_place(catalogue.home, "/home"),
        *_place(catalogue.default_jurisdiction, "/default_jurisdiction"),
        *_identifier_types(catalogue),
        *_data_categories(catalogue),
        *_recipients(catalogue),
        *_purposes(catalogue),
        *(finding for key in catalogue.measures for finding in _key(key, _pointer("measures", key))),
        *_translations(catalogue),
    ]


def lint_change(catalogue: Catalogue, previous: Catalogue | None, types_in_use: Set[str]) -> list[Finding]:
    """What the step from the version before would break: a digest made under an identifier type that is gone, or that
    is normalised differently now, would no longer find its subject, nor the person's noes."""
    found = []
    kept = previous.identifier_types if previous else {}
    for name in (name for name in kept if name in types_in_use):
        at = _pointer("identifier_types", name)
        now = catalogue.identifier_types.get(name)
        if now is None:
            detail = "Declare this identifier type again: subjects are known by it."
            found.append(Finding(at, "identifier-type-removed", detail))
        elif now.normalise != kept[name].normalise:
            detail = f"Keep `normalise: {kept[name].normalise}`: subjects are known by it; a new way needs a new type."
            found.append(Finding(f"{at}/normalise", "identifier-type-changed", detail))
    declared = catalogue.purposes.keys() | (previous.purposes.keys() if previous else set())
    for n, name in enumerate(catalogue.material_changes):
        if name not in declared:
            detail = (
                "Neither this version nor the one in force has a purpose of this name: no consent becomes outdated."
            )
            found.append(Finding(_pointer("material_changes", str(n)), "undeclared-purpose", detail, "warning"))
    return found


def _pointer(*parts: str) -> str:
    return "".join(f"/{part.replace('~', '~0').replace('/', '~1')}" for part in parts)


# Values that cannot be read


def _key(key: str, at: str) -> Iterator[Finding]:
    if _KEY.fullmatch(key) is None:
        detail = "Begin with a letter or digit, and use at most 128 of letters, digits, `_`, `.`, `+`, `:` and `-`."
        yield Finding(at, "bad-key", detail)


def _place(code: str, at: str) -> Iterator[Finding]:
    if is_jurisdiction(code):
        return
    country = code.partition("-")[0]
    detail = "Use EEA, an ISO 3166-1 code such as GB, or an ISO 3166-2 code such as US-CA."
    if country in _MISNAMED:
        detail = f"Write {_MISNAMED[country]} for {country}: it is the code of ISO 3166-1."
    yield Finding(at, "bad-jurisdiction", detail)


def _duration(text: str, at: str) -> Iterator[Finding]:
    try:
        is_positive = any(parse_period(text))
    except ValueError:
        is_positive = False
    if not is_positive:
        yield Finding(at, "bad-duration", "Use an ISO 8601 duration longer than nothing, such as P24M or P1Y6M.")


# What is declared


def _identifier_types(catalogue: Catalogue) -> Iterator[Finding]:
    for key, identifier_type in catalogue.identifier_types.items():
        at = _pointer("identifier_types", key)
        yield from _key(key, at)
        if identifier_type.channel is not None:
            yield from _channel(identifier_type.channel, f"{at}/channel")


def _channel(channel: str, at: str) -> Iterator[Finding]:
    if channel not in CHANNELS:
        yield Finding(at, "undeclared-channel", f"Use one of the channels there are: {', '.join(CHANNELS)}.")


def _data_categories(catalogue: Catalogue) -> Iterator[Finding]:
    for key, category in catalogue.data_categories.items():
        at = _pointer("data_categories", key)
        yield from _key(key, at)
        if not category.sources:
            detail = "Say where the data comes from: subject, observed, third_party or public (Art. 14(2)(f))."
            yield Finding(f"{at}/sources", "source-missing", detail)


def _translations(catalogue: Catalogue) -> Iterator[Finding]:
    for language, translation in catalogue.translations.items():
        for section in ("purposes", "data_categories", "recipients", "measures"):
            for key in getattr(translation, section):
                if key not in getattr(catalogue, section):
                    at = _pointer("translations", language, section, key)
                    detail = "Nothing of this name is declared, so these words are never shown."
                    yield Finding(at, "undeclared-translation", detail, "warning")


def _undeclared_category(at: str) -> Finding:
    return Finding(at, "undeclared-data-category", "Declare this name under data_categories, or leave it out here.")


def _recipients(catalogue: Catalogue) -> Iterator[Finding]:
    listed = {name for purpose in catalogue.purposes.values() if purpose.enabled for name in purpose.recipients}
    for key, recipient in catalogue.recipients.items():
        at = _pointer("recipients", key)
        yield from _key(key, at)
        yield from _place(recipient.country, f"{at}/country")
        if key in listed and recipient.role == "processor":
            yield from _processor(recipient, catalogue.home, at)
        elif key in listed and _is_blank(recipient.disclosure_basis):
            detail = "Name the law, assessment or consent that the disclosure to this recipient rests on (Art. 6(1))."
            yield Finding(f"{at}/disclosure_basis", "disclosure-basis-missing", detail)
        for n, name in enumerate(recipient.data_categories or ()):
            if name not in catalogue.data_categories:
                yield _undeclared_category(f"{at}/data_categories/{n}")


def _processor(recipient: Recipient, home: str, at: str) -> Iterator[Finding]:
    """Art. 28 and 44: what a processor in use must have, and must not."""
    if _is_blank(recipient.contract):
        yield Finding(f"{at}/contract", "processor-without-contract", "Name the processing contract (Art. 28(3)).")
    if recipient.own_purposes:
        detail = "End its use for own purposes, or give it the role independent_controller (Art. 28(10))."
        yield Finding(f"{at}/own_purposes", "processor-own-purposes", detail)
    are_places = is_jurisdiction(recipient.country) and is_jurisdiction(home)
    if are_places and not lies_within(recipient.country, home) and _is_blank(recipient.transfer_safeguard):
        detail = "Name the safeguard for transfers out of `home`, such as adequacy or standard clauses (Art. 44 to 46)."
        yield Finding(f"{at}/transfer_safeguard", "transfer-safeguard-missing", detail)


def _is_blank(text: str | None) -> bool:
    return text is None or not text.strip()


# Purposes


def _purposes(catalogue: Catalogue) -> Iterator[Finding]:
    if not catalogue.purposes:
        yield Finding("/purposes", "purpose-missing", "Declare at least one purpose (Art. 5(1)(b)).")
    for key, purpose in catalogue.purposes.items():
        at = _pointer("purposes", key)
        for finding in (*_key(key, at), *_purpose(catalogue, purpose, at)):
            if purpose.enabled or finding.code in _SHAPE:
                yield finding


def _purpose(catalogue: Catalogue, purpose: Purpose, at: str) -> Iterator[Finding]:
    if not purpose.grounds:
        yield Finding(f"{at}/grounds", "ground-missing", "Name the lawful basis it rests on, or disable it (Art. 6).")
    for n, ground in enumerate(purpose.grounds):
        for rule in _GROUND_RULES:
            yield from rule(ground, purpose, f"{at}/grounds/{n}")
    yield from _categories_used(catalogue, purpose, at)
    for n, channel in enumerate(purpose.channels or ()):
        yield from _channel(channel, f"{at}/channels/{n}")
    for n, name in enumerate(purpose.recipients):
        if name not in catalogue.recipients:
            detail = "Declare this name under recipients, or leave it out here."
            yield Finding(f"{at}/recipients/{n}", "undeclared-recipient", detail)
    if purpose.retention is None:
        detail = "Say how long data may be used for it, such as P2Y, or disable it (Art. 5(1)(e))."
        yield Finding(f"{at}/retention", "retention-missing", detail)
    else:
        yield from _duration(purpose.retention, f"{at}/retention")


def _categories_used(catalogue: Catalogue, purpose: Purpose, at: str) -> Iterator[Finding]:
    if not purpose.data_categories:
        detail = "Name the data it uses, or disable it (Art. 5(1)(c))."
        yield Finding(f"{at}/data_categories", "data-category-missing", detail)
    has_explicit_consent = any(ground.basis == "consent" and ground.explicit for ground in purpose.grounds)
    for n, name in enumerate(purpose.data_categories):
        category = catalogue.data_categories.get(name)
        if category is None:
            yield _undeclared_category(f"{at}/data_categories/{n}")
        elif category.special and not has_explicit_consent:
            detail = "Add a consent ground with `explicit: true`, or leave this special category out (Art. 9(2)(a))."
            yield Finding(f"{at}/data_categories/{n}", "special-category-without-explicit-consent", detail)


# Grounds


def _basis(ground: Ground, purpose: Purpose, at: str) -> Iterator[Finding]:
    if ground.basis in _NOT_FOR_KIND.get(purpose.kind, ()):
        detail = f"Rest a purpose of kind {purpose.kind} on another basis than {ground.basis} (Art. 6(1))."
        yield Finding(f"{at}/basis", "basis-not-for-kind", detail)
    if ground.basis != "legitimate_interest" or purpose.kind != "automated_decision":
        return
    if ground.jurisdictions is None or not all(lies_within(area, "GB") for area in ground.jurisdictions):
        detail = "Rest it on explicit consent, contract or law, or limit this ground to jurisdiction GB (Art. 22(2))."
        yield Finding(f"{at}/basis", "automated-decision-on-legitimate-interest", detail)


def _reference(ground: Ground, _: Purpose, at: str) -> Iterator[Finding]:
    if ground.basis in _REFERENCE_NAMES and _is_blank(ground.reference):
        detail = f"Name {_REFERENCE_NAMES[ground.basis]} that this {ground.basis} ground rests on (Art. 5(2))."
        yield Finding(f"{at}/reference", "reference-missing", detail)


def _jurisdictions(ground: Ground, purpose: Purpose, at: str) -> Iterator[Finding]:
    if ground.jurisdictions is None:
        return
    if not ground.jurisdictions:
        detail = "Name at least one jurisdiction, or leave the list out: the ground then applies everywhere."
        yield Finding(f"{at}/jurisdictions", "bad-jurisdiction", detail)
    elif ground.basis == "consent" and any(_is_wider(other, ground.jurisdictions) for other in purpose.grounds):
        detail = "A wider ground of another basis applies here too, without consent; limit it if consent is to decide."
        yield Finding(f"{at}/jurisdictions", "consent-jurisdiction-beside-wider-ground", detail, "warning")
    for n, area in enumerate(ground.jurisdictions):
        yield from _place(area, f"{at}/jurisdictions/{n}")


def _is_wider(ground: Ground, places: Iterable[str]) -> bool:
    """Whether a ground of another basis than consent reaches beyond one of the places and includes it."""
    if ground.basis == "consent" or ground.jurisdictions is None:
        return ground.basis != "consent"
    return any(place != area and lies_within(place, area) for place in places for area in ground.jurisdictions)


def _evidence(ground: Ground, purpose: Purpose, at: str) -> Iterator[Finding]:
    """Art. 13(2) ePrivacy and PECR 22(3): without consent, e-mail and SMS need a sale."""
    if ground.basis != "legitimate_interest" or ground.evidence == "sale" or purpose.kind != "direct_marketing":
        return
    is_electronic = not {"email", "sms"}.isdisjoint(purpose.channels or ())
    if is_electronic and _reaches_eprivacy(ground, purpose):
        detail = "Ask for `evidence: sale`, or keep this ground out of EEA and GB (Art. 13(2) ePrivacy, PECR 22(3))."
        yield Finding(f"{at}/evidence", "electronic-marketing-without-sale", detail)


def _reaches_eprivacy(ground: Ground, purpose: Purpose) -> bool:
    """Whether it is the ground that answers somewhere in EEA or GB. Where it names a place, no other is closer there;
    where it applies everywhere, closer ones of its basis for both leave it nothing."""
    if ground.jurisdictions is None:
        alike = [other for other in purpose.grounds if other.basis == ground.basis]
        return not {area for other in alike for area in other.jurisdictions or ()} >= {"EEA", "GB"}
    return any(lies_within(area, "EEA") or lies_within(area, "GB") for area in ground.jurisdictions)


def _expiry(ground: Ground, purpose: Purpose, at: str) -> Iterator[Finding]:
    if ground.expires_after is not None:
        yield from _duration(ground.expires_after, f"{at}/expires_after")
    elif ground.basis == "consent" and purpose.kind == "direct_marketing":
        detail = "Say how long the consent lasts, such as P24M: people forget what they agreed to."
        yield Finding(f"{at}/expires_after", "consent-without-expiry", detail, "warning")


def _explicit(ground: Ground, purpose: Purpose, at: str) -> Iterator[Finding]:
    if purpose.kind == "automated_decision" and ground.basis == "consent" and not ground.explicit:
        yield Finding(f"{at}/explicit", "explicit-missing", "Say `explicit: true` (Art. 22(2)(c)).")


def _assessment(ground: Ground, purpose: Purpose, at: str) -> Iterator[Finding]:
    if ground.standing_assessment is not None and purpose.kind != "fraud_prevention":
        detail = "Leave it out: outside fraud_prevention each objection is decided on its own (Art. 21(1))."
        yield Finding(f"{at}/standing_assessment", "standing-assessment-not-fraud", detail)


_Rule = Callable[[Ground, Purpose, str], Iterator[Finding]]
_GROUND_RULES: tuple[_Rule, ...] = (_basis, _reference, _jurisdictions, _evidence, _expiry, _explicit, _assessment)
