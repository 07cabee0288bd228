"""Import: rows of a file, each as if it came alone; what is wrong with one spoils no other."""

import csv
import fcntl
import itertools
import json
import os
import signal
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
from click.testing import Result

from app.storage import ledger
from tests.harness.databases import Databases
from tests.harness.processes import Forked
from tests.harness.service import Maywe, command_here, environment, in_process

HEADER = "type,id,purpose,scope,channel,choice,explicit,notice,method,occurred_at,wording"
GIVE = "email,{who},offers,,email,give,,conformance-1,web_form,{at},Yes please"
NO = "email,{who},offers,,email,withdraw,,,,{at},"
OFFERS = {"purpose": "offers", "channel": "email"}


def at(day: int) -> str:
    return f"2026-05-{day:02d}T10:00:00Z"


def ada(n: int = 0) -> dict[str, Any]:
    return {"type": "email", "id": f"p{n}@example.com"}


def give(n: int = 0, day: int = 1) -> str:
    return GIVE.format(who=f"p{n}@example.com", at=at(day))


def withdraw(n: int = 0, day: int = 1) -> str:
    return NO.format(who=f"p{n}@example.com", at=at(day))


def results(file: Path) -> dict[int, str]:
    """What the file of results says of each row, by its first line."""
    with file.open(newline="") as opened:
        return {int(row[0]): row[1] for row in csv.reader(opened) if row[0].isdigit()}


async def load(
    maywe: Maywe,
    folder: Path,
    *lines: str | bytes,
    name: str = "people.csv",
    header: str | None = HEADER,
    more: Any = (),
) -> tuple[Result, dict[int, str]]:
    """Import lines, and what became of each."""
    file = folder / name
    content = [line if isinstance(line, bytes) else line.encode() for line in (*([header] if header else ()), *lines)]
    file.write_bytes(b"\n".join(content) + b"\n")
    done = await command_here(maywe.url, "import", str(file), *more)
    kept = file.with_name(file.name + (".dry-run.csv" if "--dry-run" in more else ".results.csv"))
    return done, results(kept) if kept.exists() else {}


async def history(maywe: Maywe, subject: dict[str, Any]) -> list[dict[str, Any]]:
    answer = await maywe.http.get(f"/v1/subjects/{await maywe.find(subject)}/events")
    events: list[dict[str, Any]] = answer.json()["events"]
    return events


async def assert_whole(maywe: Maywe) -> None:
    """The chain is right, and the state is what the ledger tells."""
    for check in (["verify"], ["rebuild", "--check"]):
        done = await command_here(maywe.url, *check)
        assert done.exit_code == 0, done.output


async def test_rows_become_choices_with_their_evidence(maywe: Maywe, tmp_path: Path) -> None:
    objection = f"customer,c-1,,all_marketing,,object,,,phone,{at(3)},"
    done, told = await load(maywe, tmp_path, give(1), withdraw(2), objection, give(1, day=2), withdraw(1, day=4))
    assert done.exit_code == 0, done.output
    assert told == dict.fromkeys(range(2, 7), "created")
    assert (await maywe.ask(ada(1), **OFFERS))["reason"] == "consent_withdrawn"
    assert (await maywe.ask({"type": "customer", "id": "c-1"}, **OFFERS))["reason"] == "objected_to_marketing"
    first = (await history(maywe, ada(1)))[0]
    assert first["type"] == "choice.give"
    assert first["occurred_at"] == "2026-05-01T10:00:00Z"
    assert first["details"] == {
        "key_id": "operator",
        "method": "web_form",
        "notice": "conformance-1",
        "evidence": {"wording": "Yes please"},
    }
    await assert_whole(maywe)


