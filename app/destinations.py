"""Where webhooks may go: public addresses by HTTPS, and the networks an operator names. Pure."""

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

_LONGEST = 2048  # characters of a URL
_VISIBLE = re.compile(r"[!-~]+")
_TRANSLATED = IPv6Network("64:ff9b::/96")  # NAT64 (RFC 6052): an IPv4 address in the last 32 bits
_GLOBAL_UNICAST = IPv6Network("2000::/3")  # nothing else of IPv6 is routed (RFC 4291, 2.4)
_OF_THE_INSIDE = (  # which `ipaddress` holds for public, or does in some versions
    IPv4Network("192.0.0.0/24"),  # IETF protocol assignments; a cloud's metadata among them
    IPv4Network("168.63.129.16/32"),  # Azure's own host
)


class Destinations:
    """The addresses that may be connected to, and the URLs that may lead there."""

    def __init__(self, networks: Iterable[Network] = ()) -> None:
        self._networks = tuple(networks)

    def fault_of(self, url: str) -> str | None:
        """What is wrong with a URL, in a sentence that does not repeat it; None if it may be tried. What its name
        resolves to is looked at each time it is connected to."""
        if len(url) > _LONGEST or not _VISIBLE.fullmatch(url) or "\\" in url:
            return f"A URL has {_LONGEST} visible ASCII characters at most."
        try:
            parts = urlsplit(url)
            _ = parts.port  # raises ValueError when it is no port
        except ValueError:
            return "This is no URL."
        if parts.scheme != "https" and not (parts.scheme == "http" and self._networks):
            return "A webhook is sent to an https:// URL (http:// only within MAYWE_WEBHOOK_NETWORKS)."
        if not parts.hostname or "@" in parts.netloc or "#" in url:
            return "A URL has a host, no user and password, and no fragment."
        literal = _address(parts.hostname)
        if literal is not None and not self.permit(literal, parts.scheme):
            return "Webhooks are not sent to this address."
        return None

    def permit(self, address: Address, scheme: str) -> bool:
        """Whether an address may be connected to: by HTTPS a public one, or one in the networks named; without
        encryption only the latter."""
        seen = _inner(address)
        return any(seen in network for network in self._networks) or (scheme == "https" and _is_public(seen))

    def among(self, found: Sequence[str], scheme: str) -> list[str]:
        """Those of some addresses, as text, that may be connected to."""
        return [text for text in found if (address := _address(text)) is not None and self.permit(address, scheme)]


def _address(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 address only carries, else the address."""
    if isinstance(address, IPv6Address):
        if address in _TRANSLATED:
            return IPv4Address(int(address) & 0xFFFFFFFF)
        return address.ipv4_mapped or address.sixtofour or address
    return address


def _is_public(address: Address) -> bool:
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if isinstance(address, IPv6Address):
        return address in _GLOBAL_UNICAST
    return not any(address in network for network in _OF_THE_INSIDE)
