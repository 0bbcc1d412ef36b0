"""What the other nodes say of a guest of this name: two of one name would write the same disks.

Rules that must not break:
- A node that does not answer, or may not tell, is never taken for one that has none.
- A new name waits for every node, or for an operator's word about each silent one. A guest that is
  defined here starts unless a node says that it has it: after a power failure the first node that
  comes back must not wait for the last.
- Whoever asks has said before that it is about to (claims.py), so of two who ask at the same time
  at least one hears of the other.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import Self

from bmigd.errors import BmigError, NotPossible, PeerLost, Taken
from bmigd.guests.state import GuestState, Seen
from bmigd.migration.ports import Peer

# What the other node of a migration says of its guest as long as nobody has settled it otherwise.
AS_ITS_DESTINATION = frozenset({GuestState.MIGRATING_IN})
AS_ITS_SOURCE = frozenset({GuestState.IN_DOUBT, GuestState.MIGRATING_OUT})
SETTLED_BY_HAND = frozenset[GuestState]()

LOOK_S = 6.0  # for all of them, who are asked at once; a hypervisor may be slow to tell its state


@dataclass(frozen=True)
class Sighting:
    """Who has the guest, and how; and who could not be asked or did not tell, and why."""

    seen: tuple[tuple[str, Seen], ...] = ()
    silent: tuple[tuple[str, BmigError], ...] = ()

    @property
    def seen_on(self) -> tuple[str, ...]:
        """The nodes that have it, in whatever state."""
        return tuple(node for node, _ in self.seen)

    @property
    def silent_nodes(self) -> frozenset[str]:
        """The nodes that could not be asked."""
        return frozenset(node for node, _ in self.silent)

    def unsure(self, not_on: Collection[str]) -> dict[str, BmigError]:
        """Those of them about which nobody has given a word."""
        return {node: why for node, why in self.silent if node not in not_on}

    def without(self, migrations: Collection[str]) -> Self:
        """But for what is left of migrations that ended with the guest here."""
        seen = tuple(one for one in self.seen if one[1].migration_id not in migrations)
        return replace(self, seen=seen)


class Elsewhere:
    """The other nodes of this one's configuration."""

    def __init__(self, here: str, nodes: Iterable[str], dial: Callable[[str], Peer]) -> None:
        self.here = here
        self._nodes = frozenset(nodes) - {here}
        self._dial = dial

    async def look(self, guest: str, *also: str) -> Sighting:
        """What they say, and others that must be asked too; within a few seconds."""
        nodes = sorted(self._nodes.union(also))
        answers = await asyncio.gather(*(self._seen(node, guest) for node in nodes))
        named = list(zip(nodes, answers, strict=True))
        seen = [(node, answer) for node, answer in named if isinstance(answer, Seen)]
        silent = [(node, answer) for node, answer in named if isinstance(answer, BmigError)]
        return Sighting(tuple(seen), tuple(silent))

    async def _seen(self, node: str, guest: str) -> Seen | BmigError | None:
        """What the guest does on a node, if it is there, or why that cannot be known."""
        if node not in self._nodes:
            return PeerLost("PEER_LOST", f"it is not in [nodes] of {self.here}")
        peer = self._dial(node)
        try:
            async with asyncio.timeout(LOOK_S):
                return await peer.see_guest(guest)
        except TimeoutError:
            return PeerLost("PEER_LOST", f"no answer within {LOOK_S:g} s")
        except BmigError as error:
            return error
        finally:
            await peer.close()


