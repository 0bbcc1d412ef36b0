"""The rules of docs/PROTOCOL.md, broken one at a time, each with what then goes wrong.

A rule that can be broken without anything going wrong is either not needed or not explored.
"""

from typing import NamedTuple

from bmigd.migration import handoff
from bmigd.migration.handoff import (
    Ask,
    DestinationEvent,
    DestinationState,
    Evidence,
    Mark,
    Outcome,
    Request,
    SourceEvent,
    SourceState,
    Verdict,
)
from bmigd.migration.steps import DESTINATION_STEPS, SOURCE_STEPS, Step
from tests.sim.rules import Rules
from tests.sim.world import Bounds

D, DE, S, SE = DestinationState, DestinationEvent, SourceState, SourceEvent


class Mutation(NamedTuple):
    """A broken rule."""

    rule: int
    name: str
    rules: Rules
    flaw: str
    bounds: Bounds = Bounds(crashes=1, journals=0)


def _commits_the_refused(state: DestinationState, request: Request) -> DestinationEvent | None:
    refused = state is D.REFUSED and request is Request.COMMIT
    return DE.COMMITTED if refused else handoff.on_request(state, request)


def _takes_the_refused(state: DestinationState, event: DestinationEvent) -> DestinationState:
    refused = state is D.REFUSED and event is DE.COMMITTED
    return D.TAKEN if refused else handoff.advance_destination(state, event)


def _gives_up(outcome: Outcome | None, commits: int) -> SourceEvent | Ask:
    silent = outcome is None and commits
    return SE.PEER_GAVE_IT_BACK if silent else handoff.after_let_go(outcome, commits)


def _calls_it_running(found: Evidence) -> DestinationEvent | None:
    return DE.GUEST_RUNS if found.starting else handoff.after_execution(found)


def _without_proof(found: Evidence) -> DestinationEvent | None:
    return handoff.after_execution(found) if found.supervisor else DE.NEVER_RAN


def _restart_without_proof(state: DestinationState, found: Evidence) -> DestinationEvent | None:
    return _without_proof(found) if state is D.STARTED else handoff.after_restart(state, found)


def _lease_ends_all(state: DestinationState) -> DestinationEvent | None:
    taken = state in (D.TAKEN, D.STARTED)
    return DE.NEVER_RAN if taken else handoff.on_lease_over(state)


def _forgetful(request: Request, asked: str, ours: str) -> Verdict:
    return handoff.on_unknown(request, asked, ours)._replace(journalled=False)


def _any_journal(request: Request, asked: str, ours: str) -> Verdict:
    return Verdict(Outcome.REFUSED, journalled=True)


def _commit_refused(request: Request, asked: str, ours: str) -> Verdict:
    return handoff.on_unknown(Request.QUERY, asked, ours)


def _for_anyone(asked: str, ours: str) -> bool:
    return True


def _always_lets_go(root: bytes, receipt_root: bytes | None) -> bool:
    return True


def _goes_on_unwritten(outcome: Outcome | None) -> bool:
    return outcome is None or handoff.is_withdrawn(outcome)


def _resolves_always(state: SourceState, outcome: Outcome | None) -> str:
    return "" if state is S.LET_GO else handoff.why_not_resolve(state, outcome)


def _resolves_anything(state: SourceState, outcome: Outcome | None) -> str:
    return handoff.why_not_resolve(S.LET_GO, outcome)


def _opens_anything(journal: Mark, kept: Mark | None) -> str:
    return ""


def _goes_on(state: SourceState) -> SourceEvent | None:
    return None


def _here(event: SourceEvent, *order: Step) -> Rules:
    return Rules(source_steps={**SOURCE_STEPS, event: order})


def _there(event: DestinationEvent, *order: Step) -> Rules:
    return Rules(destination_steps={**DESTINATION_STEPS, event: order})


