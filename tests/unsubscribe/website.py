"""A shop as these tests see it: its server over HTTP, its people, its links."""

import itertools
import re
from typing import Any, Self

import httpx

from tests.harness.service import NO_TLS

_NUMBERS = itertools.count()


class Website:
    """A client of a running server, whose key has every scope."""

    def __init__(self, address: str, key: str, database_url: str) -> None:
        self.address = address
        self.key = key
        self.database_url = database_url
        self.api = httpx.Client(base_url=address, headers={"Authorization": f"Bearer {key}"}, timeout=30, verify=NO_TLS)
        self.open = httpx.Client(base_url=address, timeout=30, verify=NO_TLS)  # a mail client or a browser: no key

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.api.close()
        self.open.close()

    def post(self, path: str, body: dict[str, Any], status: int) -> Any:
        answer = self.api.post(path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    def person(self, *, consents: bool = True, type: str = "email") -> dict[str, str]:
        """Somebody new, who agreed to offers by e-mail and has an open order."""
        n = next(_NUMBERS)
        who = {"type": type, "id": f"person{n}@example.com" if type == "email" else f"p-{n}"}
        if consents:
            self.choose(who, {"purpose": "offers", "channel": "email", "choice": "give"})
            fact = {"fact": "contract_started", "reference": "order"}
            self.post("/v1/facts", {"subject": who, "facts": [fact]}, 201)
        return who

    def stranger(self) -> dict[str, str]:
        """Somebody of whom nothing is on file."""
        return self.person(consents=False)

    def choose(self, who: dict[str, Any], *choices: dict[str, Any], **more: Any) -> Any:
        body = {"subject": who, "choices": list(choices), "method": "web_form", "notice": "news-1", **more}
        return self.post("/v1/choices", body, 201)

    def link(
        self, who: dict[str, Any], purpose: str | None = "offers", channel: str | None = "email", **more: Any
    ) -> Any:
        item = {"subject": who, "purpose": purpose, "channel": channel, **more}
        return self.post("/v1/unsubscribe-links", {"links": [item]}, 200)["links"][0]

    def path(self, who: dict[str, Any], *args: Any, **more: Any) -> str:
        """The path of a new link."""
        return "/u/" + token_of(self.link(who, *args, **more))

    def ask(self, who: dict[str, Any], purpose: str = "offers", channel: str | None = "email") -> tuple[bool, str]:
        answer = self.post("/v1/check", {"subject": who, "purpose": purpose, "channel": channel}, 200)
        return answer["decision"], answer["reason"]

    def revision(self) -> str:
        """Where the ledger ends: it moves with every event."""
        who = {"type": "email", "id": "nobody@example.com"}
        return str(self.post("/v1/check", {"subject": who, "purpose": "offers", "channel": "email"}, 200)["revision"])

    def find(self, who: dict[str, Any]) -> str:
        return str(self.post("/v1/subjects/find", who, 200)["subject_id"])

    def standing(self, who: dict[str, Any], purpose: str = "offers", channel: str | None = "email") -> Any:
        held = self.api.get(f"/v1/subjects/{self.find(who)}").json()["standings"]
        return next((s for s in held if (s["purpose"], s["channel"]) == (purpose, channel)), None)

    def events(self, who: dict[str, Any]) -> list[dict[str, Any]]:
        answer = self.api.get(f"/v1/subjects/{self.find(who)}/events", params={"limit": 1000}).json()
        return list(answer["events"])


def token_of(link: dict[str, Any]) -> str:
    return str(link["url"]).rpartition("/")[2]


def field(page: str, name: str) -> str:
    """The value of a hidden field or button of a page."""
    found = re.search(rf'name="{name}" value="([^"]*)"', page)
    assert found, page
    return found[1]