async def test_the_same_rows_by_json_and_by_the_door_end_in_the_same_state(maywe: Maywe, tmp_path: Path) -> None:
    row = {**ada(1), **OFFERS, "choice": "give", "notice": "conformance-1", "method": "app", "occurred_at": at(1)}
    no = {**ada(2), "scope": "automation", "choice": "object", "occurred_at": at(1)}
    lines = [json.dumps(row), json.dumps(no), json.dumps(row)]
    _, told = await load(maywe, tmp_path, *lines, name="people.ndjson", header=None)
    assert told == {1: "created", 2: "created", 3: "unchanged"}
    more = {"notice": "conformance-1", "method": "app", "occurred_at": at(1)}
    again = await maywe.choose(ada(1), {**OFFERS, "choice": "give"}, **more)
    assert again["events"][0]["effective"] is False
    assert len(await history(maywe, ada(1))) == 1


async def test_an_import_turns_no_opt_out_into_an_opt_in_without_proof(maywe: Maywe, tmp_path: Path) -> None:
    await maywe.choose(ada(1), {**OFFERS, "choice": "withdraw"}, occurred_at=at(10))
    await maywe.choose(ada(1), {"scope": "all_marketing", "choice": "object"}, occurred_at=at(10))
    who = ada(1)["id"]
    _, told = await load(
        maywe,
        tmp_path,
        give(1, day=9),  # older than the no
        f"email,{who},offers,,email,give,,,web_form,{at(11)},",
        f"email,{who},offers,,email,give,,conformance-1,,{at(11)},",
        f"email,{who},offers,,email,give,,conformance-1,import,{at(11)},",
        f"email,{who},offers,,email,give,,conformance-1,web_form,,",
        f"email,{who},offers,,email,give,,unknown,web_form,{at(11)},",
        f"email,{who},offers,,email,give,,conformance-1,web_form,2099-01-01T00:00:00Z,",
        f"email,{who},,all_marketing,,withdraw_objection,,,phone,{at(11)},",
        f"email,{who},offers,,email,withdraw_objection,,,phone,{at(11)},",
    )
    assert told.pop(2) == "created"
    assert all(result.startswith("refused: ") for result in told.values()), told
    assert (await maywe.ask(ada(1), **OFFERS))["decision"] is False
    _, told = await load(maywe, tmp_path, give(1, day=12), name="newer.csv")
    assert told == {2: "created"}
    assert (await maywe.ask(ada(1), **OFFERS))["reason"] == "consent_given"
    await assert_whole(maywe)


FACTS = "type,id,fact,purpose,occurred_at,reference,data_categories,grounds,decided_by,opt_out_offered"
START = "email,{who},contract_started,,{at},order-1,,,,"
RESTRICTION = "email,{who},{fact},,{at},,email name,,,"


async def test_facts_are_rows_too(maywe: Maywe, tmp_path: Path) -> None:
    lines = (
        START.format(who="p0@example.com", at=at(1)),
        RESTRICTION.format(who="p1@example.com", fact="restriction_started", at=at(1)),
        f"email,p2@example.com,sale,,{at(1)},order-1,,,,maybe",
        RESTRICTION.format(who="p3@example.com", fact="sold", at=at(1)),
    )
    _, told = await load(maywe, tmp_path, *lines, header=FACTS)
    assert [told[n] for n in (2, 3)] == ["created", "created"]
    assert told[4].startswith("refused: opt_out_offered")
    assert told[5].startswith("refused: 'fact' is one of")
    assert (await maywe.ask(ada(0), "order_updates", channel="email"))["reason"] == "contract"
    assert (await maywe.ask(ada(1), **OFFERS))["reason"] == "restricted"
    _, again = await load(maywe, tmp_path, *lines[:2], name="again.csv", header=FACTS)
    assert set(again.values()) == {"unchanged"}


