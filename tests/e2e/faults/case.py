"""One migration to which something happens, and everything that must hold afterwards.

After every case: exactly one copy, where both journals say; memory as it must be; nothing left
over; both reports true and of one mind; the next migration of the guest takes everything along.
"""

import json
import subprocess
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.daemons import BIN, Node, eventually
from tests.e2e.faults.bench import GUEST, Bench, Row, journalled, order_path
from tests.e2e.faults.results import Result
from tests.e2e.way import RUNNING, await_pulse
from tests.judge.observed import Line
from tests.judge.verdict import Entry, judge
from tests.oracle import Params, params_of

SETTLE_S = 40.0
FINAL = {"RELEASED", "ABORTED", "RECLAIMED", "RUNNING", "REFUSED", "RETURNED"}
PHASE_OF = {
    **dict.fromkeys(("RELEASED", "RUNNING"), "PHASE_COMPLETED"),
    **dict.fromkeys(("ABORTED", "RECLAIMED", "REFUSED", "RETURNED"), "PHASE_ABORTED"),
}
BETWEEN_BEATS_S = 0.3  # at most, of a guest that says something every 50 ms
LATE_S = 1.0  # what a guest says is read at most so much later than it said it, on a busy machine
MOVED, STAYED = "moved", "stayed"
OF_A_RUNNING_GUEST = {f"spool/{GUEST}.qemu", f"spool/{GUEST}.qemu/ram"}
AFRESH, BY_HAND = ", started afresh", ", down or unwatched until an operator started it"


