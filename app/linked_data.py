"""The catalogue and a person's choices as linked data: W3C Data Privacy Vocabulary 2.3, records as in ISO/IEC TS 27560.
Pure."""

from datetime import datetime
from typing import Any

from app.decision.catalogue import Catalogue, Ground, Purpose, Recipient, Timeline

PREFIXES = {
    "dpv": "https://w3id.org/dpv#",
    "pd": "https://w3id.org/dpv/pd#",
    "eu-gdpr": "https://w3id.org/dpv/legal/eu/gdpr#",
    "tech": "https://w3id.org/dpv/tech#",
    "dct": "http://purl.org/dc/terms/",
}
RECORD = "https://w3id.org/dpv/schema/dpv-27560#record-eu-gdpr"

_BASES = {
    "consent": ["dpv:ExpressedConsent", "eu-gdpr:A6-1-a"],
    "contract": ["dpv:ContractPerformance", "eu-gdpr:A6-1-b-contract-performance"],
    "legal_obligation": ["dpv:LegalObligation", "eu-gdpr:A6-1-c"],
    "vital_interest": ["dpv:VitalInterestOfDataSubject", "eu-gdpr:A6-1-d"],
    "public_task": ["dpv:PublicInterest", "eu-gdpr:A6-1-e"],
    "legitimate_interest": ["dpv:LegitimateInterestOfController", "eu-gdpr:A6-1-f-controller"],
}
_EXPLICIT = ["dpv:ExplicitlyExpressedConsent", "eu-gdpr:A6-1-a-explicit-consent"]
_STATUSES = {
    None: "dpv:ConsentUnknown",
    "requested": "dpv:ConsentRequested",
    "given": "dpv:ConsentGiven",
    "refused": "dpv:ConsentRefused",
    "withdrawn": "dpv:ConsentWithdrawn",
    "expired": "dpv:ConsentExpired",
    "outdated": "dpv:ConsentInvalidated",
    "invalidated": "dpv:ConsentInvalidated",
    "objected": "dpv:LegitimateInterestObjected",
}
_SOURCES = {
    "subject": "dpv:DataSubjectDataSource",
    "observed": "dpv:DataControllerDataSource",
    "third_party": "dpv:ThirdPartyDataSource",
    "public": "dpv:PublicDataSource",
}
_ROLES = {"processor": "dpv:DataProcessor", "independent_controller": "dpv:ThirdParty", "authority": "dpv:Authority"}
_SAFEGUARDS = {"adequacy": "eu-gdpr:A45-3", "scc": "eu-gdpr:A46-2-c"}


def _document(content: dict[str, Any]) -> dict[str, Any]:
    return {"@context": PREFIXES, **content}


# The catalogue


def of_catalogue(catalogue: Catalogue) -> dict[str, Any]:
    """What the notice says, one process per purpose."""
    processes = [_process(catalogue, key, purpose) for key, purpose in catalogue.purposes.items() if purpose.enabled]
    measures = [
        {"@type": list(measure.dpv), "dct:title": measure.title or key} for key, measure in catalogue.measures.items()
    ]
    return _document(
        {
            "@type": "dpv:PrivacyNotice",
            "dct:identifier": catalogue.version,
            "dct:title": catalogue.notice.title if catalogue.notice else None,
            "dpv:hasDataController": _controller(catalogue),
            "dpv:hasProcess": processes,
            "dpv:hasTechnicalOrganisationalMeasure": measures,
        }
    )


def _controller(catalogue: Catalogue) -> dict[str, Any] | None:
    told = catalogue.controller
    if told is None:
        return None
    return {
        "@type": "dpv:DataController",
        "dpv:hasName": told.name,
        "dpv:hasAddress": told.address,
        "dpv:hasContact": told.contact,
    }


def _process(catalogue: Catalogue, key: str, purpose: Purpose) -> dict[str, Any]:
    return {
        "@type": "dpv:Process",
        "dct:identifier": key,
        "dct:title": purpose.title or key,
        "dpv:hasPurpose": list(purpose.dpv),
        "dpv:hasPersonalData": [_data(catalogue, category) for category in purpose.data_categories],
        "dpv:hasLegalBasis": [_ground(ground) for ground in purpose.grounds],
        "dpv:hasRecipient": [_recipient(r, catalogue.recipients[r]) for r in purpose.recipients],
        "dpv:hasStorageCondition": {"@type": "dpv:StorageDuration", "dpv:hasDuration": purpose.retention},
        "dpv:hasConsentControl": [{"@type": control} for control in _controls(purpose)],
    }


def _data(catalogue: Catalogue, key: str) -> dict[str, Any]:
    category = catalogue.data_categories[key]
    types = [*category.dpv, *(["dpv:SpecialCategoryPersonalData"] if category.special else [])]
    return {
        "@type": types,
        "dct:identifier": key,
        "dpv:hasDataSource": [_SOURCES[source] for source in category.sources],
    }


def _ground(ground: Ground) -> dict[str, Any]:
    return {
        "@type": _EXPLICIT if ground.explicit and ground.basis == "consent" else _BASES[ground.basis],
        "dct:identifier": ground.reference,
        "dpv:hasJurisdiction": list(ground.jurisdictions or ()),
    }


