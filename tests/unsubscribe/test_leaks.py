"""No token and no address in what a server writes down: log and metrics, whatever is sent to the doors for people."""

import asyncio
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.harness.databases import Databases
from tests.harness.processes import maywe_command
from tests.harness.service import NO_TLS, environment, free_port, wait_until_live
from tests.unsubscribe.conftest import prepare
from tests.unsubscribe.website import Website, field, token_of


@pytest.mark.parametrize("engine_name", ["sqlite", "postgresql"])
def test_no_token_and_no_address_is_written_down(
    databases: Databases, newsletter: dict[str, Any], tmp_path: Path, engine_name: str
) -> None:
    url = databases.make(engine_name)
    key = asyncio.run(prepare(url, newsletter))
    port, metrics_port, log = free_port(), free_port(), tmp_path / "log"
    variables = {"MAYWE_LOG_LEVEL": "debug", "MAYWE_METRICS_ADDRESS": f"127.0.0.1:{metrics_port}"}
    with log.open("wb") as written:
        process = subprocess.Popen(
            maywe_command("serve", "--port", str(port)),
            env=environment(url) | variables,
            stdout=written,
            stderr=written,
            start_new_session=True,
        )
        try:
            address = f"http://127.0.0.1:{port}"
            wait_until_live(address, process)
            with Website(address, key, url) as site:
                marked = _visit_everything(site)
            metrics = httpx.get(f"http://127.0.0.1:{metrics_port}/metrics", verify=NO_TLS).text
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(20)
    text = log.read_text("utf-8")
    assert text.count('"route": "/u/{token}"') + text.count('"route":"/u/{token}"') >= 6
    assert "maywe_" in metrics
    for secret in marked:
        assert secret not in text, "in the log"
        assert secret not in metrics, "in the metrics"


def _visit_everything(site: Website) -> list[str]:
    """Use every door once, well and badly; returns what must not be found anywhere."""
    who = {"type": "email", "id": "marked-person@example.com"}
    texter = {"type": "phone", "id": "+4915199988777"}
    site.choose(who, {"purpose": "offers", "channel": "email", "choice": "give"})
    token = token_of(site.link(who, campaign="marked-campaign"))
    by_post = token_of(site.link(who, "catalogue_by_post", "post"))
    session = str(site.post("/v1/preference-links", {"subject": who}, 200)["url"]).rpartition("/")[2]
    damaged = token[:-8] + "xxmarked"
    for path in (f"/u/{token}", f"/u/{token}/", f"/u/{damaged}", f"/u/{damaged}/more", f"/preferences/{session}"):
        for method in ("GET", "HEAD", "OPTIONS", "POST", "DELETE"):
            site.open.request(
                method, f"{path}?lang=de&address=marked-person@example.com", content=b"x=marked-person@example.com"
            )
    undo = field(site.open.post(f"/u/{by_post}", data={"from": "page"}).text, "undo")
    site.open.post(f"/u/{by_post}", data={"from": "page", "undo": undo})
    site.open.post(
        f"/preferences/{token}", data={"scope:automation": "on"}, headers={"Referer": f"{site.address}/u/{token}"}
    )
    site.post("/v1/inbound/sms", {"from": texter["id"], "body": "STOP marked-person@example.com"}, 200)
    mail = f"From: marked-person@example.com\nSubject: {token}\n\n".encode()
    site.api.post("/v1/inbound/email", content=mail, headers={"Content-Type": "message/rfc822"})
    site.api.post("/v1/unsubscribe-links", json={"links": [{"subject": {"type": "email", "id": "marked-person@"}}]})
    return [token, by_post, session, damaged, undo, "marked-person", "marked-campaign", texter["id"][1:]]
