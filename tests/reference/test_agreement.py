"""The core and the reference give the same answers and take the same writes, whatever Hypothesis makes up.

A longer search, of other examples each time: MAYWE_EXAMPLES=20000 pytest tests/reference/test_agreement.py
"""

import os
from collections import Counter
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, Phase, event, given, settings

from app.decision.catalogue import Timeline
from app.decision.model import Decision
from tests.harness.effort import effort
from tests.reference.core import Core
from tests.reference.generators import NOW, Act, Case, cases_of, on_grid, read
from tests.reference.model import World


def bounded(examples: int, *phases: Phase) -> settings:
    """Always the same examples; or, if so many are asked for, as many new ones."""
    wanted = int(os.environ.get("MAYWE_EXAMPLES", "0"))
    return settings(
        max_examples=wanted or examples,
        derandomize=not wanted,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=phases or tuple(Phase),
    )


REASONS = frozenset(
    """no_catalogue unknown_purpose purpose_disabled not_personal_data unknown_data_category data_category_not_covered
    channel_required channel_not_declared recipient_own_purposes recipient_not_reviewed no_transfer_safeguard
    recipient_not_declared retention_elapsed no_basis_in_jurisdiction suppressed child child_consent_invalid
    restriction_storage restriction_exempt restricted objected_to_marketing consent_withdrawn consent_refused
    automation_opt_out consent_not_explicit special_category gpc_opt_out basis_added_after_refusal consent_given
    no_consent channel_not_consented consent_requested consent_expired consent_outdated consent_invalid contract
    no_contract legal_obligation vital_interest legitimate_interest public_task soft_opt_in legal_claims
    objection_overridden objected no_permission_for_channel not_informed""".split()
)
PROBLEMS = {
    None,
    "refused",
    "notice-not-in-force",
    "no-consent-ground",
    "channel-required",
    "explicit-consent-required",
    "contradictory-choices",
    "no-objection",
}


class Both:
    """The core and the reference side by side."""

    def __init__(self, case: Case) -> None:
        self.problems: set[str | None] = set()
        self.world = World()
        for document in case.documents:
            self.world.publish(document, at=on_grid(9))
        self.core = Core(Timeline([read(document) for document in case.documents]))
        self.now = NOW

    def act(self, act: Act) -> None:
        """Both do it, or both refuse."""
        self.now += timedelta(seconds=1)
        _ACTS[act.what](self, act)

    def _record(self, act: Act) -> None:
        if act.what == "choices":
            said = {"notice": act.notice, "method": act.method}
            problem = self.world.choices(act.who, act.items, at=act.at, now=self.now, **said)
        else:
            problem = self.world.facts(act.who, act.items, at=act.at, now=self.now)
        self.problems.add(problem)
        taken = self.core.record(act, self.now)
        assert taken == (problem is None), (act, problem)

    def _link(self, act: Act) -> None:
        assert act.to is not None
        problem = self.world.link(act.who, act.to, carry_consents=act.is_yes, now=self.now)
        one = self.core.holder(act.who)
        if problem is not None:
            return
        other = self.core.holder(act.to)
        if one is other:
            return
        if self.world.are_one(act.who, act.to):
            self.core.merge(one, other)
        else:
            self.core.attach(one, other)

    def _unlink(self, act: Act) -> None:
        assert act.to is not None
        if act.who not in self.world.holders or act.to not in self.world.holders:
            return
        person, device = self.world.parting(act.who, act.to, now=self.now)
        if self.world.unlink(act.who, act.to, now=self.now) is None:
            self.core.unlink(person, device, self.now)

    def _erase(self, act: Act) -> None:
        problem = self.world.erase(act.who, force=act.is_yes, now=self.now)
        if act.who in self.core.holders:
            assert self.core.erase(act.who, self.now, force=act.is_yes) == (problem is None)

    def ask(self, question: dict[str, Any]) -> Decision:
        """The answer, the same from both."""
        told = self.core.ask(question, self.now)
        answer = {
            "decision": told.decision,
            "reason": told.reason,
            "basis": told.basis,
            "obligations": sorted(told.obligations),
            "failing_data_categories": sorted(told.failing_data_categories),
        }
        assert answer == self.world.ask(question, now=self.now), question
        return told


_ACTS = {
    "choices": Both._record,
    "facts": Both._record,
    "link": Both._link,
    "unlink": Both._unlink,
    "erase": Both._erase,
}


def test_the_core_answers_as_the_reference_does() -> None:
    """Every reason of domain 4, and every problem that domain 3 names, comes up in what is compared."""
    seen: Counter[str] = Counter()
    problems: set[str | None] = set()

    @bounded(effort(700, 4000))
    @given(cases_of(1))
    def agree(case: Case) -> None:
        both = Both(case)
        for act in case.acts:
            both.act(act)
        problems.update(both.problems)
        for question in case.questions():
            reason = both.ask(question).reason
            seen[reason] += 1
            event(reason)

    agree()
    assert REASONS - seen.keys() == set(), seen
    assert seen.keys() - REASONS == set()
    assert problems == PROBLEMS