@dataclass
class Case:
    """A guest on its source, before, during and after a fault."""

    bench: Bench
    source: Node
    destination: Node
    beats: int
    first_line: int
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    struck_at_s: float = 0.0
    began_at_s: float = 0.0
    is_over: bool = False
    _clients: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @classmethod
    def of(cls, bench: Bench) -> "Case":
        """As things are."""
        world = bench.world
        (log,) = world.directory.glob(f"host?/run/{GUEST}/console.log")
        here = log.parents[2].name
        there = "host2" if here == "host1" else "host1"
        first_line = len(bench.observer.lines)
        beats = await_pulse(world, GUEST, here, -1)
        return cls(bench, world.nodes[here], world.nodes[there], beats, first_line)

    def side(self, name: str) -> Node:
        """The node on a side."""
        return self.source if name == "source" else self.destination

    def begin(self, *options: str) -> None:
        """Ask for the migration; whatever becomes of the asking."""
        self.began_at_s = time.monotonic()
        asked = ("migrate", GUEST, self.destination.name, "--detach", "--id", self.id, *options)
        self.ask(*asked, "--node", self.source.name)

    def ask(self, *arguments: str) -> None:
        """Run bmigctl beside the test."""
        client = self.bench.world.directory / "alice.toml"
        devnull = subprocess.DEVNULL
        self._clients.append(
            subprocess.Popen(
                [BIN / "bmigctl", "--config", client, *arguments],
                stdin=devnull,
                stdout=devnull,
                stderr=devnull,
            )
        )

    def await_phase(self, phase: str, side: str = "source") -> None:
        """Wait until a daemon has logged that this migration is in a phase."""
        needle, log = f'"event": "phase {phase}"', self.side(side)
        eventually(
            lambda: any(self.id in line and needle in line for line in log.log.splitlines()),
            what=f"phase {phase}",
        )

    def await_copying(self, bandwidth: str = "6M") -> None:
        """Wait until memory is on its way, at a rate that leaves time."""
        self.begin("--bandwidth", bandwidth, "--codec", "raw")
        self.await_phase("precopy")
        state = self.destination.directory / "spool" / f"{GUEST}.in" / "state"
        eventually(lambda: state.exists() and state.stat().st_blocks > 1 << 10, what="memory")

    def strike(self) -> None:
        """The fault happens now."""
        self.struck_at_s = self.struck_at_s or time.monotonic()

    def rows(self) -> dict[str, Row | None]:
        """What both journals say."""
        return {side: journalled(self.side(side), self.id) for side in ("source", "destination")}

    def is_settled(self) -> bool:
        """Whether nothing is left to do on either side, and nobody asks again for anything."""
        if any(client.poll() is None for client in self._clients):
            return False
        rows = self.rows().values()
        if not all(row.state in FINAL and not row.pending for row in rows if row):
            return False
        return all(rows) or self._is_told_as_over()  # a first write may be yet to be made

    def _is_told_as_over(self) -> bool:
        done = self.bench.world.ctl("show", self.id, "--json", check=False)
        if done.returncode:
            return "MIGRATION_UNKNOWN" in done.stdout
        records = json.loads(done.stdout)["records"].values()
        return all(record["phase"] in PHASE_OF.values() for record in records)

    def settle(
        self, expect: str = "", *, afresh: bool = False, by_operator: bool = False
    ) -> Result:
        """Wait until it is over and see that all is well; what it came to and what it took.

        Afresh is also what an operator has started since; then no report can know of it.
        """
        eventually(self.is_settled, SETTLE_S, "settlement")
        rows = self.rows()
        source_row = rows["source"]
        outcome = MOVED if source_row and source_row.state == "RELEASED" else STAYED
        owner, other = self.source, self.destination
        if outcome == MOVED:
            owner, other = other, owner
        after = -1 if afresh else self.beats
        self.beats = await_pulse(self.bench.world, GUEST, owner.name, after)
        settle_s = time.monotonic() - self.struck_at_s
        assert expect in ("", outcome), f"{outcome}: {rows}"
        self._require_one_copy(owner, other)
        self._require_true_reports(owner, rows, afresh and not by_operator)
        silences_s = self._silences_s()
        downtime_s = max(silences_s, default=0.0)
        silent_s = sum(one for one in silences_s if one > BETWEEN_BEATS_S)
        self._require_no_longer_downtime_than(silent_s)
        self._next_one_works(owner, other)
        self._require_no_verdict(rows, afresh)
        self.is_over = True
        end = BY_HAND if by_operator else AFRESH if afresh else ""
        return Result(outcome + end, settle_s, downtime_s)

    def _require_one_copy(self, owner: Node, other: Node) -> None:
        world = self.bench.world
        where = world.where(GUEST)
        assert where == {owner.name: RUNNING}, where
        world.require_clean(other.name)
        eventually(lambda: not self._too_much(owner), 10, f"only {GUEST} on {owner.name}")

    def _too_much(self, owner: Node) -> list[str]:
        """What is on the owner beside one supervisor, one hypervisor, and what that has open."""
        found = self.bench.world.leftovers(owner.name)
        processes = [one for one in found if one.startswith("process")]
        spooled = {one for one in found if one.startswith("spool")}
        return [*(spooled - OF_A_RUNNING_GUEST), *processes[2:]]

    def _require_true_reports(self, owner: Node, rows: dict[str, Row | None], afresh: bool) -> None:
        if not any(rows.values()):
            return  # it never began: nobody knows of it
        records = self._shown()
        for side, row in rows.items():
            record = records.get(self.side(side).name)
            assert bool(row) == bool(record) or not record, (side, row, record)
            if row and record:
                self._require_true(record, row, owner, afresh)

    def _shown(self) -> dict[str, dict[str, Any]]:
        done = self.bench.world.ctl("show", self.id, "--json", check=False)
        if done.returncode:
            assert "MIGRATION_UNKNOWN" in done.stdout, done.stdout + done.stderr
            return {}
        records: dict[str, dict[str, Any]] = json.loads(done.stdout)["records"]
        return records

    def _require_true(self, record: dict[str, Any], row: Row, owner: Node, afresh: bool) -> None:
        assert (record["phase"], record["ownership"]) == (PHASE_OF[row.state], row.state), record
        assert not record["in_doubt_since_ms"], record
        assert not record["waiting_for"], record
        failure = record.get("failure") or {}
        if record["phase"] == "PHASE_ABORTED":
            assert failure, record
            assert failure["reason"], record
            assert failure["advice"], record
            assert self.source.name in failure["location"], record
        if afresh and record["side"] == (
            "SIDE_SOURCE" if owner is self.source else "SIDE_DESTINATION"
        ):
            assert "afresh" in failure["location"], record

    def _require_no_longer_downtime_than(self, silence_s: float) -> None:
        """The guest ran when it was heard, whoever could not be asked about it then."""
        assert self.told_downtime_s() <= silence_s + LATE_S, silence_s

    def told_downtime_s(self) -> float:
        """By the source's report; 0 where it has none."""
        report = self._shown().get(self.source.name, {}).get("report", {})
        return float(report.get("downtime_us", 0)) / 1e6

    def _silences_s(self) -> list[float]:
        """How long the guest said nothing, each time, since the migration was asked for."""
        lines = [line for line in self._lines() if line.at_s >= self.began_at_s - 1]
        times = sorted(line.at_s for line in lines)
        return [b - a for a, b in pairwise(times)]

    def _lines(self) -> list[Line]:
        return [
            line for line in self.bench.observer.lines[self.first_line :] if line.guest == GUEST
        ]

    def _next_one_works(self, owner: Node, other: Node) -> None:
        world = self.bench.world
        for node in (owner, other):
            (node.home / "faults" / GUEST).unlink(missing_ok=True)
        moved = world.migrate(GUEST, other.name)
        assert moved["phase"] == "PHASE_COMPLETED"
        await_pulse(world, GUEST, other.name, self.beats)
        world.require_clean(owner.name)

    def _require_no_verdict(self, rows: dict[str, Row | None], afresh: bool) -> None:
        """The judge has nothing against what was seen; afresh is only what was expected."""
        lines = self._lines()
        entries = [
            Entry(self.side(side).name, self.id, side, GUEST, row.state)
            for side, row in rows.items()
            if row and not _is_forgotten(rows)
        ]
        found = judge(lines, {GUEST: self.params}, entries, is_over=False)
        assert found.problems == [], found
        assert found.heartbeats
        boots = [line for line in lines if line.is_boot and line.at_s > self.began_at_s > 0]
        assert bool(boots) == afresh, boots

    @property
    def params(self) -> Params:
        """Of the guest's program."""
        return params_of((self.bench.world.storage / f"{GUEST}.rom").read_bytes())

    def close(self) -> None:
        """End what was asked beside the test."""
        for client in self._clients:
            client.kill()
            client.wait()
        for node in self.bench.world.nodes.values():
            order_path(node).unlink(missing_ok=True)


def _is_forgotten(rows: dict[str, Row | None]) -> bool:
    """Whether an operator decided about a journal that is gone: nothing is left to agree with."""
    source = rows["source"]
    return bool(source and source.why.startswith("RESOLVED") and not rows["destination"])


def restarted(*nodes: Node) -> None:
    """Start daemons that died."""
    for node in nodes:
        if node.process is None:
            node.start()


Act = Callable[[Case], None]


def spool_of(node: Node, suffix: str) -> Path:
    """What a node keeps or receives of the guest."""
    return node.directory / "spool" / f"{GUEST}.{suffix}"
