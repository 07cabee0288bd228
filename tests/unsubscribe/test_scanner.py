"""Mail scanners follow every link in a mail, and every link on the page behind it, by GET and HEAD. Nothing happens."""

import re
from html import unescape
from urllib.parse import urljoin

from tests.harness.effort import effort
from tests.unsubscribe.website import Website, token_of

LINKS = effort(150, 1000)


def test_every_link_is_followed_and_no_event_is_written(site: Website) -> None:
    who = site.person()
    wanted = [
        {"subject": {"type": "email", "id": f"scanned{n}@example.com"}, "purpose": "offers", "channel": "email"}
        for n in range(LINKS - 1)
    ]
    links = site.post("/v1/unsubscribe-links", {"links": [*wanted, {**wanted[0], "subject": who}]}, 200)["links"]
    before = site.revision()
    for link in links:
        path = f"/u/{token_of(link)}"
        assert site.open.head(path).status_code == 200
        assert site.open.get(path).status_code == 200
    assert site.revision() == before
    seen, waiting = set(), [f"/u/{token_of(links[-1])}", f"/preferences/{token_of(links[-1])}"]
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        answer = site.open.get(path)
        assert answer.status_code == 200
        assert site.open.head(path).status_code == 200
        found = [unescape(href) for href in re.findall(r'href="([^"]*)"', answer.text)]
        waiting += [urljoin(path, href) for href in found if not href.startswith("mailto:")]
    assert len(seen) >= 4, "both pages, in both languages"
    assert site.revision() == before
    assert site.ask(who) == (True, "consent_given")
