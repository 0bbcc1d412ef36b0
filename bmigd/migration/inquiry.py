"""What became of a guest that was let go: commit it, and ask the destination until it has answered.

The rule that must not break: silence is no answer, however long it lasts; after_let_go() alone says
what is asked next, and which answer settles it.
"""

import asyncio
import random
import time

from bmigd.errors import Denied, PeerFault, PeerLost
from bmigd.journal import Record
from bmigd.migration.blackout import told_us
from bmigd.migration.handoff import Ask, Outcome, SourceEvent, SourceState, after_let_go
from bmigd.migration.ledger import Ledger
from bmigd.migration.ports import Answer, Peer
from bmigd.migration.recorder import Recorder
from bmigd.migration.silence import Silences, unless_silent

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 2.0  # the guest is down meanwhile
IN_DOUBT_AFTER_S = 3.0  # without an answer; before that it is only slow
UNTOLD_US = 300_000  # of the time until an answer came: more, and it may have lain somewhere


class Inquiry:
    """Asks about migrations that were let go to one peer."""

    def __init__(self, peer: Peer, ledger: Ledger, recorder: Recorder) -> None:
        self._peer = peer
        self._ledger = ledger
        self._recorder = recorder

    async def until_answered(self, record: Record) -> tuple[SourceEvent, Answer] | None:
        ask, commits, pause_s = Ask.COMMIT, 0, FIRST_PAUSE_S
        began = heard_at = time.monotonic()
        silences = Silences(self._recorder, guest_down=True)
        while True:
            answer, trouble = await self._ask(ask, record)
            if answer:
                silences.heard()
                heard_at = time.monotonic()
            else:
                silences.lost(f"answer to {ask.name.title()}", heard_at)
            commits += ask is Ask.COMMIT
            step = after_let_go(answer.outcome if answer else None, commits)
            if isinstance(step, SourceEvent):
                assert answer
                return step, answer
            self._note_waiting(trouble, answer, time.monotonic() - began)
            ask = step
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
            longest_s = LONGEST_PAUSE_S if self._recorder.picture.in_doubt_since_ms else 1.0
            pause_s = min(2 * pause_s, longest_s)
            if not await self._is_let_go(record):
                silences.given_up()
                return None

    async def renewed(self, record: Record, answer: Answer, waited_us: int) -> Answer:
        """The same answer as it is now, where it may be old: either daemon may have been stopped
        after it was given.
        """
        if waited_us - told_us(answer) < UNTOLD_US:
            return answer
        again, _ = await self._ask(Ask.QUERY, record)
        return again if again and again.outcome is Outcome.RUNNING else answer

    async def _is_let_go(self, record: Record) -> bool:
        there = await self._ledger.get(record.id)
        return there is not None and there.state == SourceState.LET_GO

    async def _ask(self, ask: Ask, record: Record) -> tuple[Answer | None, str]:
        identity = (record.id, record.epoch, record.peer_incarnation)
        try:
            match ask:
                case Ask.COMMIT:
                    return await self._commit(*identity), ""
                case Ask.ABORT:
                    why = "not committed in time"
                    return await self._peer.abort(*identity, why), ""
                case Ask.QUERY:
                    return await self._peer.query(*identity), ""
        except (PeerFault, Denied) as error:
            return None, str(error)

    async def _commit(self, migration_id: str, epoch: int, incarnation: str) -> Answer:
        """Starting a guest may take long; a silent peer is not waited for."""
        identity = (migration_id, epoch, incarnation)
        return await unless_silent(
            self._peer.commit(*identity),
            lambda: self._peer.query(*identity),
            IN_DOUBT_AFTER_S,
            lambda _: PeerLost("PEER_LOST", f"{self._peer.name} does not answer"),
        )

    def _note_waiting(self, trouble: str, answer: Answer | None, waited_s: float) -> None:
        if waited_s < IN_DOUBT_AFTER_S:
            return
        said = f"it says {answer.outcome.name}" if answer else trouble
        self._recorder.doubt(f"{self._peer.name} to say what became of the guest ({said})")