def why_not_defined(
    guest: str, here: str, sighting: Sighting, not_on: Collection[str]
) -> BmigError | None:
    """Why there cannot be a new guest of this name here: NAME_TAKEN, NAME_NOT_SURE. Pure."""
    for node, there in sighting.seen:
        return Taken(
            "NAME_TAKEN",
            f"{node} has a guest {guest} ({there.state.words}): two of one name would write the"
            " same disks",
            f"choose another name, or {_end_it(guest, node, there.state)}",
            guest=guest,
            location=f"{there.state.words} on {node} (nothing was changed)",
        )
    unsure = sighting.unsure(not_on)
    if not unsure:
        return None
    silent = " and ".join(unsure)
    return NotPossible(
        "NAME_NOT_SURE",
        f"{silent} could not be asked and may have a guest {guest}: two of one name would write the"
        f" same disks ({'; '.join(why.message for why in unsure.values())})",
        f"{'; '.join(_have_it_tell(node, here, why) for node, why in unsure.items())}; or, if you"
        f" know that no guest {guest} is there, add"
        f" {' '.join(f'--not-on {node}' for node in unsure)}",
        guest=guest,
        location=f"not defined on {here} (nothing was changed)",
    )


def why_not_started(guest: str, here: str, sighting: Sighting) -> NotPossible | None:
    """Why a guest that is defined here cannot be started: GUEST_RUNS_ELSEWHERE. Pure.

    A failed one may run without its supervisor.
    """
    for node, there in sighting.seen:
        if there.state is not GuestState.STOPPED:
            return _runs_elsewhere(guest, here, node, there)
    return None


def why_not_settled_here(
    guest: str, here: str, sighting: Sighting, migration_id: str, innocent: Collection[GuestState]
) -> NotPossible | None:
    """Why a migration must not end with the guest running here: GUEST_RUNS_ELSEWHERE. Pure.

    Whoever has it as part of this migration, and in an innocent state, waits for what is decided
    here. In any other state it was settled there, by an operator, while this node was away.
    """
    others = []
    for node, there in sighting.seen:
        if there.migration_id != migration_id:
            others.append((node, there))
        elif there.state not in innocent:
            return _runs_elsewhere(guest, here, node, there)
    return why_not_started(guest, here, replace(sighting, seen=tuple(others)))


def why_not_taken(
    guest: str, here: str, sighting: Sighting, migration_id: str, source: str
) -> NotPossible | None:
    """Why a guest that was let go to this node is not to be run on what was received. Pure.

    The source, if it answers, must still keep it for this node: else the disks may be newer.
    """
    keeps = [node for node, one in sighting.seen if one == Seen(GuestState.IN_DOUBT, migration_id)]
    if source not in sighting.silent_nodes and source not in keeps:
        return NotPossible(
            "GUEST_RUNS_ELSEWHERE",
            f"{source} does not keep guest {guest} for this migration any more: it was settled"
            " there",
            f"see what became of it: bmigctl list --guest {guest}",
            guest=guest,
        )
    return why_not_settled_here(guest, here, sighting, migration_id, AS_ITS_SOURCE)


def _runs_elsewhere(guest: str, here: str, node: str, there: Seen) -> NotPossible:
    forget = f"forget the one on {here}: bmigctl guest undefine {guest} --node {here}"
    runs = there.state is GuestState.RUNNING
    return NotPossible(
        "GUEST_RUNS_ELSEWHERE",
        f"guest {guest} is {there.state.words} on {node}: started on {here} too, both would"
        " write the same disks",
        forget if runs else _end_it(guest, node, there.state),
        guest=guest,
        location=f"{there.state.words} on {node} (nothing was changed)",
    )


def _end_it(guest: str, node: str, state: GuestState) -> str:
    undefine = f"bmigctl guest undefine {guest} --node {node}"
    match state:
        case GuestState.STOPPED:
            return f"undefine the one on {node}: {undefine}"
        case GuestState.RUNNING | GuestState.FAILED:
            stop = f"bmigctl guest stop --force {guest} --node {node}"
            return f"end and undefine the one on {node}, if nobody needs it: {stop}; {undefine}"
        case _:
            return f"wait and see what becomes of the one on {node}: bmigctl list --guest {guest}"


def _have_it_tell(node: str, here: str, why: BmigError) -> str:
    if why.reason == "DENIED":
        return f'allow {here} to "read" in [[peers]] of {node}'
    return f"bring {node} back"