TWO, NONE_LEFT = "two copies run", "no copy of the guest can run, and no host lost its memory"
STUCK = "no way to settle, though messages flow"
OLDER = "the source brought an older memory back over a newer disk"
FORGOT = "the destination said that it gave the guest back, and does not remember"
BY_ITSELF = "a source that let go runs the guest by its own decision"
ONE_JOURNAL = Bounds(crashes=0, journals=1)
JOURNAL, CLOSE, DROP = Step.JOURNAL, Step.CLOSE, Step.DROP

MUTATIONS = (
    Mutation(
        *(1, "that nothing is left to do is journalled before it is done"),
        *(_here(SE.PEER_GAVE_IT_BACK, JOURNAL, CLOSE, Step.BRING_BACK), STUCK),
    ),
    Mutation(
        *(1, "the guest is executed before STARTED is journalled"),
        *(_there(DE.EXECUTING, Step.EXECUTE, JOURNAL), TWO),
    ),
    Mutation(
        *(2, "a refused migration can be committed"),
        Rules(on_request=_commits_the_refused, advance_destination=_takes_the_refused),
        FORGOT,
    ),
    Mutation(
        *(3, "the peer is told before the guest goes on"),
        _here(SE.FAILED, Step.TELL, Step.BRING_BACK, JOURNAL, CLOSE),
        "the peer is told while the guest is down",
    ),
    Mutation(
        *(3, "a source that restarts in MIGRATING goes on"),
        *(Rules(source_after_restart=_goes_on), STUCK),
    ),
    Mutation(
        *(3, "an aborted guest is brought back after ABORTED, and a crash between is forgotten"),
        *(_here(SE.RESTARTED, JOURNAL, Step.BRING_BACK), STUCK),
        Bounds(crashes=2, journals=0),
    ),
    Mutation(
        *(4, "the source lets go without READY"),
        Rules(may_let_go=_always_lets_go),
        "the source let go before the destination was ready",
    ),
    Mutation(
        4, "a source that let go gives up by itself", Rules(after_let_go=_gives_up), BY_ITSELF
    ),
    Mutation(
        *(4, "a source that could not write LET_GO goes on by itself"),
        *(Rules(is_withdrawn=_goes_on_unwritten), BY_ITSELF),
    ),
    Mutation(
        *(5, "a crash in STARTED counts as never run"),
        Rules(after_execution=_without_proof, after_restart=_restart_without_proof),
        OLDER,
    ),
    Mutation(
        *(5, "a guest that is still starting counts as running"),
        *(Rules(after_execution=_calls_it_running), STUCK),
    ),
    Mutation(
        *(5, "the proof is dropped before RETURNED is journalled"),
        *(_there(DE.NEVER_RAN, DROP, JOURNAL, CLOSE), NONE_LEFT),
    ),
    Mutation(6, "an unknown id is refused and forgotten", Rules(on_unknown=_forgetful), FORGOT),
    Mutation(6, "a lease ends what was taken", Rules(on_lease_over=_lease_ends_all), TWO),
    Mutation(
        *(7, "another journal answers"),
        Rules(is_for=_for_anyone, on_unknown=_any_journal),
        *(TWO, ONE_JOURNAL),
    ),
    Mutation(
        *(7, "a commit names no journal, and an unknown one is refused"),
        Rules(is_for=_for_anyone, on_unknown=_commit_refused),
        *(TWO, ONE_JOURNAL),
    ),
    Mutation(7, "an old copy is opened", Rules(why_not_open=_opens_anything), FORGOT, ONE_JOURNAL),
    Mutation(8, "resolve does not ask the peer", Rules(why_not_resolve=_resolves_always), TWO),
    Mutation(
        *(8, "resolve does not look at the journal"),
        Rules(why_not_resolve=_resolves_anything),
        "source: operator resolved in MIGRATING",
    ),
    Mutation(
        *(8, "resolve restores the memory that was kept"),
        *(_here(SE.RESOLVED, JOURNAL, Step.BRING_BACK, CLOSE), OLDER),
    ),
    Mutation(
        *(9, "state is dropped before RELEASED"),
        *(_here(SE.PEER_READY, JOURNAL, DROP), NONE_LEFT),
    ),
)