async def test_an_import_lifts_nothing(maywe: Maywe, tmp_path: Path) -> None:
    """Neither a restriction nor an objection: only who decided on them can say so, one by one."""
    await maywe.establish(ada(), {"fact": "restriction_started"})
    await maywe.choose(ada(1), {"purpose": "improvement", "choice": "object"})
    lines = (
        RESTRICTION.format(who="p0@example.com", fact="restriction_lifted", at="{now}"),
        "email,p1@example.com,objection_overridden,improvement,{now},,,compelling,dpo,",
    )
    now = datetime.now(UTC).isoformat()
    _, told = await load(maywe, tmp_path, *(line.format(now=now) for line in lines), header=FACTS)
    assert all("lifts no restriction" in told[n] for n in (2, 3)), told
    assert (await maywe.ask(ada(), **OFFERS))["reason"] == "restricted"
    assert (await maywe.ask(ada(1), "improvement"))["reason"] == "objected"


async def test_an_import_lets_nobody_consent_who_was_too_young_to(maywe: Maywe, tmp_path: Path) -> None:
    """A consent that a child gave would be one, were the child none: not by a row of an import (Art. 8)."""
    await maywe.establish(ada(1), {"fact": "child", "until": "2035-01-01"})
    await maywe.choose(ada(1), {**OFFERS, "choice": "give"}, notice="conformance-1")
    assert (await maywe.ask(ada(1), **OFFERS))["reason"] == "child"
    row, tomorrow = {**ada(1), "fact": "child", "occurred_at": datetime.now(UTC).isoformat()}, {"until": "2036-01-01"}
    rows = [
        {**row, "until": "2020-01-01"},
        {**row, "until": "2035-01-01", "guardian_authorised": True},
        {**row, **tomorrow},
        {**row, **tomorrow},
    ]
    _, told = await load(maywe, tmp_path, *map(json.dumps, rows), name="children.ndjson", header=None)
    assert ["refused" if told[n].startswith("refused: fact: ") else told[n] for n in (1, 2, 3, 4)] == [
        *("refused", "refused", "created", "unchanged"),
    ]
    assert (await maywe.ask(ada(1), **OFFERS))["reason"] == "child"


async def test_a_row_ahead_of_the_clock_is_refused(maywe: Maywe, tmp_path: Path) -> None:
    """Recorded at the time of the import, it would be another choice whenever it is imported, also after a no."""
    ahead = (datetime.now(UTC) + timedelta(seconds=50)).isoformat()
    done, told = await load(maywe, tmp_path, give(1).replace(at(1), ahead))
    assert (done.exit_code, told[2]) == (1, "refused: occurred_at: This has not happened yet.")


async def test_an_opt_out_outlives_erasure_and_import(maywe: Maywe, tmp_path: Path) -> None:
    await maywe.choose(ada(1), {**OFFERS, "choice": "withdraw"}, occurred_at=at(10))
    await maywe.http.post(f"/v1/subjects/{await maywe.find(ada(1))}/erasure", json={})
    await load(maywe, tmp_path, give(1, day=9), give(2))
    assert (await maywe.ask(ada(1), **OFFERS))["reason"] == "suppressed"
    assert (await maywe.ask(ada(2), **OFFERS))["decision"] is True
    await assert_whole(maywe)


