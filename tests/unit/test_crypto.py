"""Identifiers, digests, seals, API keys, ids."""

import os
import pickle
import re
import unicodedata
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import crypto
from app.crypto import SealBroken, Secrets
from app.normalising import IdentifierError, normalise

OLD, NEW, OTHER = (bytes([n]) * 32 for n in (1, 2, 3))
KINDS = ("exact", "email", "phone")

# Computed from RFC 5869 and RFC 2104 with the standard library alone, for the key 00 01 .. 1f.
IDENTIFIER = "8d1767970d12af0f5baaf2dac95f61b26c75b9c55a678fdeedd561afefd00537"
REFERENCE = "99f90859aa52b0d7347e7abf33aff101fa5ad7506d62e8f178690ee0ba249ee7"
FINGERPRINT = "ddb9ca9c1d0340ff"
CHAIN = "8b1c982a69bbbe1845d0fee3eb334aad9a0bbd053c52378e18e9a7d1504fa3d1"


@pytest.mark.parametrize(
    ("kind", "given_", "expected"),
    [
        ("exact", " c-42\r\n", "c-42"),
        ("exact", "\u3000C-42\xa0", "C-42"),
        ("exact", "Ame\u0301lie", "Am\xe9lie"),
        ("exact", "x" * 512, "x" * 512),
        ("email", "  Ada@Example.COM ", "ada@example.com"),
        ("email", "Ada.L+News@example.com", "ada.l+news@example.com"),
        ("email", "ada@B\xfccher.example", "ada@xn--bcher-kva.example"),
        ("email", "ada@XN--BCHER-KVA.example", "ada@xn--bcher-kva.example"),
        ("email", "ada@stra\xdfe.example", "ada@xn--strae-oqa.example"),
        ("email", "ada@\uff45xample\u3002com", "ada@example.com"),
        ("email", "root@localhost", "root@localhost"),
        ("email", "J\u030c@example.com", "\u01f0@example.com"),
        ("email", "\u0414\u0418\u041c\u0410@example.com", "\u0434\u0438\u043c\u0430@example.com"),
        ("phone", " +4915112345678 ", "+4915112345678"),
        ("phone", "+1234567", "+1234567"),
        ("phone", "+123456789012345", "+123456789012345"),
    ],
)
def test_one_form_of_an_identifier(kind, given_, expected):
    assert normalise(kind, given_) == expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "text",
    ["", "   ", "a\0b", "a\nb", "a\x7fb", "\x1fab", "ab\x85c", "a\ud800", "x" * 513, " " * 513, "\u0958" * 257],
)
def test_what_no_identifier_is(kind, text):
    with pytest.raises(IdentifierError):
        normalise(kind, text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "ada",
            "@example.com",
            "ada@",
            "a@b@example.com",
            '"a@b"@example.com',
            "a da@example.com",
            "ada @example.com",
        ),
        *("ada@ example.com", "ada@exa mple.com", "ada@exam_ple.com", "ada@-example.com", "ada@example-.com"),
        *(
            "ada@example..com",
            "ada@.example.com",
            "ada@example.com.",
            "ada@[127.0.0.1]",
            "ada@example.com:25",
            "ada@xn--a",
        ),
        *(f"ada@{'a' * 64}.com", f"ada@{'a.' * 127}com", "\ufeffada@example.com", "a\u200bda@example.com"),
        *("a\u2028b@example.com", "ada@a\u2024b.com/", "ada@ex<ample.com"),
    ],
)
def test_what_no_email_address_is(text):
    with pytest.raises(IdentifierError):
        normalise("email", text)


@pytest.mark.parametrize(
    "text",
    [
        *("4915112345678", "+0123456789", "+123456", "+1234567890123456", "+49 151 12345678", "+49-151-1234567"),
        *("0049151123456", "+49151123456x", "+\u0664\u0669\u0661\u0665\u0661\u0661\u0662", "tel:+49151123456", "+"),
    ],
)
def test_what_no_phone_number_is(text):
    with pytest.raises(IdentifierError):
        normalise("phone", text)


