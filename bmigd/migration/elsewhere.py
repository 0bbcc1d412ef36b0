"""What the other nodes say of a guest of this name: two of one name would write the same disks.

Rules that must not break:
- A node that does not answer, or may not tell, is never taken for one that has none.
- A new name waits for every node, or for an operator's word about each silent one. A guest that is
  defined here starts unless a node says that it has it: after a power failure the first node that
  comes back must not wait for the last.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from bmigd.errors import BmigError, NotPossible, PeerLost, Taken
from bmigd.guests.state import OFF, GuestState
from bmigd.migration.ports import Peer

LOOK_S = 3.0  # for all of them, who are asked at once


@dataclass(frozen=True)
class Sighting:
    """Who has the guest, and how; and who could not be asked, and why."""

    seen: tuple[tuple[str, GuestState], ...] = ()
    silent: tuple[tuple[str, str], ...] = ()

    @property
    def seen_on(self) -> tuple[str, ...]:
        """The nodes that have it, in whatever state."""
        return tuple(node for node, _ in self.seen)

    @property
    def silent_nodes(self) -> frozenset[str]:
        """The nodes that could not be asked."""
        return frozenset(node for node, _ in self.silent)

    def unsure(self, not_on: Collection[str]) -> list[tuple[str, str]]:
        """Those of them about which nobody has given a word."""
        return [(node, why) for node, why in self.silent if node not in not_on]


class Elsewhere:
    """The other nodes of this one's configuration."""

    def __init__(self, here: str, nodes: Iterable[str], dial: Callable[[str], Peer]) -> None:
        self.here = here
        self._nodes = frozenset(nodes) - {here}
        self._dial = dial

    async def look(self, guest: str, *also: str) -> Sighting:
        """What they say, and others that must be asked too; within a few seconds."""
        nodes = sorted(self._nodes.union(also))
        answers = await asyncio.gather(*(self._state(node, guest) for node in nodes))
        named = list(zip(nodes, answers, strict=True))
        return Sighting(
            tuple((node, answer) for node, answer in named if isinstance(answer, GuestState)),
            tuple(
                (node, answer.message) for node, answer in named if isinstance(answer, BmigError)
            ),
        )

    async def _state(self, node: str, guest: str) -> GuestState | BmigError | None:
        """What the guest does on a node, if it is there, or why that cannot be known."""
        if node not in self._nodes:
            return PeerLost("PEER_LOST", f"it is not in [nodes] of {self.here}")
        peer = self._dial(node)
        try:
            async with asyncio.timeout(LOOK_S):
                return await peer.guest_state(guest)
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
    for node, state in sighting.seen:
        return Taken(
            "NAME_TAKEN",
            f"{node} has a guest {guest} ({state.words}): two of one name would write the same"
            " disks",
            f"choose another name, or undefine the one on {node} first",
            guest=guest,
            location=f"{state.words} on {node} (nothing was changed)",
        )
    unsure = sighting.unsure(not_on)
    if not unsure:
        return None
    silent = " and ".join(node for node, _ in unsure)
    return NotPossible(
        "NAME_NOT_SURE",
        f"{silent} could not be asked and may have a guest {guest}: two of one name would write the"
        f" same disks ({'; '.join(f'{node}: {why}' for node, why in unsure)})",
        f"bring {silent} back; or, if you know that no guest {guest} is there, add"
        f" {' '.join(f'--not-on {node}' for node, _ in unsure)}",
        guest=guest,
        location=f"not defined on {here} (nothing was changed)",
    )


def why_not_started(guest: str, here: str, sighting: Sighting) -> NotPossible | None:
    """Why a guest that is defined here cannot be started: GUEST_RUNS_ELSEWHERE. Pure."""
    for node, state in sighting.seen:
        if state not in OFF:
            return NotPossible(
                "GUEST_RUNS_ELSEWHERE",
                f"guest {guest} is {state.words} on {node}: started on {here} too, both would write"
                " the same disks",
                f"forget the one on {here}: bmigctl guest undefine {guest} --node {here}",
                guest=guest,
                location=f"{state.words} on {node} (nothing was changed)",
            )
    return None