async def test_whatever_is_wrong_with_a_line_spoils_no_other(maywe: Maywe, tmp_path: Path) -> None:
    wrong: dict[str | bytes, str] = {
        'email,"open@example.com,offers,,email,give,,conformance-1,web_form,x,': "a quote left open",
        "email,few@example.com": "2 cells where there are 11 columns",
        withdraw(7) + ",more": "12 cells",
        withdraw(8).replace("p8", "pé8").encode("latin-1"): "not UTF-8",
        f"email,{'x' * 1_000_000}@example.com,offers,,email,withdraw,,,,{at(1)},": "a cell too long",
        f"email,{'x' * 1_100_000}@example.com,offers,,email,withdraw,,,,{at(1)},": "longer than 1048576 octets",
        f"fax,1,offers,,email,withdraw,,,,{at(1)},": "identifier type",
        f"email,no address,offers,,email,withdraw,,,,{at(1)},": "id: ",
        f"email,a@example.com,ofers,,email,withdraw,,,,{at(1)},": "purpose: ",
        f"email,a@example.com,offers,,email,stop,,,,{at(1)},": "choice: ",
        f"email,a@example.com,offers,all_marketing,email,object,,,,{at(1)},": "purpose, or about a scope",
        "email,a@example.com,offers,,email,withdraw,,,,yesterday,": "occurred_at: ",
        f"email,a@example.com,offers,,email,give,maybe,conformance-1,app,{at(1)},": "explicit: ",
    }
    lines = [withdraw(1), *wrong, withdraw(2) + "\r", "", give(3)]
    done, told = await load(maywe, tmp_path, *lines, header="\ufeff" + HEADER + "\r")
    assert done.exit_code == 1
    good = {2, len(wrong) + 3, len(wrong) + 5}
    assert {line for line, result in told.items() if result == "created"} == good
    for line, expected in enumerate(wrong.values(), start=3):
        assert told[line].startswith("refused: "), told[line]
        assert expected in told[line], told[line]
    assert f"3 created, 0 unchanged, {len(wrong)} refused" in done.output
    text = (tmp_path / "people.csv.results.csv").read_text()
    assert "example.com" not in text
    await assert_whole(maywe)


async def test_a_cell_may_have_line_breaks(maywe: Maywe, tmp_path: Path) -> None:
    said = 'Yes, ""please"",\r\n\nas soon, as\rpossible'
    lines = [withdraw(1), give(2).replace("Yes please", f'"{said}"'), withdraw(3)]
    done, told = await load(maywe, tmp_path, *lines)
    assert (done.exit_code, told) == (0, {2: "created", 3: "created", 6: "created"})
    assert (await history(maywe, ada(2)))[0]["details"]["evidence"]["wording"] == said.replace('""', '"')


async def test_what_stands_within_a_cell_is_no_row(maywe: Maywe, tmp_path: Path) -> None:
    """A person wrote lines into a form that look like rows, and whoever wrote the file put quotes as they pleased."""
    forged = give(9, day=5)
    large = f"{forged}\n{'x' * 1_100_000}\n{forged}"
    cells = [
        f'"Yes, ""please""\n{forged}\nbye"',
        f'"Yes, \\"please\\"\n{forged}\nbye"',
        f' "Yes, please\n{forged}\nbye"',
        f'"Yes" please\n{forged}\nbye"',
        f'"Yes please\\"\n{forged}\nbye"',
        f'"Yes please\\",\n{forged}\nbye"',
        f'"Yes\n{forged}\nplease\\""',
        f'"{large}"',
    ]
    for n, cell in enumerate(cells):
        row = give(n).replace("Yes please", cell)
        _, told = await load(maywe, tmp_path, withdraw(9), row, withdraw(8), name=f"{n}.csv")
        assert told.pop(2) in ("created", "unchanged")
        after = 3 + row.count("\n") + 1
        assert told.pop(after) in ("created", "unchanged"), cell[:50]
        assert all(result.startswith("refused: ") for result in told.values()), (cell[:50], told)
        assert told
        assert (await maywe.ask(ada(9), **OFFERS))["decision"] is False


async def test_a_byte_order_mark_is_before_the_first_quote(maywe: Maywe, tmp_path: Path) -> None:
    columns = b"\xef\xbb\xbf" + ",".join(f'"{column}"' for column in HEADER.split(",")).encode()
    cell = give(2).replace("Yes please", '"Yes,\nplease"')
    done, told = await load(maywe, tmp_path, columns, withdraw(1), cell, withdraw(3), header=None)
    assert (done.exit_code, told) == (0, dict.fromkeys((2, 3, 5), "created"))