def _recipient(key: str, recipient: Recipient) -> dict[str, Any]:
    safeguard = _SAFEGUARDS.get(recipient.transfer_safeguard or "")
    return {
        "@type": list(dict.fromkeys([_ROLES[recipient.role], *recipient.dpv])),
        "dct:identifier": key,
        "dpv:hasLocation": recipient.country,
        "dpv:hasLegalBasis": [safeguard] if safeguard else [],
    }


def _controls(purpose: Purpose) -> list[str]:
    if purpose.rests_on("consent"):
        return ["dpv:ProvideConsent", "dpv:RefuseConsent", "dpv:WithdrawConsent"]
    return ["dpv:ObjectingToProcess"] if purpose.rests_on("legitimate_interest", "public_task") else []


# A person


def of_person(exported: dict[str, Any], timeline: Timeline, now: datetime) -> dict[str, Any]:
    """What a person decided, one record per purpose and channel, each status with when and how it came about; then what
    services were told about the person, as far as the decision log has it."""
    records = [
        _record(standing, exported, timeline, now)
        for standing in exported["subject"]["standings"]
        if standing["version"]
    ]
    return _document({"@graph": [*records, *(_answer(answer, timeline) for answer in exported["decisions"])]})


def _record(standing: dict[str, Any], exported: dict[str, Any], timeline: Timeline, now: datetime) -> dict[str, Any]:
    key, channel, subject_id = standing["purpose"], standing["channel"], exported["subject"]["subject_id"]
    agreed = _agreed(standing, exported, timeline, now)
    purpose = agreed.purposes.get(key) or timeline.purpose_at(key, now)
    process = (
        _process(agreed, key, purpose) if purpose is not None and key in agreed.purposes else {"dct:identifier": key}
    )
    return {
        "@type": "dpv:ConsentRecord" if standing["basis"] == "consent" else "dpv:Process",
        "dct:conformsTo": RECORD,
        "dct:identifier": f"{subject_id}/{key}/{channel or ''}",
        "dpv:hasDataSubject": {"@type": "dpv:DataSubject", "dct:identifier": subject_id},
        "dpv:hasDataController": _controller(agreed),
        "dpv:hasNotice": {
            "@type": "dpv:ConsentNotice",
            "dct:identifier": agreed.version,
            "dct:source": agreed.notice.url if agreed.notice else None,
        },
        "dpv:hasJurisdiction": agreed.default_jurisdiction,
        "dpv:hasProcess": process,
        "dpv:hasRight": ["eu-gdpr:A7-3", "eu-gdpr:A15", "eu-gdpr:A17", "eu-gdpr:A20", "eu-gdpr:A21", "eu-gdpr:A77"],
        "dpv:hasConsentStatus": [
            told
            for event in exported["events"]
            for row in event["standings"]
            if row["effective"] and (row["purpose"], row["channel"]) == (key, channel)
            for told in [_status(event, row["status"], subject_id)]
        ],
    }


def _agreed(standing: dict[str, Any], exported: dict[str, Any], timeline: Timeline, now: datetime) -> Catalogue:
    """The notice that counts for a standing: the one agreed to, else the one in force."""
    event = next((e for e in exported["events"] if e["event_id"] == standing["event_id"]), None)
    named = timeline.named(event["details"].get("notice") or "") if event is not None else None
    agreed = named or timeline.judging(now)
    assert agreed is not None, "whoever has a standing had a catalogue"
    return agreed


def _status(event: dict[str, Any], status: str | None, subject_id: str) -> dict[str, Any]:
    details = event["details"]
    by_person = details.get("actor") in (None, "subject")
    return {
        "@type": _STATUSES[status],
        "dct:identifier": event["event_id"],
        "dpv:isIndicatedAtTime": event["occurred_at"],
        "dpv:isIndicatedBy": {"dct:identifier": subject_id} if by_person else {"dct:type": details["actor"]},
        "dpv:hasIndicationMethod": details.get("method"),
        "dct:language": details.get("language"),
    }


def _answer(answer: dict[str, Any], timeline: Timeline) -> dict[str, Any]:
    """What a service was told: when, about which purpose under which notice, yes or no and why, and on which basis."""
    catalogue = timeline.named(answer["catalogue_version"] or "")
    purpose = catalogue.purposes.get(answer["purpose"]) if catalogue else None
    recipient = catalogue.recipients.get(answer["recipient"]) if catalogue else None
    return {
        "@type": "dpv:Process",
        "dct:identifier": answer["decision_id"],
        "dct:date": answer["answered_at"],
        "dct:audience": {"dct:identifier": answer["key_id"], "dct:title": answer["caller"]},
        "dct:type": "yes" if answer["decision"] else "no",
        "dct:description": answer["reason"],
        "dpv:hasDataSubject": {"@type": "dpv:DataSubject", "dct:identifier": answer["subject_id"]},
        "dpv:hasNotice": {"@type": "dpv:PrivacyNotice", "dct:identifier": answer["catalogue_version"]},
        "dpv:hasPurpose": {"@type": list(purpose.dpv) if purpose else [], "dct:identifier": answer["purpose"]},
        "dpv:hasProcessing": {"dct:identifier": answer["operation"], "dct:subject": answer["channel"]},
        "dpv:hasRecipient": [_recipient(answer["recipient"], recipient)] if recipient else [],
        "dpv:hasLegalBasis": _BASES.get(answer["basis"], []),
    }
