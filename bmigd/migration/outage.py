"""What users of a guest notice of its switchover: how long an address of it does not answer.

Measured on the source, by one clock, from before the guest goes down until it answers from its new
place: what the announcement there is worth is part of it. It never fails a migration.
"""

from bmigd.migration.recorder import Recorder
from bmigd.reachability import Reachability

FIRST_ANSWER_S = 0.5  # the guest runs meanwhile
ANSWERS_AGAIN_S = 5.0  # the guest runs elsewhere meanwhile


class Outage:
    """The measurement of one migration; of nothing where no address was given."""

    def __init__(self, recorder: Recorder, address: str) -> None:
        self._recorder = recorder
        self._address = address
        self._reachability: Reachability | None = None

    async def begin(self) -> None:
        """Begin to ask; return when the guest has answered, or is not waited for."""
        if not self._address:
            return
        try:
            self._reachability = Reachability(self._address)
        except OSError as error:
            self._tell(f"cannot be asked for an echo: {error}")
            return
        if await self._reachability.again(FIRST_ANSWER_S) is None:
            self._tell("does not answer: how long it is silent is not measured")
            self.close()

    async def end(self) -> None:
        """The guest runs at its new place: note how long it was silent, once it answers there."""
        if self._reachability is None:
            return
        silent_s = await self._reachability.again(ANSWERS_AGAIN_S)
        if silent_s is None:
            self._tell(f"does not answer, {ANSWERS_AGAIN_S:g} s after the guest runs")
        else:
            self._recorder.picture.report.network_downtime_us = round(silent_s * 1e6)
            self._tell(f"was silent for {silent_s * 1e3:.0f} ms")
        self.close()

    def close(self) -> None:
        """Ask no more. Idempotent."""
        if self._reachability:
            self._reachability.close()
            self._reachability = None

    def _tell(self, words: str) -> None:
        self._recorder.event("network", f"{self._address} {words}")