@given(kind=st.sampled_from(KINDS), text=st.text(max_size=600) | st.emails() | st.from_regex(r"\+[0-9]{5,16}"))
def test_normalising_twice_changes_nothing(kind, text):
    try:
        once = normalise(kind, text)
    except IdentifierError:
        return
    assert normalise(kind, once) == once
    assert 1 <= len(once) <= 512
    assert unicodedata.is_normalized("NFC", once)
    assert "\0" not in once


@given(local=st.text(min_size=1, max_size=40), domain=st.text(min_size=1, max_size=40))
def test_any_address_has_a_plain_ascii_host(local, domain):
    try:
        address = normalise("email", f"{local}@{domain}")
    except IdentifierError:
        return
    assert re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)*", address.rpartition("@")[2])
    assert address.count("@") == 1


@given(kind=st.sampled_from(KINDS), text=st.text(alphabet="q\xfc\0\n@ \ud800", min_size=4, max_size=600))
def test_a_refusal_does_not_repeat_the_identifier(kind, text):
    text += "\0"
    with pytest.raises(IdentifierError) as refused:
        normalise(kind, text)
    assert text not in str(refused.value)
    assert "q" not in str(refused.value)


def test_digests_depend_on_type_id_and_key():
    secrets = Secrets(NEW)
    digests = {
        secrets.identifier_digests("email", "a")[0],
        secrets.identifier_digests("email", "b")[0],
        secrets.identifier_digests("emaila", "")[0],
        secrets.identifier_digests("customer", "a")[0],
        Secrets(OLD).identifier_digests("email", "a")[0],
        bytes.fromhex(secrets.reference_digests("email\0a")[0]),
        secrets.cursor_tags(b"email\0a")[0],
    }
    assert len(digests) == 7
    assert {len(digest) for digest in digests} == {32}
    with pytest.raises(ValueError, match="NUL"):
        secrets.identifier_digests("email\0", "a")


def test_digests_stay_what_they_are():
    """A stored digest must be found again by every later version."""
    secrets = Secrets(bytes(range(32)))
    assert secrets.identifier_digests("email", "ada@example.com")[0].hex() == IDENTIFIER
    assert secrets.reference_digests("order-1")[0] == REFERENCE
    assert secrets.fingerprints == [FINGERPRINT]
    assert crypto.chain_digest(crypto.GENESIS, b"{}").hex() == CHAIN


def test_rotation_finds_and_opens_what_is_older():
    before, after = Secrets(OLD), Secrets(NEW, [OLD])
    for name, arguments in (
        ("identifier_digests", ("email", "a")),
        ("reference_digests", ("order-1",)),
        ("cursor_tags", (b"x",)),
    ):
        [old] = getattr(before, name)(*arguments)
        found = getattr(after, name)(*arguments)
        assert len(found) == 2
        assert found[0] == getattr(Secrets(NEW), name)(*arguments)[0]
        assert found[1] == old
    assert after.unseal(before.seal(b"value", b"place"), b"place") == b"value"
    assert Secrets(NEW).unseal(after.seal(b"value", b"place"), b"place") == b"value"
    assert len(Secrets(NEW, [NEW, OLD]).fingerprints) == 2


def test_what_a_link_knows_of_an_identifier_gives_its_digests():
    secrets = Secrets(NEW, [OLD])
    hashed = crypto.identifier_hash("email", "a")
    assert secrets.digests_of(hashed) == secrets.identifier_digests("email", "a")


