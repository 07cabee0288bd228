"""The catalogue: a privacy notice as data, one immutable version per published notice, and which version is in
force."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal

from app.decision.jurisdictions import closeness

Basis = Literal["consent", "contract", "legal_obligation", "legitimate_interest", "vital_interest", "public_task"]
Kind = Literal[
    "service",
    "direct_marketing",
    "marketing_profiling",
    "automated_decision",
    "analytics",
    "fraud_prevention",
    "legal",
]
Evidence = Literal["contract", "sale", "enquiry", "informed"]

CHANNELS = ("email", "sms", "post", "phone", "push", "on_site")
MARKETING: frozenset[Kind] = frozenset({"direct_marketing", "marketing_profiling"})
OBJECTABLE: frozenset[Basis] = frozenset({"legitimate_interest", "public_task"})  # Art. 21(1)

_REFUSE_UNKNOWN_KEYS = {"extra": "forbid"}


@dataclass(frozen=True, slots=True)
class StandingAssessment:
    """An approved assessment that overrides objections until its date (00:00 UTC); fraud prevention only."""

    __pydantic_config__ = _REFUSE_UNKNOWN_KEYS
    reference: str
    until: date


@dataclass(frozen=True, slots=True)
class Ground:
    """One lawful basis on which one purpose rests, with its conditions (Art. 6(1))."""

    __pydantic_config__ = _REFUSE_UNKNOWN_KEYS
    basis: Basis
    reference: str | None = None
    jurisdictions: tuple[str, ...] | None = None
    evidence: Evidence | None = None
    expires_after: str | None = None
    explicit: bool = False
    standing_assessment: StandingAssessment | None = None


@dataclass(frozen=True, slots=True)
class Purpose:
    """What data is used for."""

    __pydantic_config__ = _REFUSE_UNKNOWN_KEYS
    kind: Kind
    title: str | None = None
    description: str | None = None
    enabled: bool = True
    grounds: tuple[Ground, ...] = ()
    data_categories: tuple[str, ...] = ()
    channels: tuple[str, ...] | None = None
    recipients: tuple[str, ...] = ()
    retention: str | None = None
    dpv: tuple[str, ...] = ()
    notice_lines: tuple[int, ...] = ()
    personal: bool = True
    honours_gpc: bool = False
    restriction_exempt: Literal["claims", "rights_of_others", "public_interest"] | None = None

    def grounds_in(self, jurisdiction: str) -> tuple[Ground, ...]:
        """The grounds that apply there: within one basis a closer ground replaces a wider one."""
        if all(ground.jurisdictions is None for ground in self.grounds):
            return self.grounds
        placed = [(closeness(ground.jurisdictions, jurisdiction), ground) for ground in self.grounds]
        closest: dict[str, int] = {}
        for near, ground in placed:
            closest[ground.basis] = max(near, closest.get(ground.basis, 0))
        return tuple(ground for near, ground in placed if near == closest[ground.basis])

    def rests_on(self, *bases: str) -> bool:
        """Whether any of its grounds, wherever it applies, has one of the bases."""
        return any(ground.basis in bases for ground in self.grounds)


@dataclass(frozen=True, slots=True)
class DataCategory:
    """What is used."""

    __pydantic_config__ = _REFUSE_UNKNOWN_KEYS
    title: str | None = None
    description: str | None = None
    sources: tuple[Literal["subject", "observed", "third_party", "public"], ...] = ()
    dpv: tuple[str, ...] = ()
    special: bool = False
    notice_lines: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Recipient:
    """A third party data may go to."""

    __pydantic_config__ = _REFUSE_UNKNOWN_KEYS
    role: Literal["processor", "independent_controller", "authority"]
    country: str
    title: str | None = None
    description: str | None = None
    contract: str | None = None
    reviewed_on: date | None = None
    own_purposes: bool = False
    transfer_safeguard: str | None = None
    disclosure_basis: str | None = None
    data_categories: tuple[str, ...] | None = None
    dpv: tuple[str, ...] = ()
    notice_lines: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class IdentifierType:
    """How an identifier of this type is normalised before it is hashed."""

    __pydantic_config__ = _REFUSE_UNKNOWN_KEYS
    normalise: Literal["exact", "email", "phone"]
    channel: str | None = None
    pseudonymous: bool = False


@dataclass(frozen=True, slots=True)
class Notice:
    """The published text this version is made from, per language the SHA-256 of its text."""

    __pydantic_config__ = _REFUSE_UNKNOWN_KEYS
    title: str | None = None
    url: str | None = None
    language_versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Controller:
    """Who is responsible (Art. 4(7)), for receipts and the Art. 30 record."""

    __pydantic_config__ = _REFUSE_UNKNOWN_KEYS
    name: str
    address: str | None = None
    contact: str | None = None


@dataclass(frozen=True, slots=True)
class Wording:
    """A translated title and description."""

    __pydantic_config__ = _REFUSE_UNKNOWN_KEYS
    title: str | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Translation:
    """The catalogue's words in one language."""

    __pydantic_config__ = _REFUSE_UNKNOWN_KEYS
    purposes: dict[str, Wording] = field(default_factory=dict)
    data_categories: dict[str, Wording] = field(default_factory=dict)
    recipients: dict[str, Wording] = field(default_factory=dict)
    measures: dict[str, Wording] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Measure:
    """A security measure, for the Art. 30 record."""

    __pydantic_config__ = _REFUSE_UNKNOWN_KEYS
    title: str | None = None
    description: str | None = None
    dpv: tuple[str, ...] = ()
    notice_lines: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Catalogue:
    """One version: everything a decision may rest on besides the person and the clock. Equal only to itself."""

    __pydantic_config__ = _REFUSE_UNKNOWN_KEYS
    version: str
    purposes: dict[str, Purpose]
    effective_from: datetime | None = None
    notice: Notice | None = None
    controller: Controller | None = None
    material_changes: tuple[str, ...] = ()
    home: str = "EEA"
    default_jurisdiction: str = "EEA"
    children: Literal["excluded", "guardian"] = "excluded"
    identifier_types: dict[str, IdentifierType] = field(default_factory=dict)
    data_categories: dict[str, DataCategory] = field(default_factory=dict)
    recipients: dict[str, Recipient] = field(default_factory=dict)
    translations: dict[str, Translation] = field(default_factory=dict)
    measures: dict[str, Measure] = field(default_factory=dict)

    def is_pseudonymous(self, identifier_type: str) -> bool:
        """Whether identifiers of a type name a device and no person."""
        declared = self.identifier_types.get(identifier_type)
        return declared is not None and declared.pseudonymous

    def wording(self, purpose: str, language: str) -> Wording:
        """What people are shown of a purpose: translated where there is a translation, else as it stands."""
        translation = self.translations.get(language)
        translated = translation.purposes.get(purpose) if translation is not None else None
        own = self.purposes[purpose]
        title, description = (translated.title, translated.description) if translated is not None else (None, None)
        return Wording(title or own.title or purpose, description or own.description)


