"""The verdict on what was observed. Pure.

- Two lives that print at the same time are two copies.
- Within one boot the number of operations never falls: else an older memory was brought back.
- Every heartbeat's chain is the one that can be computed, and bad is 0.
- At the end exactly one life goes on, unless the guest may be down.
- Both journals say the same of every migration.
"""

from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations

from tests.judge.observed import Line
from tests.oracle import Heartbeat, Params, WrongHeartbeat, check_heartbeats

TOLERANCE_S = 0.3  # between a line and its being seen
SILENCE_S = 2.0  # a life that printed nothing for so long at the end is over

# What the source's word and the destination's may be together when all is settled.
CONSISTENT = {
    ("RELEASED", "RUNNING"),
    ("ABORTED", "REFUSED"),
    ("ABORTED", ""),
    ("RECLAIMED", "REFUSED"),
    ("RECLAIMED", "RETURNED"),
    ("", "REFUSED"),
}


@dataclass(frozen=True)
class Entry:
    """A migration in one node's journal."""

    node: str
    id: str
    side: str
    guest: str
    state: str


@dataclass(frozen=True)
class Found:
    """What was wrong, in words, and how much was looked at."""

    problems: list[str]
    heartbeats: int
    lives: int
    boots: int
    migrations: int


def judge(
    lines: list[Line], params: dict[str, Params], entries: list[Entry], *, is_over: bool = True
) -> Found:
    """Judge every guest that has parameters, and every migration of the journals.

    Unless it is over, a guest that has just moved is not said to run in two places.
    """
    problems = _journals(entries)
    by_guest: defaultdict[str, list[Line]] = defaultdict(list)
    for line in sorted(lines, key=lambda line: line.at_s):
        by_guest[line.guest].append(line)
    for guest, seen in by_guest.items():
        problems += _twice(guest, seen) + _backwards(guest, seen)
        problems += _running(guest, seen) if is_over else []
        problems += _wrong(guest, seen, params[guest])
    return Found(
        problems,
        sum(not line.is_boot for line in lines),
        len({line.life for line in lines}),
        sum(line.is_boot for line in lines),
        len({entry.id for entry in entries}),
    )


def _twice(guest: str, seen: list[Line]) -> list[str]:
    spans: dict[int, tuple[str, float, float]] = {}
    for line in seen:
        _, first, _ = spans.get(line.life, (line.node, line.at_s, line.at_s))
        spans[line.life] = (line.node, first, line.at_s)
    problems = []
    for (one, begins, ends), (other, begun, ended) in combinations(spans.values(), 2):
        overlap_s = min(ends, ended) - max(begins, begun)
        if overlap_s > TOLERANCE_S:
            problems.append(f"{guest} ran on {one} and on {other} at once for {overlap_s:.1f} s")
    return problems


def _backwards(guest: str, seen: list[Line]) -> list[str]:
    last: Line | None = None
    for line in seen:
        if not line.is_boot and last and line.n < last.n:
            return [
                f"{guest} went back from n={last.n} on {last.node} to n={line.n} on {line.node}"
            ]
        last = None if line.is_boot else line
    return []


def _wrong(guest: str, seen: list[Line], params: Params) -> list[str]:
    boots: list[list[Heartbeat]] = [[]]
    for line in seen:
        if line.is_boot:
            boots.append([])
        else:
            boots[-1].append(Heartbeat(line.n, int(line.chain, 16), line.bad))
    problems = []
    for beats in filter(None, boots):
        try:
            check_heartbeats(params, sorted(beats, key=lambda beat: beat.n))
        except WrongHeartbeat as wrong:
            problems.append(f"{guest}: {wrong}")
    return problems


def _running(guest: str, seen: list[Line]) -> list[str]:
    latest = {line.life: line for line in seen}
    end_s = seen[-1].at_s
    going_on = {life: line for life, line in latest.items() if end_s - line.at_s < SILENCE_S}
    if len({line.node for line in going_on.values()}) > 1:
        nodes = " and ".join(sorted({line.node for line in going_on.values()}))
        return [f"{guest} runs on {nodes} at the end"]
    return []


def _journals(entries: list[Entry]) -> list[str]:
    words: defaultdict[str, dict[str, Entry]] = defaultdict(dict)
    for entry in entries:
        words[entry.id][entry.side] = entry
    problems = []
    for migration_id, sides in words.items():
        said = tuple(sides[side].state if side in sides else "" for side in SIDES)
        if said not in CONSISTENT:
            problems.append(f"migration {migration_id}: source {said[0]}, destination {said[1]}")
    return problems


SIDES = ("source", "destination")
