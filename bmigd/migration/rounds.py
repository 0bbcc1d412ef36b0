"""Rounds of one migration: send a pass, look at the figures, decide, say so."""

import asyncio
import contextlib
import time

from bmigd.chunk import PAGE_BYTES
from bmigd.drivers.base import Memory
from bmigd.errors import LocalFault, NotPossible
from bmigd.migration.convergence import Decision, Limits, RoundFigures, Step
from bmigd.migration.costs import Cost
from bmigd.migration.phases import percent
from bmigd.migration.picture import SOURCE, Options, Round, spent_parts
from bmigd.migration.recorder import Recorder
from bmigd.migration.throttle import Throttle
from bmigd.migration.throttling import decide_throttled
from bmigd.transfer.sender import PACING, Sender
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
        self._figures: list[RoundFigures] = []
        self._ended_at: float | None = None  # the last round
        self._sampled_at = 0.0
        self._began = time.monotonic()
        self._round_began = (0.0, 0, 0, 0)
        progress = recorder.picture.progress
        progress.memory_bytes = sum(len(one) * PAGE_BYTES for one in sender.table.regions)
        recorder.picture.report.tracker = tracker.name
        recorder.picture.report.streams = sender.streams

    async def precopy(self, memory: Memory) -> None:
        """Rounds until it is time to switch over; NotPossible (TIMEOUT, NOT_CONVERGING).

        Called again, it judges by what it did since: the guest went on while nobody copied.
        """
        first = len(self._figures)
        while True:
            await self._within_timeout(memory)
            elapsed_s = time.monotonic() - self._began
            strength = self._throttle.strength
            judged = self._figures if strength.stopped_percent else self._figures[first:]
            decision = decide_throttled(judged, await self._limits(), elapsed_s, strength)
            self._tell(decision)
            if decision.step is Step.SWITCH_OVER:
                return
            if decision.step is Step.TAKE_ACTION:
                if self._options.on_timeout == "switch-over":
                    self._recorder.event("decision", "switching over as asked for")
                    return
                is_throttling = self._options.on_timeout == "throttle"
                if not (is_throttling and await self._throttle.tighten(self._figures)):
                    raise self._not_converged(decision)

    def _tell(self, decision: Decision) -> None:
        expected_s = decision.expected_downtime_s + self._cost.beyond_s
        self._recorder.picture.progress.estimated_downtime_ms = round(expected_s * 1000)
        self._recorder.event("decision", f"{decision.step.value}: {decision.why}")

    async def last_pass(self, memory: Memory) -> None:
        """Everything that is still different, the guest being down; bandwidth is not limited."""
        self._sender.limit(0)  # whatever it spares others, a guest that is down costs more
        await self._one(memory, guest_down=True)

    async def verify(self, memory: Memory, *, is_another: bool) -> None:
        """LocalFault (MEMORY_DIFFERS) if something was written unseen, or this, which will be
        restored, is other memory than the last pass read. Only where that was asked for.
        """
        if self._options.verify and (is_another or not self._tracker.reads_all):
            await self._require_all_sent(memory)

    async def _limits(self) -> Limits:
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
        self._update_progress(now)
        self._recorder.sample()

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
        totals, progress = self._sender.totals, self._recorder.picture.progress
        progress.round = number = progress.round + 1
        began = time.monotonic()
        waited_s = began - self._ended_at if self._ended_at else 0.0
        self._round_began = (began, totals.scanned_bytes, totals.sent_bytes, totals.wire_bytes)
        _, _, sent_before, wire_before = self._round_began
        paced_s = totals.spent.sum(PACING)
        await self._sender.send_pass(self._tracker.scan(memory))
        duration_s = time.monotonic() - began
        sent, wire = totals.sent_bytes - sent_before, totals.wire_bytes - wire_before
        paced_s = (totals.spent.sum(PACING) - paced_s) / self._sender.streams
        self._figures.append(RoundFigures(sent, wire, duration_s, paced_s, waited_s))
        self._ended_at = began + duration_s
        if number > 1 and not guest_down:
            # What this round sent is what the guest dirtied since the round before began.
            since_s = self._figures[-2].duration_s + waited_s
            progress.dirty_rate_bytes_per_s = round(sent / max(since_s, 0.001))
        self._keep(Round(number, sent, wire, round(duration_s * 1e6), guest_down))

    def _keep(self, one: Round) -> None:
        self._update_progress(time.monotonic())
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

    def _update_progress(self, now: float) -> None:
        picture, totals = self._recorder.picture, self._sender.totals
        progress = picture.progress
        began, scanned, sent, _ = self._round_began
        progress.round_scanned_bytes = totals.scanned_bytes - scanned
        progress.sent_bytes, progress.wire_bytes = totals.sent_bytes, totals.wire_bytes
        elapsed_s = max(now - began, 0.001)
        if totals.sent_bytes > sent:
            progress.rate_bytes_per_s = round((totals.sent_bytes - sent) / elapsed_s)
        fraction = progress.round_scanned_bytes / max(progress.memory_bytes, 1)
        if fraction > 0:
            progress.estimated_remaining_ms = round(elapsed_s * 1000 * (1 - fraction) / fraction)
        # The first round is most of the work; later ones share what is left.
        done = 0.85 * fraction if progress.round == 1 else 1 - 0.15 * 0.6 ** (progress.round - 1)
        progress.percent = percent(picture.phase, done, progress.percent)

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
