"""Export: everybody's choices in force in the form that import takes, and what import makes of it again."""

import base64
import fcntl
import itertools
import json
import os
import shutil
import signal
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest

from app import administering
from app.crypto import GENESIS
from tests.harness.databases import Databases
from tests.harness.documents import read_yaml
from tests.harness.people import IDENTIFIERS, People
from tests.harness.processes import Forked
from tests.harness.service import Maywe, command_here, environment, in_process

OFFERS = {"purpose": "offers", "channel": "email"}
GIVE = {**OFFERS, "choice": "give"}
ADA = {"type": "email", "id": "ada@example.com"}
WORDING = 'Yes,\n please\r and "soon"\r\n'


async def export(maywe: Maywe, file: Path) -> str:
    done = await command_here(maywe.url, "export", str(file))
    assert done.exit_code == 0, done.output
    return done.stdout + done.stderr


@asynccontextmanager
async def imported(file: Path, url: str, shop: dict[str, Any]) -> AsyncGenerator[Maywe]:
    """The application on another database, under the same catalogue, once it has taken every row of a file."""
    async with in_process(url) as other:
        await other.publish(shop)
        done = await command_here(url, "import", str(file))
        told = file.with_name(f"{file.name}.results.csv").read_text()
        assert (done.exit_code, " 0 refused" in done.output) == (0, True), told
        yield other


def rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


async def known(maywe: Maywe) -> list[dict[str, str]]:
    """Everybody who is known; of who was erased only a digest is left."""
    found = [(await maywe.http.post("/v1/subjects/find", json=who)).is_success for who in IDENTIFIERS]
    return list(itertools.compress(IDENTIFIERS, found))


async def answers(maywe: Maywe, people: list[dict[str, str]]) -> dict[tuple[str, str, str | None], bool]:
    """What is answered about some people, about every purpose and channel."""
    told = {}
    for who in people:
        answer = (await maywe.http.post("/v1/check/all", json={"subject": who})).json()
        told |= {(str(who), d["purpose"], d["channel"]): d["decision"] for d in answer["decisions"]}
    return told


@pytest.mark.parametrize("form", ["ndjson", "csv"])
async def test_what_is_imported_again_turns_no_no_into_a_yes(
    maywe: Maywe, databases: Databases, engine: str, shop: dict[str, Any], tmp_path: Path, form: str
) -> None:
    """And keeps every yes that rests on a choice alone."""
    people = People(maywe.http, seed=5)
    for _ in range(80):
        await people.step()
    await maywe.choose(ADA, GIVE, notice=shop["version"], evidence={"wording": WORDING})
    file = tmp_path / f"people.{form}"
    assert "that were erased or unlinked" in await export(maywe, file)
    before = await answers(maywe, await known(maywe))
    async with imported(file, databases.make(engine), shop) as other:
        after = await answers(other, await known(maywe))
        assert {key for key, decision in after.items() if decision and not before[key]} == set()
        assert {key for key, decision in after.items() if decision}, "some yeses are left"
        assert (await other.ask(ADA, **OFFERS))["reason"] == "consent_given"
        events = (await other.http.get(f"/v1/subjects/{await other.find(ADA)}/events")).json()["events"]
        assert [event["details"]["evidence"]["wording"] for event in events] == [WORDING]
        again = await command_here(maywe.url, "import", str(file), "--results", str(tmp_path / "again.csv"))
        assert " 0 refused" in again.output, "its own rows are on file already"


async def test_a_row_says_how_and_when(maywe: Maywe, shop: dict[str, Any], tmp_path: Path) -> None:
    evidence = {"wording": "Yes please"}
    await maywe.choose(ADA, GIVE, notice=shop["version"], evidence=evidence, occurred_at="2026-11-02T10:00:00Z")
    await maywe.choose(ADA, {"scope": "automation", "choice": "object"}, method="phone")
    said = await export(maywe, tmp_path / "all.ndjson")
    assert "2 rows under 1 identifiers" in said
    first, second = rows(tmp_path / "all.ndjson")
    how = {"notice": shop["version"], "method": "web_form", "wording": "Yes please", "explicit": False}
    assert first == {**ADA, **GIVE, **how, "occurred_at": "2026-11-02T10:00:00Z"}
    assert second.pop("occurred_at")
    assert second == {**ADA, "scope": "automation", "choice": "object", "method": "phone", "explicit": False}


