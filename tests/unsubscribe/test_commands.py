"""maywe links and maywe lint-mail, as somebody who sends mail runs them."""

import base64
import csv
import io
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from app import mail_lint
from app.addressing import Subject
from app.cli import main
from app.crypto import Secrets
from app.csv_links import Unreadable, write_links
from app.decision.catalogue import Timeline
from app.links import Minter, Wanted
from app.publishing import parse
from tests.harness.service import SECRET, environment
from tests.unsubscribe.website import Website

PUBLIC = "https://consent.example"


@pytest.fixture
def minter(newsletter: dict[str, Any]) -> Minter:
    secrets = Secrets(base64.b64decode(SECRET))
    return Minter(parse(newsletter), secrets, public_url=PUBLIC, mailbox="off@shop.example")


def run(url: str, *arguments: str, stdin: str | None = None, **variables: str) -> Result:
    return CliRunner().invoke(main, arguments, input=stdin, env=environment(url) | variables)


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_links_for_a_file_of_recipients(site: Website, tmp_path: Path) -> None:
    people = [site.person() for _ in range(3)]
    file = tmp_path / "recipients.csv"
    lines = [
        "\ufeffname,email,campaign",
        *(f'"Doe, {n}",{p["id"]},spring' for n, p in enumerate(people)),
        "x,no address,",
    ]
    file.write_text("\n".join(lines), "utf-8")
    done = run(site.database_url, "links", str(file), "--purpose", "offers", "--channel", "email")
    assert done.exit_code == 1, "one row was refused"
    assert done.stderr.endswith("3 links made, 1 rows refused\n")
    rows = table(done.stdout)
    assert [row["name"] for row in rows] == ["Doe, 0", "Doe, 1", "Doe, 2", "x"]
    for row, who in zip(rows, people, strict=False):
        assert row["url"] == site.link(who, campaign="spring")["url"]
        assert row["list_unsubscribe"] == f"<{row['url']}>"
        assert row["list_unsubscribe_post"] == "List-Unsubscribe=One-Click"
    assert rows[3]["error"].startswith("invalid-identifier")
    assert rows[3]["url"] == ""
    assert site.open.post(rows[0]["url"].replace("http://127.0.0.1:8000", "")).status_code == 200
    assert [site.ask(who)[0] for who in people] == [False, True, True]


def test_links_need_no_database(newsletter: dict[str, Any], tmp_path: Path, minter: Minter) -> None:
    catalogue = tmp_path / "catalogue.yaml"
    catalogue.write_text(yaml.safe_dump(newsletter), "utf-8")
    nowhere = f"sqlite:///{tmp_path / 'nowhere' / 'maywe.db'}"
    done = run(
        nowhere,
        *("links", "-", "--catalogue", str(catalogue), "--channel", "email", "--type", "email"),
        stdin="id,purpose\nada@example.com,offers\n",
        MAYWE_PUBLIC_URL=PUBLIC,
        MAYWE_UNSUBSCRIBE_MAILBOX="off@shop.example",
    )
    assert done.exit_code == 0, done.stderr
    made = minter.mint(Wanted(Subject("email", "ada@example.com"), "offers", "email"))
    [row] = table(done.stdout)
    assert (row["url"], row["list_unsubscribe"]) == (made.url, made.headers["List-Unsubscribe"])
    assert not (tmp_path / "nowhere").exists()


def test_a_file_that_does_not_say_whom_is_refused(minter: Minter) -> None:
    with pytest.raises(Unreadable):
        write_links(["name,surname\n", "a,b\n"], io.StringIO(), minter, wanted=Wanted(Subject()))


def test_a_short_row_is_refused_and_the_next_one_is_not(minter: Minter) -> None:
    out = io.StringIO()
    rows = ["type,id,purpose,channel\n", "email\n", "phone,+4915112345678,offers,sms,too,many\n"]
    assert write_links(rows, out, minter, wanted=Wanted(Subject())) == (1, 1)


def test_a_file_that_was_made_before_may_be_made_anew(minter: Minter) -> None:
    out = io.StringIO()
    rows = ["email,url,error\n", "ada@example.com,old,once refused\n"]
    assert write_links(rows, out, minter, wanted=Wanted(Subject(), "offers", "email")) == (1, 0)
    made = minter.mint(Wanted(Subject("email", "ada@example.com"), "offers", "email"))
    assert out.getvalue().splitlines()[0].split(",").count("url") == 1
    [row] = table(out.getvalue())
    assert (row["url"], row["error"]) == (made.url, "")


