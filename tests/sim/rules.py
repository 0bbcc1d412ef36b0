"""The decisions that a simulated node takes: the daemon's own, unless a mutation replaces one."""

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

from bmigd.migration import handoff, steps
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
from bmigd.migration.steps import Step

D: TypeAlias = DestinationState
S: TypeAlias = SourceState


class Rules(NamedTuple):
    """Every decision that matters, by the name that it has in the daemon."""

    advance_source: Callable[[S, SourceEvent], S] = handoff.advance_source
    advance_destination: Callable[[D, DestinationEvent], D] = handoff.advance_destination
    answer: Callable[[D], Outcome] = handoff.answer
    is_for: Callable[[str, str], bool] = handoff.is_for
    on_request: Callable[[D, Request], DestinationEvent | None] = handoff.on_request
    on_unknown: Callable[[Request, str, str], Verdict] = handoff.on_unknown
    on_lease_over: Callable[[D], DestinationEvent | None] = handoff.on_lease_over
    may_let_go: Callable[[bytes, bytes | None], bool] = handoff.may_let_go
    after_let_go: Callable[[Outcome | None, int], SourceEvent | Ask] = handoff.after_let_go
    is_withdrawn: Callable[[Outcome | None], bool] = handoff.is_withdrawn
    why_not_resolve: Callable[[S, Outcome | None], str] = handoff.why_not_resolve
    why_not_open: Callable[[Mark, Mark | None], str] = handoff.why_not_open
    after_restart: Callable[[D, Evidence], DestinationEvent | None] = handoff.after_restart
    after_execution: Callable[[Evidence], DestinationEvent | None] = handoff.after_execution
    source_after_restart: Callable[[S], SourceEvent | None] = steps.source_after_restart
    source_steps: Mapping[SourceEvent, tuple[Step, ...]] = steps.SOURCE_STEPS
    destination_steps: Mapping[DestinationEvent, tuple[Step, ...]] = steps.DESTINATION_STEPS