async def test_consent_that_an_objection_ended_for_good_is_not_given_again(
    maywe: Maywe, shop: dict[str, Any], tmp_path: Path
) -> None:
    await maywe.choose(ADA, GIVE, notice=shop["version"])
    await maywe.choose(ADA, {"scope": "all_marketing", "choice": "object"})
    await maywe.choose(ADA, {"scope": "all_marketing", "choice": "withdraw_objection"})
    await export(maywe, tmp_path / "all.ndjson")
    assert [row["choice"] for row in rows(tmp_path / "all.ndjson")] == ["withdraw"]


async def test_what_a_demo_has_is_taken_as_it_is(databases: Databases, engine: str, tmp_path: Path) -> None:
    belkcase, file = (
        read_yaml(files("app").joinpath("catalogues", "belkcase.yaml").read_bytes()),
        tmp_path / "all.ndjson",
    )
    async with in_process(databases.make(engine)) as demo, in_process(databases.make(engine)) as other:
        for one in (demo, other):
            await one.publish(belkcase)
        await administering.add_sample_people(demo.store, now=datetime.now(UTC))
        assert "refuses" not in await export(demo, file)
        done = await command_here(other.url, "import", str(file))
        assert (done.exit_code, " 0 refused" in done.output) == (0, True), done.output


async def test_a_file_that_is_there_is_not_replaced(maywe: Maywe, tmp_path: Path) -> None:
    file = tmp_path / "all.csv"
    file.write_text("mine")
    done = await command_here(maywe.url, "export", str(file))
    assert (done.exit_code, file.read_text()) == (1, "mine")
    assert "is there already" in done.output


async def test_killed_and_started_again_it_goes_on(
    maywe: Maywe, databases: Databases, engine: str, shop: dict[str, Any], tmp_path: Path
) -> None:
    many = tmp_path / "many.csv"
    lines = [f"customer,c-{n},offers,withdraw,2026-11-02T10:00:00Z" for n in range(1200)]
    many.write_text("\n".join(["type,id,purpose,choice,occurred_at", *lines]))
    assert (await command_here(maywe.url, "import", str(many))).exit_code == 0
    file, whole, place = (tmp_path / name for name in ("some.ndjson", "whole.ndjson", ".some.ndjson.place"))
    await export(maywe, whole)
    arguments = ("export", str(file))
    process = Forked(arguments, environment(maywe.url), stdout=tmp_path / "out", stderr=tmp_path / "err")
    assert await anyio.to_thread.run_sync(_kill_once_there_is, place, process) == -signal.SIGKILL
    assert 0 < done_of(place) < 1200
    with (tmp_path / ".some.ndjson.part").open("ab") as half:
        half.write(b'{"type": "custo')  # written, but not yet among what is done
    for left in (".part", ".place"):
        shutil.copy(tmp_path / f".some.ndjson{left}", tmp_path / f".other.ndjson{left}")
    await export(maywe, file)
    assert rows(file) == rows(whole)
    assert len(rows(file)) == 1200
    async with in_process(databases.make(engine)) as other:  # what was read from one goes on in no other
        await other.publish(shop)
        await other.choose(ADA, {**OFFERS, "choice": "withdraw"})
        assert "1 rows under 1 identifiers" in await export(other, tmp_path / "other.ndjson")
    assert [row["id"] for row in rows(tmp_path / "other.ndjson")] == [ADA["id"]]
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


