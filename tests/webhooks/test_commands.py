"""`maywe webhooks`: the same as the doors, for operators."""

import json
from typing import Any

from tests.harness.service import Maywe, command_here
from tests.webhooks.receiver import told


async def test_the_life_of_an_endpoint_on_the_command_line(maywe: Maywe) -> None:
    async def run(*arguments: str, status: int = 0) -> Any:
        done = await command_here(maywe.url, "webhooks", *arguments)
        assert done.exit_code == status, done.output
        return json.loads(done.stdout) if done.stdout.startswith("{") else done.output

    options = ("--purpose", "offers", "--type", "choice.give", "--identifier-type", "customer")
    made = await run("create", "https://crm.example.invalid/hook?token=t", *options)
    assert made["secret"].startswith("whsec_")
    hook = made["webhook_id"]
    seen = await told(maywe, made)
    assert (seen["filter"]["purpose"], seen["filter"]["identifier_type"]) == (["offers"], "customer")
    assert (await run("pause", hook))["state"] == "paused"
    listed = await run("list")
    assert f"{hook}  paused" in listed
    assert "token" not in listed
    assert (await run("move", hook, "https://other.example.invalid/"))["url"] == "https://other.example.invalid/"
    assert (await run("rotate", hook, "--overlap", "1"))["secret"] != made["secret"]
    assert (await run("resume", hook, "--after", "now"))["state"] == "active"
    assert (await run("show", hook))["state"] == "active"
    assert await run("dead-letters", hook) == {"dead_letters": [], "has_more": False}
    assert await run("replay", hook) == {"replayed": 0}
    assert "invalid-url" in await run("create", "http://127.0.0.1/", status=1)
    assert "deleted" in await run("delete", hook)
    assert "no webhook" in await run("show", hook, status=1)
