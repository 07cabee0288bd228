"""How a caller names a subject, and the digests under which an identifier is looked up."""

from typing import NamedTuple

from app import crypto
from app.crypto import Secrets
from app.decision.catalogue import Catalogue, IdentifierType
from app.decision.refusal import Fault, Invalid
from app.normalising import IdentifierError, normalise


class Subject(NamedTuple):
    """A subject as a caller names it: by an identifier (type and id), or by its subject_id; or as a link does, by type
    and `identifier_hash`. `pointer` is where the request names it: an object, or the id `alone`."""

    type: str | None = None
    id: str | None = None
    subject_id: str | None = None
    pointer: str = "/subject"
    hashed: bytes | None = None
    alone: bool = False

    def __repr__(self) -> str:
        return "Subject(...)"  # an identifier is never shown by accident


class Address(NamedTuple):
    """An identifier ready for look-up: its digests, the first under the current secret key. `normalised` is None where
    only a link named it."""

    type: str
    normalised: str | None
    digests: tuple[bytes, ...]

    def __repr__(self) -> str:
        return "Address(...)"


def address_of(subject: Subject, catalogue: Catalogue, secrets: Secrets) -> Address:
    """Normalise and hash an identifier. Raises Invalid for an undeclared type or an id that does not normalise."""
    assert subject.type is not None
    if subject.hashed is not None:
        return Address(subject.type, None, tuple(secrets.digests_of(subject.hashed)))
    normalised = _normalised(subject, catalogue)
    return Address(subject.type, normalised, tuple(secrets.identifier_digests(subject.type, normalised)))


def address_hash(subject: Subject, catalogue: Catalogue) -> bytes:
    """The `identifier_hash` of an identifier, for a link. Raises Invalid like `address_of`."""
    assert subject.type is not None
    return crypto.identifier_hash(subject.type, _normalised(subject, catalogue))


def _normalised(subject: Subject, catalogue: Catalogue) -> str:
    assert subject.type is not None and subject.id is not None
    declared = identifier_type(subject.type, catalogue, pointer=f"{subject.pointer}/type")
    try:
        return normalise(declared.normalise, subject.id)
    except IdentifierError as error:
        pointer = subject.pointer if subject.alone else f"{subject.pointer}/id"
        raise Invalid(Fault(pointer, "invalid-identifier", str(error))) from None


def identifier_type(name: str, catalogue: Catalogue, *, pointer: str) -> IdentifierType:
    """An identifier type as the catalogue declares it. Raises Invalid, naming the place in the request."""
    declared = catalogue.identifier_types.get(name)
    if declared is None:
        known = ", ".join(sorted(catalogue.identifier_types)) or "none"
        detail = f"The catalogue declares no such identifier type; it declares: {known}."
        raise Invalid(Fault(pointer, "unknown-identifier-type", detail))
    return declared