async def test_no_row_is_swallowed_by_a_cell_with_other_ends_of_lines(maywe: Maywe, tmp_path: Path) -> None:
    cell = give(1).replace("Yes please", f'"Yes please\r{withdraw(2)}\r{withdraw(3)}"')
    done, told = await load(maywe, tmp_path, cell)
    assert done.exit_code == 1
    assert "they hold another row" in told[2]


async def test_no_row_is_swallowed_by_quotes_left_open(maywe: Maywe, tmp_path: Path) -> None:
    """One that opens a cell and one that ends it, on rows that have nothing to do with each other."""
    opened = give(1).replace("Yes please", '"Yes please')
    for n, (between, end) in enumerate(itertools.product(([withdraw(2)], []), ('7"', '7, or so"'))):
        done, told = await load(maywe, tmp_path, opened, *between, withdraw(3) + end, withdraw(4), name=f"{n}.csv")
        assert done.exit_code == 1
        assert "they hold another row" in told[2]
        assert set(told) == {2, 4 + len(between)}


async def test_a_quote_left_open_spoils_no_other_line(maywe: Maywe, tmp_path: Path) -> None:
    """Whatever quotes stand in lines after it, as long as they are in order; else those between may stand in a cell."""
    quoted = give(2).replace("Yes please", '"Yes, please"')
    _, told = await load(maywe, tmp_path, withdraw(1) + '"open', quoted, withdraw(3), "email,few")
    assert {n for n, result in told.items() if result == "created"} == {3, 4}
    assert "a quote left open" in told[2]
    lines = [withdraw(1) + '"open', quoted, withdraw(3).replace("offers", '"offers'), withdraw(4)]
    _, told = await load(maywe, tmp_path, *lines, name="two.csv")
    assert {n for n, result in told.items() if result in ("created", "unchanged")} == {3, 5}
    lines = [withdraw(1) + 'x"open', withdraw(5), withdraw(6) + '7"', withdraw(7)]
    _, told = await load(maywe, tmp_path, *lines, name="three.csv")
    assert {n for n, result in told.items() if result == "created"} == {5}
    assert "a quote on line 2 is not in order" in told[3]


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (f"{HEADER}\n{withdraw(1)}\n".encode("utf-16"), "not UTF-8"),
        (f"{HEADER}\n{withdraw(1)}\n".replace("\n", "\r").encode(), "CR alone"),
        (f'type,id,"choice\n{withdraw(1)}\n'.encode(), "a quote left open"),
        (b"x" * 1_100_000, "longer than"),
        (b"", "missing: choice, id, occurred_at, type"),
        (b"\0\n", "unknown: "),
    ],
)
async def test_a_file_whose_columns_cannot_be_read_lets_nothing_in(
    maywe: Maywe, tmp_path: Path, octets: bytes, expected: str
) -> None:
    file = tmp_path / "people.csv"
    file.write_bytes(octets)
    done = await command_here(maywe.url, "import", str(file))
    assert done.exit_code == 1
    assert expected in done.output


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("type,id,choice,occurred_at,purpose,purpose", "doubled: purpose"),
        ("type,id,choice,occurred_at,purpos", "unknown: column 5"),
        ("type,id,purpose", "missing: choice, occurred_at"),
    ],
)
async def test_columns_that_are_not_clear_let_nothing_in(
    maywe: Maywe, tmp_path: Path, header: str, expected: str
) -> None:
    done, _ = await load(maywe, tmp_path, withdraw(1), header=header)
    assert done.exit_code == 1
    assert expected in done.output
    assert (await maywe.http.post("/v1/subjects/find", json=ada(1))).status_code == 404


async def test_a_file_without_columns_is_not_shown(maywe: Maywe, tmp_path: Path) -> None:
    """What stands in their place may be about a person."""
    done, _ = await load(maywe, tmp_path, withdraw(2), header=withdraw(1).replace("p1@example.com", "alice"))
    assert "unknown: column 1, column 2" in done.output
    assert "alice" not in done.output


