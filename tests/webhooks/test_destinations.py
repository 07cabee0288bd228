"""Where webhooks may go: no address of the inside unless an operator names it, whatever a name says."""

import datetime as dt
import ipaddress
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app import posting
from app.destinations import Destinations
from app.posting import Message, Outcome, Poster
from tests.harness.databases import Databases
from tests.harness.service import in_process
from tests.webhooks.receiver import Receiver, becomes, hook, object_to, receiving

INSIDE = (
    *("127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"),  # noqa: S104
    *("169.254.169.254", "100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "192.0.2.1", "198.18.0.1"),
    *("198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
    *(
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd00:ec2::254",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
        "100::1",
    ),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "2002:7f00:1::", "2002:a00:1::", "2001::1"),
    *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "::127.0.0.1", "not an address", ""),
)
OUTSIDE = ("93.184.215.14", "1.1.1.1", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101", "172.32.0.1")
Published = Callable[[str], Awaitable[str]]
MESSAGE = Message("evt_1-0", b"{}", [b"secret"])


@pytest.mark.parametrize("address", INSIDE)
def test_no_address_of_the_inside_is_connected_to(address: str) -> None:
    assert Destinations().among([address], "https") == []


@pytest.mark.parametrize("address", OUTSIDE)
def test_public_addresses_are_by_https_only(address: str) -> None:
    inside = Destinations([ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")])
    for destinations in (Destinations(), inside):
        assert destinations.among([address], "https") == [address]
        assert destinations.among([address], "http") == []
    for scheme in ("http", "https"):
        assert inside.among([*INSIDE], scheme) == ["10.0.0.1", "fd00:ec2::254", "::ffff:10.0.0.1", "2002:a00:1::"]


@pytest.mark.parametrize("name", ["localhost", "localhost.", "0x7f.1", "2130706433", "127.1"])
async def test_a_name_that_leads_inside_is_not_connected_to(receiver: Receiver, name: str) -> None:
    poster = Poster(Destinations())
    outcome = await poster.post(f"https://{name}:{receiver.port}/hook", MESSAGE)
    await poster.close()
    assert outcome.word in ("forbidden-address", "unreachable"), "the latter where the resolver knows no such name"
    assert name not in ("localhost", "127.1") or outcome.word == "forbidden-address"
    assert receiver.connections == 0


async def test_an_endpoint_that_leads_inside_says_so(databases: Databases, published: Published, engine: str) -> None:
    url = databases.copy(await published(engine))
    async with receiving() as receiver, in_process(url, webhook_retries="0.05") as maywe:
        made = await hook(maywe, f"https://localhost:{receiver.port}/hook")
        await object_to(maywe, "ada")
        await becomes(maywe, made, dead_letters=1, state="active")
        listed = await maywe.http.get(f"/v1/webhooks/{made['webhook_id']}/dead-letters")
        assert listed.json()["dead_letters"][0]["outcome"] == "forbidden-address"
        assert receiver.connections == 0
    databases.drop(url)


@pytest.mark.parametrize("name", ["none.example.invalid", "a..b", "x" * 70 + ".example.com"])
async def test_a_name_that_leads_nowhere_is_unreachable(name: str) -> None:
    poster = Poster(Destinations())
    assert await poster.post(f"https://{name}/hook", MESSAGE) == Outcome("unreachable")
    await poster.close()


async def test_the_address_looked_at_is_the_one_connected_to_and_tls_asks_for_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = _certificate("crm.example.test", tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    answers = iter([["127.0.0.1"], ["10.255.255.1", "127.0.0.1"], ["127.0.0.1"], ["10.255.255.1"]])

    async def resolve(host: str, port: int) -> list[str]:
        return next(answers)

    monkeypatch.setattr(posting, "_resolve", resolve)
    monkeypatch.setattr(posting, "_IDLE", 0)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    poster = Poster(Destinations([ipaddress.ip_network("127.0.0.0/8")]))
    async with receiving(context) as receiver:
        url = f"https://crm.example.test:{receiver.port}/hook"
        assert (await poster.post(url, MESSAGE)).word == "accepted"
        assert receiver.got[0].headers["host"] == f"crm.example.test:{receiver.port}"
        assert (await poster.post(url, MESSAGE)).word == "accepted", "only what is permitted of what a name leads to"
        other = await poster.post(f"https://other.example.test:{receiver.port}/hook", MESSAGE)
        assert other.word == "tls", "the certificate is for another name"
        assert (await poster.post(url, MESSAGE)).word == "forbidden-address", "it led elsewhere a moment later"
        assert len(receiver.got) == 2
    await poster.close()


def _certificate(name: str, folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path = folder / "certificate.pem"
    pem = key.private_bytes(serialization.Encoding.PEM, *private) + made.public_bytes(serialization.Encoding.PEM)
    path.write_bytes(pem)
    return path