async def test_what_happens_while_it_is_written_is_in_it(
    maywe: Maywe, databases: Databases, engine: str, shop: dict[str, Any], tmp_path: Path
) -> None:
    """Also where it was interrupted meanwhile: by then some were read, and who came has an identifier among them."""
    many, file = tmp_path / "many.csv", tmp_path / "some.ndjson"
    columns = "type,id,purpose,channel,choice,notice,method,occurred_at"
    lines = [f"customer,c-{n},offers,email,give,conformance-1,app,2026-11-02T10:00:00Z" for n in range(1200)]
    many.write_text("\n".join([columns, *lines]))
    assert (await command_here(maywe.url, "import", str(many))).exit_code == 0
    begun, ended = ({"fact": f"contract_{word}", "reference": "o-1"} for word in ("started", "ended"))
    for n in range(12):
        await maywe.establish({"type": "customer", "id": f"c-{200 + n}"}, begun)
        subject_id = await maywe.find({"type": "customer", "id": f"c-{100 + n}"})
        await maywe.http.post(f"/v1/subjects/{subject_id}/identifiers", json={"type": "device", "id": f"phone-{n}"})
    process = Forked(("export", str(file)), environment(maywe.url), stdout=tmp_path / "out", stderr=tmp_path / "err")
    place = tmp_path / ".some.ndjson.place"
    assert await anyio.to_thread.run_sync(_kill_once_there_is, place, process) == -signal.SIGKILL
    assert 0 < done_of(place) < 1200
    for n in range(12):
        await maywe.choose({"type": "customer", "id": f"c-{n}"}, {**OFFERS, "choice": "withdraw"})
        await maywe.establish({"type": "customer", "id": f"c-{200 + n}"}, ended)
        await maywe.choose({"type": "customer", "id": f"new-{n}"}, {"purpose": "improvement", "choice": "object"})
        phone = {"type": "device", "id": f"phone-{n}"}
        await maywe.choose(phone, {"purpose": "recommendations", "choice": "object"})
    subject_id = await maywe.find({"type": "customer", "id": "c-300"})
    await maywe.http.post(f"/v1/subjects/{subject_id}/erasure", json={})
    told = await export(maywe, file)
    assert "perhaps in it all the same: 1 people or identifiers" in told
    async with imported(file, databases.make(engine), shop) as other:
        for n in range(12):
            asked = [(f"c-{n}", OFFERS), (f"new-{n}", {"purpose": "improvement"})]
            asked.append((f"c-{100 + n}", {"purpose": "recommendations"}))
            asked.append((f"c-{200 + n}", {"purpose": "order_updates", "channel": "email"}))
            for id, question in asked:
                assert (await other.ask({"type": "customer", "id": id}, **question))["decision"] is False
        assert (await other.ask({"type": "customer", "id": "c-1199"}, **OFFERS))["decision"] is True


async def test_one_export_writes_a_file(maywe: Maywe, tmp_path: Path) -> None:
    draft = tmp_path / ".all.csv.part"
    (tmp_path / ".all.csv.place").write_text("{}")
    with draft.open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = await command_here(maywe.url, "export", str(tmp_path / "all.csv"))
        assert (done.exit_code, draft.read_bytes()) == (1, b"")
        assert "another import or export is writing" in done.output
    await export(maywe, tmp_path / "all.csv")
    assert os.listdir(tmp_path) == ["all.csv"]


async def test_who_was_killed_with_the_file_in_its_place_leaves_nothing_to_go_on_from(
    maywe: Maywe, tmp_path: Path
) -> None:
    await maywe.choose(ADA, {**OFFERS, "choice": "withdraw"})
    file, monday = tmp_path / "all.csv", tmp_path / "monday.csv"
    await export(maywe, file)
    os.link(file, tmp_path / ".all.csv.part")  # as it is between the two
    whole = {"after": "~", "is_through": True, "octets": file.stat().st_size}
    (tmp_path / ".all.csv.place").write_text(json.dumps(whole | {"digest": base64.b64encode(GENESIS).decode()}))
    file.rename(monday)
    before = monday.read_bytes()
    await maywe.choose({"type": "email", "id": "new@example.com"}, {**OFFERS, "choice": "withdraw"})
    assert "2 rows under 2 identifiers" in await export(maywe, file)
    assert monday.read_bytes() == before


@pytest.mark.parametrize("form", ["ndjson", "csv"])
async def test_a_row_that_import_would_not_take_spoils_no_other(
    maywe: Maywe, databases: Databases, engine: str, shop: dict[str, Any], tmp_path: Path, form: str
) -> None:
    no = {"purpose": "improvement", "choice": "object"}
    for n in range(60):
        await maywe.choose({"type": "customer", "id": f'x\\"y{n}' if n % 20 == 0 else f"c-{n}"}, no)
    await maywe.choose(ADA, GIVE, notice="conformance-1", method="import")
    file = tmp_path / f"all.{form}"
    left_out = {"ndjson": 1, "csv": 4}[form]
    assert f": {left_out} rows" in await export(maywe, file)
    async with imported(file, databases.make(engine), shop) as other:
        for n in range(60):
            if n % 20:
                assert (await other.ask({"type": "customer", "id": f"c-{n}"}, "improvement"))["reason"] == "objected"