async def test_a_dry_run_tells_and_keeps_nothing(maywe: Maywe, tmp_path: Path) -> None:
    done, told = await load(maywe, tmp_path, give(1), "email,broken", more=["--dry-run"])
    assert done.exit_code == 1
    assert told[2] == "created"
    assert told[3].startswith("refused: ")
    assert (await maywe.http.post("/v1/subjects/find", json=ada(1))).status_code == 404
    _, told = await load(maywe, tmp_path, give(1), "email,broken")
    assert told[2] == "created"


async def test_results_of_another_file_are_not_taken_for_its_own(maywe: Maywe, tmp_path: Path) -> None:
    await load(maywe, tmp_path, give(1))
    done, _ = await load(maywe, tmp_path, give(2))
    assert done.exit_code == 1
    assert "tells of another file" in done.output


async def test_results_of_an_import_that_this_database_does_not_hold_are_not_believed(
    maywe: Maywe, databases: Databases, shop: dict[str, Any], engine: str, tmp_path: Path
) -> None:
    """It is another one, or was restored from a backup: what was said to be recorded would be lost."""
    await maywe.choose(ada(8), {"purpose": "offers", "choice": "refuse"})
    backup = databases.restored(maywe.url)
    await load(maywe, tmp_path, give(1), withdraw(2))
    kept = (tmp_path / "people.csv.results.csv").read_bytes()
    for name, restored in (("backup", backup), ("another", databases.make(engine))):
        async with in_process(restored) as other:
            if name == "another":
                await other.publish(shop)
            done, _ = await load(other, tmp_path, give(1), withdraw(2))
            assert done.exit_code == 1
            assert "another database" in done.output
            assert (tmp_path / "people.csv.results.csv").read_bytes() == kept
            done, told = await load(other, tmp_path, give(1), withdraw(2), withdraw(3), name=f"{name}.csv")
            assert (done.exit_code, told) == (0, {2: "created", 3: "created", 4: "created"})
            done, _ = await load(other, tmp_path, give(1), withdraw(2))
            assert done.exit_code == 1, "its chain is as long by now, and another"


async def test_what_a_dry_run_told_is_not_taken_for_done(maywe: Maywe, tmp_path: Path) -> None:
    kept = str(tmp_path / "people.csv.dry-run.csv")
    await load(maywe, tmp_path, withdraw(1), more=["--dry-run"])
    done, _ = await load(maywe, tmp_path, withdraw(1), more=["--results", kept])
    assert done.exit_code == 1
    assert "a dry run" in done.output
    done, told = await load(maywe, tmp_path, withdraw(1))
    assert told == {2: "created"}


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
async def test_results_replace_no_file_that_is_none_of_results(maywe: Maywe, tmp_path: Path, more: list[str]) -> None:
    for name, octets in (("notes.txt", b"mine"), ("some.csv", b"a,b\n1,2\n"), ("latin.txt", b"\xe9\n")):
        file = tmp_path / name
        file.write_bytes(octets)
        done, _ = await load(maywe, tmp_path, withdraw(1), more=[*more, "--results", str(file)])
        assert done.exit_code == 1
        assert "tells of another file" in done.output
        assert file.read_bytes() == octets
    await load(maywe, tmp_path, withdraw(1))
    source = tmp_path / "people.csv"
    before = source.read_bytes()
    done = await command_here(maywe.url, "import", str(source), *more, "--results", str(source))
    assert (done.exit_code, source.read_bytes()) == (1, before)


async def test_results_of_a_dry_run_replace_nothing_but_such(maywe: Maywe, tmp_path: Path) -> None:
    mine = tmp_path / "people.csv.dry-run.csv"
    mine.write_text("# my notes on the dry run\nimportant\n")
    done, _ = await load(maywe, tmp_path, withdraw(1), more=["--dry-run"])
    assert (done.exit_code, mine.read_text()) == (1, "# my notes on the dry run\nimportant\n")