def test_what_is_no_csv_is_said_in_one_line(newsletter: dict[str, Any], tmp_path: Path) -> None:
    catalogue = tmp_path / "catalogue.yaml"
    catalogue.write_text(yaml.safe_dump(newsletter), "utf-8")
    done = run(
        f"sqlite:///{tmp_path / 'maywe.db'}",
        *("links", "-", "--catalogue", str(catalogue), "--channel", "email", "--purpose", "offers"),
        stdin="email\n" + "a" * 200_000 + "\n",
        MAYWE_PUBLIC_URL=PUBLIC,
    )
    assert done.exit_code == 1
    assert "the recipients are no CSV" in done.stderr


# lint-mail


def rendered(minter: Minter, **changed: Any) -> bytes:
    made = minter.mint(Wanted(Subject("email", "ada@example.com"), "offers", "email"))
    headers: dict[str, Any] = {
        "DKIM-Signature": "v=1; a=rsa-sha256; d=shop.example; s=k;\r\n\th=From:To:Subject:\r\n\t"
        "List-Unsubscribe:List-Unsubscribe-Post; bh=x; b=y",
        **made.headers,
        "From": "shop@shop.example",
        "Subject": "News",
        **changed,
    }
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([*lines, "", f"Hello. Unsubscribe: {made.url}", ""]).encode()


def findings(minter: Minter, raw: bytes) -> dict[str, str]:
    timeline = Timeline([minter.catalogue])
    secrets = Secrets(base64.b64decode(SECRET))
    return {r.code: r.level for r in mail_lint.lint(raw, secrets, timeline, PUBLIC) if r.level != "ok"}


def test_a_good_mail_has_no_findings(minter: Minter) -> None:
    assert findings(minter, rendered(minter)) == {}


def test_a_mail_without_end_has_its_headers_looked_at(minter: Minter) -> None:
    headers, _, _ = rendered(minter).partition(b"\r\n\r\n")
    endless = headers + b"\r\n" + b"Content-Type: message/rfc822\r\n\r\n" * 3000
    assert "error" not in findings(minter, endless).values()


def test_what_others_got_wrong_is_found(minter: Minter) -> None:
    url = minter.mint(Wanted(Subject("email", "ada@example.com"), "offers", "email")).url
    h_without_post = "v=1; h=From:List-Unsubscribe; b=y"
    for changed, expected in (
        ({"List-Unsubscribe": None}, {"list-unsubscribe": "error", "one-https": "error", "https-first": "error"}),
        ({"List-Unsubscribe-Post": None}, {"list-unsubscribe-post": "error"}),
        ({"List-Unsubscribe-Post": "List-Unsubscribe=one-click"}, {"list-unsubscribe-post": "error"}),
        ({"List-Unsubscribe": f"<mailto:off@shop.example>, <{url}>"}, {"https-first": "error"}),
        ({"List-Unsubscribe": f"<{url}>, <{url}>"}, {"one-https": "error"}),
        ({"List-Unsubscribe": f"<{url}>,\r\n <mailto:off@shop.example>"}, {"one-line": "warning"}),
        (
            {"List-Unsubscribe": "<https://consent.example/u/{{token}}>"},
            {"merge-tag": "error", "resolves": "error", "visible": "warning"},
        ),
        ({"List-Unsubscribe": f"<{url[:-1]}>"}, {"resolves": "error"}),
        ({"List-Unsubscribe": f"<{url.replace('consent', 'other')}>"}, {"resolves": "error", "visible": "warning"}),
        ({"DKIM-Signature": None}, {"dkim": "error", "dkim-covers": "error"}),
        ({"DKIM-Signature": h_without_post}, {"dkim-covers": "error"}),
    ):
        assert findings(minter, rendered(minter, **changed)) == expected, changed


def test_the_command_says_what_it_looked_at(site: Website, minter: Minter, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.eml", tmp_path / "bad.eml"
    good.write_bytes(rendered(minter))
    bad.write_bytes(rendered(minter, **{"DKIM-Signature": None}))
    done = run(site.database_url, "lint-mail", str(good), MAYWE_PUBLIC_URL=PUBLIC)
    assert (done.exit_code, done.stderr) == (0, "")
    assert "the link stops offers by email" in done.stdout
    done = run(site.database_url, "lint-mail", str(bad), MAYWE_PUBLIC_URL=PUBLIC)
    assert done.exit_code == 1
    assert "error    dkim: there is no DKIM signature" in done.stdout
