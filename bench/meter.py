"""What a migration costs: bytes on the interface, processor time of both sides.

The guest's own processors do not count: they do the guest's work, however long the migration takes.
What the guest loses to it, as faults on watched pages, is therefore not in these figures either.
"""

import threading
from collections.abc import Iterable
from pathlib import Path

import psutil

SAMPLE_S = 0.05


def interface_bytes(pid: int, interface: str = "lo") -> int:
    """What has come in through an interface of a process's network namespace."""
    lines = [line.split() for line in Path(f"/proc/{pid}/net/dev").read_text().splitlines()]
    return next(int(words[1]) for words in lines if words[0] == f"{interface}:")


def processes_of(directory: Path) -> list[psutil.Process]:
    """Those that name a node's directory in their arguments."""
    needle = f"{directory}/"
    return [
        one
        for one in psutil.process_iter(["cmdline"])
        if any(needle in word for word in one.info["cmdline"] or ())
    ]


class Meter(threading.Thread):
    """Processor time of one side's processes, from now on; samples those that may end."""

    def __init__(self, processes: Iterable[psutil.Process]) -> None:
        super().__init__(daemon=True)
        self._processes = list(processes)
        self._before = {one.pid: _times(one) for one in self._processes}
        self._latest = dict(self._before)
        self._over = threading.Event()
        self.start()

    def run(self) -> None:
        """Until stopped."""
        while not self._over.wait(SAMPLE_S):
            self._look()

    def stop(self, now: Iterable[psutil.Process], guest_threads: Iterable[int]) -> float:
        """Seconds, with what processes that came meanwhile took; without some threads."""
        self._over.set()
        self.join()
        self._look()
        come = {one.pid: _times(one) for one in now if one.pid not in self._before}
        spent = dict.fromkeys(come, (0.0, dict[int, float]())) | self._before
        return sum(
            _without(after, set(guest_threads)) - _without(spent[pid], set(guest_threads))
            for pid, after in (self._latest | come).items()
        )

    def _look(self) -> None:
        for one in self._processes:
            if (times := _times(one))[0]:
                self._latest[one.pid] = times


Times = tuple[float, dict[int, float]]  # of all threads, those that ended too; and of each


def _times(process: psutil.Process) -> Times:
    """Nothing of a process that has ended."""
    try:
        all_of_it = process.cpu_times()
        threads = {one.id: one.user_time + one.system_time for one in process.threads()}
    except psutil.Error:
        return 0.0, {}
    return all_of_it.user + all_of_it.system, threads


def _without(times: Times, threads: set[int]) -> float:
    return times[0] - sum(spent for thread, spent in times[1].items() if thread in threads)