async def test_results_that_another_import_is_writing_are_left_to_it(maywe: Maywe, tmp_path: Path) -> None:
    await load(maywe, tmp_path, withdraw(1))
    with (tmp_path / "people.csv.results.csv").open("r+b") as theirs:
        fcntl.flock(theirs, fcntl.LOCK_EX)
        done, told = await load(maywe, tmp_path, withdraw(1))
    assert (done.exit_code, told) == (1, {2: "created"})
    assert "another import or export is writing" in done.output


async def test_results_that_tell_of_no_ledger_are_not_believed(maywe: Maywe, tmp_path: Path) -> None:
    await load(maywe, tmp_path, withdraw(1))
    kept = tmp_path / "people.csv.results.csv"
    first, rest = kept.read_text().split("\n", 1)
    source, digest = first.split()[1::2]
    for position in ("9" * 20, "9" * 40, "x" * 20):
        kept.write_text(f"# {source} {position} {digest}\n{rest}")
        done, _ = await load(maywe, tmp_path, withdraw(1))
        assert done.exit_code == 1
        assert "move it away" in done.output


async def test_what_can_be_read_once_only_is_no_file_to_import(maywe: Maywe, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "people.csv")
    done = await command_here(maywe.url, "import", str(tmp_path / "people.csv"))
    assert done.exit_code == 1
    assert "no regular file" in done.output


async def test_results_that_cannot_be_read_again_are_not_begun(maywe: Maywe, tmp_path: Path) -> None:
    done, _ = await load(maywe, tmp_path, withdraw(1), more=["--results", os.devnull])
    assert (done.exit_code, "no regular file" in done.output) == (1, True), done.output
    assert (await maywe.http.post("/v1/subjects/find", json=ada(1))).status_code == 404


async def test_a_file_that_changes_while_it_is_imported_is_told(maywe: Maywe, tmp_path: Path) -> None:
    """Else the results would tell of lines that are not there any more, and rows that moved would be passed over."""
    file = tmp_path / "people.csv"
    rows = [withdraw(n) for n in range(2200)]
    file.write_text("\n".join([HEADER, *rows]))
    complained = tmp_path / "stderr"
    await anyio.to_thread.run_sync(_change, maywe.url, file, "\n".join([HEADER, *rows[1100:]]), complained)
    assert "people.csv changed while it was imported" in complained.read_text()
    done = await command_here(maywe.url, "import", str(file))
    assert (done.exit_code, "move it away" in done.output) == (1, True), done.output


def _change(url: str, file: Path, content: str, complained: Path) -> None:
    process = _begun(url, file, complained)
    file.write_text(content)
    assert process.wait(30) == 1


def _begun(url: str, file: Path, complained: Path = Path(os.devnull)) -> Forked:
    """An import in a process of its own, after its first thousand rows."""
    process = Forked(("import", str(file)), environment(url), stdout=Path(os.devnull), stderr=complained)
    os.setpriority(os.PRIO_PROCESS, process.pid, 19)  # so that it is not done before it is looked at
    kept = file.with_name(f"{file.name}.results.csv")
    while not (kept.exists() and len(results(kept)) >= 1000):
        assert process.poll() is None, "it ended too early"
        time.sleep(0.01)
    return process


