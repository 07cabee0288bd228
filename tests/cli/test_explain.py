"""explain says in words what a check answers, and asks for the identifier where nobody else sees it."""

import anyio.to_thread
import pytest
from click.testing import CliRunner, Result

from app.cli import main
from tests.harness.service import SECRET, Maywe

ADA = {"type": "email", "id": "ada@example.com"}
GIVE = {"purpose": "offers", "channel": "email", "choice": "give"}


async def explain(maywe: Maywe, *arguments: str, typed: str = "Ada@Example.com\n") -> Result:
    settings = {"MAYWE_DATABASE_URL": maywe.url, "MAYWE_SECRET_KEY": SECRET}
    return await anyio.to_thread.run_sync(
        lambda: CliRunner().invoke(main, ["explain", *arguments], env=settings, input=typed)
    )


async def test_a_yes_says_on_what_it_rests_and_what_to_see_to(maywe: Maywe) -> None:
    given = await maywe.choose(ADA, GIVE, notice="conformance-1")
    said = (await explain(maywe, "offers", "--channel", "email")).stdout
    assert said.startswith("YES: offers by email: consent_given, resting on consent\n")
    assert "must see to: unsubscribe_link" in said
    assert f"because of choice.give on {given['events'][0]['occurred_at'][:10]}" in said
    assert "under notice conformance-1" in said
    assert "passes  ground consent" in said


async def test_a_no_says_which_step_stopped_it(maywe: Maywe) -> None:
    await maywe.choose(ADA, {**GIVE, "choice": "withdraw"})
    subject_id = await maywe.find(ADA)
    said = (await explain(maywe, "offers", "--channel", "email", "--subject-id", subject_id, typed="")).stdout
    assert said.startswith("NO: offers by email: consent_withdrawn\n")
    assert "stops   marketing: consent_withdrawn" in said
    assert "because of choice.withdraw" in said


@pytest.mark.parametrize(
    ("arguments", "typed", "expected"),
    [
        (["ofers"], "ada@example.com\n", "did you mean offers?"),
        (["offers"], "no address\n", "one @"),
        (["offers", "--type", "fax"], "1\n", "no such identifier type"),
    ],
)
async def test_what_is_mistyped_is_said(maywe: Maywe, arguments: list[str], typed: str, expected: str) -> None:
    done = await explain(maywe, *arguments, typed=typed)
    assert expected in done.output
