"""explain: a decision, for people."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click

from app.addressing import Subject
from app.asking import Answers, Asked, ask, hint
from app.commands.working import with_store
from app.decision.model import Consideration, Decision, Question
from app.decision.refusal import Invalid
from app.storage.store import Store


@click.command()
@click.argument("purpose")
@click.option("--channel", help="How the purpose would reach the person.")
@click.option("--data-category", "data_categories", multiple=True, help="What would be used; may be repeated.")
@click.option("--recipient", help="A third party the data would go to.")
@click.option("--jurisdiction", help="Where the person is, such as DE.")
@click.option("--subject-id", help="The person by the opaque id; without it an identifier is asked for.")
@click.option("--type", "identifier_type", default="email", show_default=True, help="The type of that identifier.")
def explain(purpose: str, subject_id: str | None, identifier_type: str, **about: Any) -> None:
    """Say whether PURPOSE is allowed about a person now, and why.

    The identifier is read from standard input, so that it stands in no list of processes and no history."""
    question = Question(purpose, **about | {"data_categories": about["data_categories"] or None})
    if subject_id is None:
        subject = Subject(identifier_type, click.prompt(f"the person's {identifier_type}", err=True), pointer="")
    else:
        subject = Subject(subject_id=subject_id, pointer="")
    now = datetime.now(UTC)

    async def work(store: Store) -> Answers:
        async with store.database.read() as connection:
            return await ask(store, [Asked(subject, question, explain=True)], now=now, connection=connection)

    answers = with_store(work)
    decision = answers.decisions[0]
    if isinstance(decision, Invalid):
        raise click.ClickException("\n".join(fault.detail for fault in decision.faults))
    nearest = hint(decision, question, answers.catalogue)
    for line in _lines(decision, question):
        click.echo(line)
    if nearest is not None:
        click.echo(nearest)


def _lines(decision: Decision, question: Question) -> Iterator[str]:
    on = f" by {question.channel}" if question.channel else ""
    rests = f", resting on {decision.basis}" if decision.basis else ""
    yield f"{'YES' if decision.decision else 'NO'}: {question.purpose}{on}: {decision.reason}{rests}"
    if decision.failing_data_categories:
        yield f"  not for: {', '.join(decision.failing_data_categories)}"
    for obligation in decision.obligations:
        yield f"  whoever goes ahead must see to: {obligation}"
    for event in decision.determining:
        agreed = f", under notice {event.notice}" if event.notice else ""
        yield f"  because of {event.type} on {event.at:%Y-%m-%d %H:%M:%S} UTC{agreed} ({event.id})"
    if decision.valid_until is not None:
        yield f"  time alone may change this on {decision.valid_until:%Y-%m-%d %H:%M:%S} UTC"
    yield f"  by catalogue {decision.catalogue_version}, step by step:"
    for considered in decision.considered:
        yield f"    {_step(considered)}"


def _step(considered: Consideration) -> str:
    name = considered.step.replace("_", " ")
    if considered.basis is not None:
        name = f"{name} {considered.basis}" + (f" ({considered.reference})" if considered.reference else "")
    return f"{'passes' if considered.holds else 'stops '}  {name}" + (
        f": {considered.reason}" if considered.reason else ""
    )