@given(content=st.binary(min_size=1, max_size=74))
def test_a_token_reads_as_what_was_written(content):
    secrets = Secrets(NEW, [OLD])
    token = secrets.write_token("link", content, "here")
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,120}", token)
    assert secrets.write_token("link", content, "here") == token
    assert secrets.read_token("link", token, "here") == content
    assert Secrets(OTHER, [NEW]).read_token("link", token, "here") == content, "after a rotation too"
    assert len(content) < 6 or content not in crypto.from_base64url(token)


@given(data=st.data())
def test_no_other_text_is_a_token(data):
    secrets = Secrets(NEW, [OLD])
    token = secrets.write_token("link", b"content of a token", "here")
    at = data.draw(st.integers(0, len(token) - 1))
    flipped = (
        token[:at] + data.draw(st.sampled_from("AZaz09-_\xe9 =").filter(lambda c: c != token[at])) + token[at + 1 :]
    )
    for text in (flipped, token[:at], token + "A", token + "=", data.draw(st.text(max_size=130)), "A" * 5000):
        assert secrets.read_token("link", text, "here") is None
    assert secrets.read_token("undo", token, "here") is None
    assert secrets.read_token("link", token) is None
    assert Secrets(OTHER).read_token("link", token, "here") is None


@given(plaintext=st.binary(max_size=300), context=st.binary(max_size=60))
def test_a_seal_opens_to_what_was_sealed(plaintext, context):
    secrets = Secrets(NEW)
    sealed = secrets.seal(plaintext, context)
    assert secrets.unseal(sealed, context) == plaintext
    assert sealed != secrets.seal(plaintext, context)
    with pytest.raises(SealBroken):
        secrets.unseal(sealed, context + b"x")
    with pytest.raises(SealBroken):
        Secrets(OTHER, [OLD]).unseal(sealed, context)


@given(data=st.data())
def test_a_seal_that_was_touched_does_not_open(data):
    secrets = Secrets(NEW, [OLD])
    sealed = secrets.seal(b"ada@example.com", b"idn_1")
    at = data.draw(st.integers(0, len(sealed) - 1))
    flipped = sealed[:at] + bytes([sealed[at] ^ data.draw(st.integers(1, 255))]) + sealed[at + 1 :]
    for broken in (flipped, sealed[:at], sealed + b"\0"):
        with pytest.raises(SealBroken):
            secrets.unseal(broken, b"idn_1")


@given(st.binary(max_size=80))
def test_what_is_no_seal_does_not_open(octets):
    with pytest.raises(SealBroken):
        Secrets(NEW).unseal(octets, b"")


def test_secrets_show_and_give_away_nothing():
    key = b"a secret key for tests, 32 bytes"
    secrets = Secrets(key, [OLD])
    assert repr(secrets) == str(secrets) == "Secrets(2 keys)"
    assert "tests" not in repr(secrets._all)
    with pytest.raises(TypeError):
        pickle.dumps(secrets)
    with pytest.raises(ValueError, match="32 octets") as refused:
        Secrets(key[:31])
    assert "secret key for" not in str(refused.value)
    with pytest.raises(ValueError, match="32 octets"):
        Secrets(key, [b""])


def test_an_api_key_is_read_as_it_was_made():
    for _ in range(200):  # many secrets hold an underscore
        key_id, text, digest = crypto.new_api_key()
        assert re.fullmatch(r"[a-z0-9]{12}", key_id)
        found = crypto.read_api_key(text)
        assert found is not None
        assert found[0] == key_id
        assert crypto.same_digest(crypto.api_key_digest(found[1]), digest)
        assert not crypto.same_digest(crypto.api_key_digest(found[1][:-1]), digest)
    assert len({crypto.new_api_key()[0] for _ in range(100)}) == 100


SECRET = "A_b-" * 10 + "xyz"


def test_a_secret_may_hold_underscores():
    assert crypto.read_api_key(f"mw_abcdefgh2345_{SECRET}") == ("abcdefgh2345", SECRET)