@pytest.mark.parametrize("form", ["ndjson", "csv"])
async def test_no_fact_is_lost_over_its_reason(
    maywe: Maywe, databases: Databases, engine: str, shop: dict[str, Any], tmp_path: Path, form: str
) -> None:
    await maywe.choose(ADA, GIVE, notice="conformance-1")
    invalid = {"fact": "consent_invalidated", "purpose": "offers", "channel": "email", "reason": 'said \\"no\\"'}
    await maywe.establish(ADA, invalid)
    file = tmp_path / f"all.{form}"
    await export(maywe, file)
    async with imported(file, databases.make(engine), shop) as other:
        found = (await other.http.get(f"/v1/subjects/{await other.find(ADA)}/events")).json()["events"]
        assert [event["type"] for event in found] == ["fact.consent_invalidated"]


async def test_a_draft_with_nothing_in_it_is_in_nobodys_way(maywe: Maywe, tmp_path: Path) -> None:
    """As it is left by who was killed as soon as they had made it."""
    (tmp_path / ".all.csv.part").touch()
    await export(maywe, tmp_path / "all.csv")
    assert os.listdir(tmp_path) == ["all.csv"]


async def test_who_is_taken_apart_is_counted(maywe: Maywe, tmp_path: Path) -> None:
    await maywe.choose(ADA, {**OFFERS, "choice": "withdraw"})
    await maywe.http.post(f"/v1/subjects/{await maywe.find(ADA)}/identifiers", json={"type": "customer", "id": "c-1"})
    assert "1 people known under several; link them again" in await export(maywe, tmp_path / "all.csv")


async def test_what_is_in_the_way_is_said_and_stays(maywe: Maywe, tmp_path: Path) -> None:
    mine = tmp_path / ".all.csv.part"
    mine.write_text("mine")
    for file in (tmp_path / "all.csv", tmp_path / "nowhere" / "all.csv"):
        done = await command_here(maywe.url, "export", str(file))
        assert (done.exit_code, mine.read_text()) == (1, "mine")
        assert done.output.startswith(f"Error: {file.parent}"), done.output


async def test_a_draft_that_lost_what_its_place_tells_of_is_begun_anew(maywe: Maywe, tmp_path: Path) -> None:
    await maywe.choose(ADA, {**OFFERS, "choice": "withdraw"})
    of_this_chain = json.dumps({"octets": 9, "rows": 3, "digest": base64.b64encode(GENESIS).decode()})
    for place in (of_this_chain, '{"octets": 9, "rows": 3}', '{"octets": -5}', "no JSON"):
        (tmp_path / ".all.ndjson.place").write_text(place)
        assert "1 rows under 1 identifiers" in await export(maywe, tmp_path / "all.ndjson")
        assert [row["choice"] for row in rows(tmp_path / "all.ndjson")] == ["withdraw"]
        (tmp_path / "all.ndjson").unlink()


@pytest.mark.parametrize("form", ["ndjson", "csv"])
async def test_no_choice_is_lost_over_its_wording(
    maywe: Maywe, databases: Databases, engine: str, shop: dict[str, Any], tmp_path: Path, form: str
) -> None:
    row = f"email,eve@example.com,withdraw,offers,,email,,,,,2026-05-01T10:00:00Z{',' * 11}"  # in an export's columns
    wordings = ["x" * 100_001, f"hello\n{row}\nbye", 'say \\"no\\"', "as it was shown"]
    for n, wording in enumerate(wordings):
        no = {"purpose": "improvement", "choice": "object"}
        await maywe.choose({"type": "customer", "id": f"c-{n}"}, no, evidence={"wording": wording})
    file = tmp_path / f"all.{form}"
    left_out = {"ndjson": 1, "csv": 3}[form]
    assert f"left out, as import takes no such text: that of {left_out} rows" in await export(maywe, file)
    async with imported(file, databases.make(engine), shop) as other:
        for n in range(len(wordings)):
            assert (await other.ask({"type": "customer", "id": f"c-{n}"}, "improvement"))["reason"] == "objected"


def done_of(place: Path) -> int:
    """How many identifiers an export has written."""
    return int(json.loads(place.read_bytes())["identifiers"]) if place.exists() else 0


def _kill_once_there_is(file: Path, process: Forked) -> int:
    while done_of(file) == 0:
        assert process.poll() is None
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    return process.wait(10)