async def test_results_that_cannot_be_opened_are_said_plainly(maywe: Maywe, tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to(tmp_path / "none" / "there")
    for name in ("none/there", "dangling"):
        done, _ = await load(maywe, tmp_path, withdraw(1), more=["--results", str(tmp_path / name)])
        assert done.exit_code == 1
        assert str(tmp_path / name) in done.output
    (tmp_path / "people.csv.dry-run.csv").write_text("mine")
    done, _ = await load(maywe, tmp_path, withdraw(1), more=["--dry-run"])
    assert (done.exit_code, (tmp_path / "people.csv.dry-run.csv").read_text()) == (1, "mine")


async def test_a_second_run_does_nothing(maywe: Maywe, tmp_path: Path) -> None:
    await load(maywe, tmp_path, give(1), withdraw(2))
    kept = (tmp_path / "people.csv.results.csv").read_bytes()
    done, _ = await load(maywe, tmp_path, give(1), withdraw(2))
    assert done.exit_code == 0
    assert (tmp_path / "people.csv.results.csv").read_bytes() == kept
    assert len(await history(maywe, ada(1))) == 1


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGINT])
async def test_interrupted_and_started_again_it_ends_in_the_same_state(
    maywe: Maywe, tmp_path: Path, by: signal.Signals
) -> None:
    file = tmp_path / "people.csv"
    count = 2000
    file.write_text("\n".join([HEADER, *(give(n) if n % 2 else withdraw(n) for n in range(count))]) + "\n")
    kept = tmp_path / "people.csv.results.csv"
    await anyio.to_thread.run_sync(_interrupt, maywe.url, file, by)
    before = len(results(kept))
    assert 1000 <= before < count
    with kept.open("a") as opened:
        opened.write("12")  # a line written half
    done = await command_here(maywe.url, "import", str(file))
    assert done.exit_code == 0, done.output
    told = results(kept)
    assert set(told) == set(range(2, count + 2))
    assert set(told.values()) <= {"created", "unchanged"}
    async with maywe.store.database.read() as connection:
        assert (await ledger.head(connection)).position == count + 1
    assert (await maywe.ask(ada(1999), **OFFERS))["decision"] is True
    assert (await maywe.ask(ada(0), **OFFERS))["decision"] is False
    await assert_whole(maywe)


def _interrupt(url: str, file: Path, by: signal.Signals) -> None:
    process = _begun(url, file)
    os.kill(process.pid, by)
    assert process.wait(30) != 0


async def test_long_rows_are_recorded_in_smaller_units(maywe: Maywe, tmp_path: Path) -> None:
    """Memory does not grow with what people were shown."""
    rows = [give(n).replace("Yes please", "x" * 100_000) for n in range(50)]
    done, _ = await load(maywe, tmp_path, *rows)
    assert done.exit_code == 0
    first, last = [(await history(maywe, ada(n)))[0]["recorded_at"] for n in (0, 49)]
    assert first < last
    await load(maywe, tmp_path, *(give(n) for n in range(50, 100)), name="short.csv")
    first, last = [(await history(maywe, ada(n)))[0]["recorded_at"] for n in (50, 99)]
    assert first == last


async def test_rows_about_one_person_are_recorded_in_smaller_units(maywe: Maywe, tmp_path: Path) -> None:
    """Each is judged by all before it: a thousand at once would keep everybody else from writing for too long."""
    rows = [(give if n % 2 else withdraw)(1, day=1 + n % 28) for n in range(28)]
    done, told = await load(maywe, tmp_path, *rows)
    assert (done.exit_code, set(told.values())) == (0, {"created"})
    moments = Counter(event["recorded_at"] for event in await history(maywe, ada(1)))
    assert sorted(moments.values()) == [8, 20]


async def test_the_feed_tells_of_imported_rows(maywe: Maywe, tmp_path: Path) -> None:
    await load(maywe, tmp_path, give(1), withdraw(2), withdraw(1, day=2), give(1, day=1))
    rows = (await maywe.http.get("/v1/changes")).json()["changes"]
    told = [(row["type"], row["subject_id"], row["status"]) for row in rows if row["purpose"] == "offers"]
    ada_, other = await maywe.find(ada(1)), await maywe.find(ada(2))
    assert told == [
        ("choice.give", ada_, "withdrawn"),  # what holds after the commit
        ("choice.withdraw", other, "withdrawn"),
        ("choice.withdraw", ada_, "withdrawn"),
    ]
