"""Rounds of one migration: send a pass, look at the figures, decide, say so."""

import asyncio
import contextlib
import time
from dataclasses import replace

from bmigd.chunk import PAGE_BYTES
from bmigd.drivers.base import Memory
from bmigd.errors import LocalFault, NotPossible
from bmigd.migration.convergence import Decision, Limits, RoundFigures, Step
from bmigd.migration.costs import Cost
from bmigd.migration.forecast import Underway, dirtied_bytes_per_s, downtime_s, remaining_s
from bmigd.migration.meter import Meter
from bmigd.migration.picture import SOURCE, Options, Round, spent_parts
from bmigd.migration.recorder import Recorder
from bmigd.migration.throttle import Throttle
from bmigd.migration.throttling import Course
from bmigd.transfer.sender import Sender
from bmigd.transfer.tracker import Tracker
from bmigd.transfer.verification import differing_pages
from bmigd.unbroken import unbroken

SAMPLE_S = 0.2
MIB = 1 << 20
VERIFIED_BYTES_PER_S = 2 << 30  # read and hashed, at least


class Rounds:
    """The passes over one guest's memory and their figures."""

    def __init__(
        self,
        sender: Sender,
        tracker: Tracker,
        recorder: Recorder,
        options: Options,
        cost: Cost,
        throttle: Throttle,
    ) -> None:
        self._sender = sender
        self._tracker = tracker
        self._recorder = recorder
        self._options = options
        self._throttle = throttle
        self._cost = cost
        self._meter = Meter(sender, recorder.picture)
        self._figures: list[RoundFigures] = []
        self._first = 0  # of those that are judged
        self._limits: Limits | None = None  # once they are known
        self._told_s = cost.told_s()
        self._over_at: float | None = None  # all of it, by the latest forecast
        self._is_down = False
        self._sampled_at = 0.0
        self._began = time.monotonic()
        progress = recorder.picture.progress
        progress.memory_bytes = sum(len(one) * PAGE_BYTES for one in sender.table.regions)
        recorder.picture.report.tracker = tracker.name
        recorder.picture.report.streams = sender.streams

    async def precopy(self, memory: Memory) -> None:
        """Rounds until it is time to switch over; NotPossible (TIMEOUT, NOT_CONVERGING).

        Called again, it judges by what it did since: the guest went on while nobody copied.
        """
        self._first, self._over_at = len(self._figures), None
        self._recorder.picture.progress.forget()
        while True:
            await self._within_timeout(memory)
            self._limits = await self._limits_now()
            elapsed_s = time.monotonic() - self._began
            decision = self._course().decide(self._judged(), elapsed_s)
            self._tell(decision, elapsed_s)
            if self._course().ends_with(decision):
                if decision.step is Step.TAKE_ACTION:
                    self._recorder.event("decision", "switching over as asked for")
                return
            if decision.step is Step.TAKE_ACTION:
                is_throttling = self._options.on_timeout == "throttle"
                if not (is_throttling and await self._throttle.tighten(self._figures)):
                    raise self._not_converged(decision)

    def _course(self) -> Course:
        """Of the rounds that are judged."""
        assert self._limits
        is_forced = self._options.on_timeout == "switch-over"
        strength, beyond_s = self._throttle.strength, self._cost.beyond_s
        since = replace(strength, since=max(0, strength.since - self._first))
        return Course(self._limits, since, beyond_s, is_forced=is_forced)

    def _judged(self) -> list[RoundFigures]:
        return self._figures[self._first :]

    def _tell(self, decision: Decision, elapsed_s: float) -> None:
        self._foresee(self._judged(), elapsed_s, 0.0)
        self._recorder.event("decision", f"{decision.step.value}: {decision.why}")

    def _foresee(self, rounds: list[RoundFigures], elapsed_s: float, until_s: float) -> None:
        """What people are told of what is to come, the last of these rounds ending in until_s."""
        progress, course = self._recorder.picture.progress, self._course()
        dirtied = dirtied_bytes_per_s(rounds, reads_all=self._tracker.reads_all)
        if dirtied is not None:
            progress.dirty_rate_bytes_per_s = round(dirtied)
        progress.estimated_downtime_ms = _ms(downtime_s(rounds, course, elapsed_s))
        left_s = remaining_s(rounds, course, elapsed_s)
        progress.is_without_end = left_s is None and len(rounds) > 1
        self._expect_end_in(until_s + left_s if left_s is not None else None)

    def _expect_end_in(self, left_s: float | None) -> None:
        self._over_at = time.monotonic() + left_s if left_s is not None else None
        self._recorder.picture.progress.estimated_remaining_ms = _ms(left_s)

    async def last_pass(self, memory: Memory) -> None:
        """Everything that is still different, the guest being down; bandwidth is not limited."""
        self._is_down = True
        self._sender.limit(0)  # whatever it spares others, a guest that is down costs more
        await self._one(memory, guest_down=True)

    async def verify(self, memory: Memory, *, is_another: bool) -> None:
        """LocalFault (MEMORY_DIFFERS) if something was written unseen, or this, which will be
        restored, is other memory than the last pass read. Only where that was asked for.
        """
        if self._options.verify and (is_another or not self._tracker.reads_all):
            await self._require_all_sent(memory)

    async def _limits_now(self) -> Limits:
        """As far as is known now: what is filled of the guest's memory is seen by sending it."""
        options, loop = self._options, asyncio.get_running_loop()
        memory_bytes = self._recorder.picture.progress.memory_bytes
        filled = await loop.run_in_executor(self._sender.executor, self._sender.table.filled)
        fixed_s = self._cost.fixed_s(filled * PAGE_BYTES)
        hidden_s = self._cost.driver.hidden_s(memory_bytes)
        if options.verify:  # there, and here if the last pass does not do it
            readings = 1 if self._tracker.reads_all and not hidden_s else 2
            fixed_s += readings * memory_bytes / VERIFIED_BYTES_PER_S
        reads_all = self._tracker.reads_all
        limit_s = options.downtime_limit_ms / 1000
        return Limits(limit_s, options.timeout_s, fixed_s, hidden_s, reads_all)

    def sample(self) -> None:
        """Bring progress up to date; tell watchers now and then."""
        now = time.monotonic()
        if now - self._sampled_at < SAMPLE_S:
            return
        self._sampled_at = now
        self._look_ahead(now, self._meter.show())
        self._recorder.sample()

    def _look_ahead(self, now: float, underway: Underway) -> None:
        """From the middle of a round; where that tells nothing, the end is when it was to be."""
        whole = underway.whole()
        if self._is_down or not whole:
            left_s = self._over_at - now if self._over_at else 0.0
            self._expect_end_in(left_s if left_s > 0 else None)
            return
        until_s = whole.duration_s - underway.figures.duration_s
        if self._limits:
            self._foresee([*self._judged(), whole], now - self._began + until_s, until_s)
        else:
            self._expect_end_in(until_s + self._told_s)

    async def _require_all_sent(self, memory: Memory) -> None:
        loop, executor = asyncio.get_running_loop(), self._sender.executor
        pages, found = 0, 0
        with contextlib.closing(differing_pages(memory, self._sender.table)) as steps:
            while found >= 0:
                pages += found
                step = loop.run_in_executor(executor, next, steps, -1)
                found = await unbroken(step)  # memory may be unmapped once this has ended
        if pages:
            raise LocalFault(
                "MEMORY_DIFFERS",
                f"{pages} pages were written without the tracker {self._tracker.name!r} seeing it",
                "use --tracker content; something other than the guest's hypervisor writes them",
            )

    async def _within_timeout(self, memory: Memory) -> None:
        """A round; one that outlasts the operator's timeout is cut short if that means abort."""
        if self._options.on_timeout != "abort":
            await self._one(memory, guest_down=False)
            return
        left_s = self._options.timeout_s - (time.monotonic() - self._began)
        try:
            async with asyncio.timeout(max(0.0, left_s)) as limit:
                await self._one(memory, guest_down=False)
        except TimeoutError:
            if not limit.expired():
                raise
            why = f"round {len(self._figures) + 1} was not done after {self._options.timeout_s:g} s"
            raise self._not_converged(Decision(Step.TAKE_ACTION, why, 0.0, "TIMEOUT")) from None

    async def _one(self, memory: Memory, *, guest_down: bool) -> None:
        number = self._meter.begin()
        await self._sender.send_pass(self._tracker.scan(memory))
        self._meter.show()
        one = self._meter.end()
        self._figures.append(one)
        took_us = round(one.duration_s * 1e6)
        self._keep(Round(number, one.sent_bytes, one.wire_bytes, took_us, guest_down))

    def _keep(self, one: Round) -> None:
        report, totals = self._recorder.picture.report, self._sender.totals
        report.rounds.append(one)
        report.sent_bytes, report.wire_bytes = totals.sent_bytes, totals.wire_bytes
        report.resent_bytes = self._sender.resent_bytes
        report.spent = spent_parts(totals.spent.seconds, SOURCE)
        self._recorder.event(
            "round",
            f"round {one.number}{' (guest down)' if one.guest_down else ''}:"
            f" {one.dirty_bytes / MIB:.1f} MiB in {one.duration_us / 1e6:.2f} s,"
            f" {one.wire_bytes / MIB:.1f} MiB on the wire",
        )
        self._recorder.keep()

    def _not_converged(self, decision: Decision) -> NotPossible:
        is_throttling = self._options.on_timeout == "throttle"
        slow = "" if is_throttling else " have the guest slowed down (--on-timeout throttle),"
        late = " more time (--timeout)," if decision.reason == "TIMEOUT" else ""
        return NotPossible(
            decision.reason,
            decision.why,
            f"allow{late} more bandwidth (--bandwidth), or a longer downtime (--downtime-limit),"
            f"{slow} switch over all the same (--on-timeout switch-over), or try when the guest is"
            " quieter",
        )


def _ms(seconds: float | None) -> int | None:
    """As progress has it."""
    return None if seconds is None else max(0, round(seconds * 1000))