class Timeline:
    """The published versions and which of them is in force at an instant: the latest `effective_from` at or before it,
    ties to the later published. A published version always has an `effective_from`."""

    def __init__(self, published: Iterable[Catalogue]) -> None:
        self._published = list(published)
        self._ordered = sorted(self._published, key=_start)  # stable: publication order decides ties
        self._starts = [_start(catalogue) for catalogue in self._ordered]
        self._index = {catalogue.version: n for n, catalogue in enumerate(self._ordered)}

    def __bool__(self) -> bool:
        return bool(self._ordered)

    @property
    def versions(self) -> tuple[Catalogue, ...]:
        """All versions in the order in which they come into force."""
        return tuple(self._ordered)

    def first(self, count: int) -> "Timeline":
        """The timeline when only so many versions were published."""
        return Timeline(self._published[:count])

    def is_as_before(self, count: int, until: datetime) -> bool:
        """Whether all up to an instant is judged as when only so many versions were published."""
        if count == len(self._published):
            return True
        before, since = self._published[:count], self._published[count:]
        return bool(before) and min(map(_start, since)) > max(until, min(map(_start, before)))

    def named(self, version: str) -> Catalogue | None:
        """The version of that name."""
        n = self._index.get(version)
        return None if n is None else self._ordered[n]

    def was_in_force(self, version: str, at: datetime) -> bool:
        """Whether a version had come into force by an instant; True as well for one that never was published."""
        n = self._index.get(version)
        return n is None or self._starts[n] <= at

    def in_force(self, at: datetime) -> Catalogue | None:
        """The version in force at an instant, None before the first."""
        n = bisect_right(self._starts, at)
        return self._ordered[n - 1] if n else None

    def judging(self, at: datetime) -> Catalogue | None:
        """The version by which something said at an instant is judged: that in force then, else the earliest."""
        return self.in_force(at) or (self._ordered[0] if self._ordered else None)

    def next_start(self, at: datetime) -> datetime | None:
        """When the next version comes into force after an instant."""
        n = bisect_right(self._starts, at)
        return self._starts[n] if n < len(self._starts) else None

    def in_force_between(self, start: datetime, end: datetime) -> list[Catalogue]:
        """Every version that was in force at some moment from `start` to `end`, both included."""
        first = max(bisect_right(self._starts, start) - 1, 0)
        last = bisect_right(self._starts, end)
        reigned = self._ordered[first:last]
        if len(reigned) == 1:
            return reigned
        return [
            c
            for c, heir in zip(reigned, [*reigned[1:], None], strict=True)
            if heir is None or _start(heir) != _start(c)
        ]

    def since(self, version: str, until: datetime) -> list[Catalogue]:
        """The versions that came into force after the named one, up to an instant."""
        return self._ordered[self._index[version] + 1 : bisect_right(self._starts, until)]

    def with_purpose(self, purpose: str) -> list[Catalogue]:
        """Every version that has or had the purpose."""
        return [catalogue for catalogue in self._ordered if purpose in catalogue.purposes]

    def purpose_at(self, purpose: str, at: datetime) -> Purpose | None:
        """The purpose as the version in force at an instant has it, else as the latest version that had it."""
        current = self.in_force(at)
        if current is not None and purpose in current.purposes:
            return current.purposes[purpose]
        having = self.with_purpose(purpose)
        return having[-1].purposes[purpose] if having else None


def _start(catalogue: Catalogue) -> datetime:
    assert catalogue.effective_from is not None, "a published version has an effective_from"
    return catalogue.effective_from