@pytest.mark.parametrize(
    "text",
    [
        *("", "mw", "mw__", "mw_abcdefgh2345", "mw_abcdefgh2345_", f"mw_abcdefgh2345_{SECRET[:-1]}"),
        *(
            f"mw_abcdefgh2345_{SECRET}x",
            f"mw_abcdefgh2345_{SECRET}\n",
            f"MW_abcdefgh2345_{SECRET}",
            f"mw_short_{SECRET}",
        ),
        *(f"mw_ABCDEFGH2345_{SECRET}", f"mw_abcdefgh2345_{SECRET[:-1]}\xe9", f" mw_abcdefgh2345_{SECRET}"),
    ],
)
def test_what_no_api_key_is(text):
    assert crypto.read_api_key(text) is None


@given(st.text())
def test_reading_an_api_key_never_fails(text):
    assert crypto.read_api_key(text) is None


def test_the_chain_depends_on_all_before():
    first = crypto.chain_digest(crypto.GENESIS, b"a")
    assert len(first) == 32
    assert crypto.chain_digest(first, b"b") != crypto.chain_digest(crypto.GENESIS, b"b")
    assert first != crypto.chain_digest(crypto.GENESIS, b"b")
    with pytest.raises(ValueError, match="32 octets"):
        crypto.chain_digest(first[:-1], first[-1:] + b"b")


def test_canonical_json_has_one_form():
    assert crypto.canonical_json({"b": [1, None, True], "a": "\xfc"}) == '{"a":"\xfc","b":[1,null,true]}'.encode()
    assert crypto.canonical_json({"a": 1, "b": 2}) == crypto.canonical_json({"b": 2, "a": 1})
    for value in (float("nan"), float("inf"), "\ud800"):
        with pytest.raises(ValueError, match=r"."):
            crypto.canonical_json(value)
    with pytest.raises(TypeError):
        crypto.canonical_json({"at": object()})


def test_ids_are_opaque():
    made = {crypto.new_id("sub_") for _ in range(1000)}
    assert len(made) == 1000
    assert all(re.fullmatch(r"sub_[a-z2-7]{26}", one) for one in made)
    assert re.fullmatch(r"[a-z2-7]{26}", crypto.new_id())


@given(
    epoch=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40), position=st.integers(0, 2**63 - 1)
)
def test_a_revision_is_read_as_it_was_written(epoch, position):
    text = crypto.write_revision(epoch, position)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", text)
    assert crypto.read_revision(text) == (epoch, position)


@given(st.text(max_size=60) | st.text(alphabet="ABCQgw0-_=", max_size=60))
def test_a_text_is_a_revision_only_in_the_form_it_is_written_in(text):
    try:
        epoch, position = crypto.read_revision(text)
    except ValueError:
        return
    assert crypto.write_revision(epoch, position) == text


def test_what_no_revision_is():
    good = crypto.write_revision("00ff", 7)
    for bad in ("", "A", good + "=", good + "\n", good[:-1], good.replace(good[0], "/", 1), "\xfc" * 20, good[:12]):
        with pytest.raises(ValueError, match=r"."):
            crypto.read_revision(bad)
    for epoch, position in (("", 1), ("a", -1), ("a", 2**63)):
        with pytest.raises(ValueError, match="position"):
            crypto.write_revision(epoch, position)


def test_no_id_is_given_twice_by_threads_or_forks() -> None:
    crypto.new_id()  # some are drawn by now, which the forks must not have too
    with ThreadPoolExecutor(4) as threads:
        drawn = [ids for several in threads.map(lambda _: several_ids(), range(4)) for ids in several]
    for _ in range(2):
        reading, writing = os.pipe()
        if os.fork() == 0:
            os.write(writing, "\n".join(several_ids()).encode())
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as told:
            drawn += told.read().splitlines()
        os.wait()
    drawn += several_ids()
    assert len(drawn) == len(set(drawn)) == 700


def several_ids() -> list[str]:
    return [crypto.new_id() for _ in range(100)]
