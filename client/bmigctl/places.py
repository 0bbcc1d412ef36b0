"""Where a guest is, by what every node says of it. Pure.

Rule: two copies of a guest write the same disks; which of them is to end only the operator knows.
"""

from collections.abc import Mapping, Sequence

from bmig.v1 import guest_pb2

from bmigctl import words
from bmigctl.errors import Refused

_S = guest_pb2.GuestState
OFF = (_S.GUEST_STATE_STOPPED, _S.GUEST_STATE_FAILED)
_RUNS = 0
_MAY_RUN = 1
_UNKNOWN = 3
# The lower, the more the guest is there. One that arrives counts only when it is nowhere else.
_PRESENCE = {
    _S.GUEST_STATE_RUNNING: _RUNS,
    _S.GUEST_STATE_MIGRATING_OUT: _RUNS,
    _S.GUEST_STATE_STARTING: _RUNS,
    _S.GUEST_STATE_SUSPENDED: _MAY_RUN,
    _S.GUEST_STATE_IN_DOUBT: _MAY_RUN,
    _S.GUEST_STATE_STOPPED: 2,
    _S.GUEST_STATE_FAILED: 2,
    _S.GUEST_STATE_MIGRATING_IN: 3,
}


def most_present(
    name: str, nodes: Mapping[str, Sequence[guest_pb2.Guest]]
) -> dict[str, guest_pb2.Guest]:
    """The guest by node, where it is most of all; more than one node is one too many."""
    found = {
        node: guest
        for node, guests in sorted(nodes.items())
        for guest in guests
        if guest.definition.name == name
    }
    best = min(map(_presence, found.values()), default=_UNKNOWN)
    return {node: guest for node, guest in found.items() if _presence(guest) == best}


def require_alone(node: str, name: str, nodes: Mapping[str, Sequence[guest_pb2.Guest]]) -> None:
    """Refused (GUEST_RUNS_ELSEWHERE) if the guest, were it started on the node, would be two."""
    for other, guest in most_present(name, nodes).items():
        if other != node and _presence(guest) <= _MAY_RUN:
            state = words.guest_state(guest.state)
            raise Refused(
                "GUEST_RUNS_ELSEWHERE",
                f"guest {name} is {state} on {other}: started on {node} too, both would write the"
                " same disks",
                guest=name,
                location=f"{state} on {other} (nothing was changed)",
                advice=f"forget the one on {node}: bmigctl guest undefine {name} --node {node}",
            )


def doubles(nodes: Mapping[str, Sequence[guest_pb2.Guest]]) -> list[Refused]:
    """An error for each guest that is in two places, by name."""
    names = sorted({guest.definition.name for guests in nodes.values() for guest in guests})
    found = {name: most_present(name, nodes) for name in names}
    return [in_two(name, copies) for name, copies in found.items() if len(copies) > 1]


def in_two(name: str, copies: Mapping[str, guest_pb2.Guest]) -> Refused:
    """The error about two copies of which neither is more the guest than the other."""
    where = f"on {' and on '.join(copies)}"
    which = " or ".join(f"--node {node}" for node in copies)
    if any(guest.state == _S.GUEST_STATE_MIGRATING_OUT for guest in copies.values()):
        words = f"guest {name} is {where}, and leaves one of them"
        advice = (
            f"end neither: bmigctl list --guest {name} says where it went; what is left where it"
            " was is put away when that node can write"
        )
    elif all(_presence(guest) == _RUNS for guest in copies.values()):
        words = f"guest {name} runs {where}: both write the same disks, and destroy them"
        advice = (
            f"end one of them at once (bmigctl guest stop {name} --force {which}), undefine it"
            " there, and check the disks from the other"
        )
    else:
        words = f"guest {name} is {where}: if both ran, both would write the same disks"
        advice = (
            f"undefine the one that is not meant: bmigctl guest undefine {name} {which}; until then"
            " --node says which one is meant"
        )
    return Refused("GUEST_IN_TWO_PLACES", words, guest=name, location=where, advice=advice)


def _presence(guest: guest_pb2.Guest) -> int:
    return _PRESENCE.get(guest.state, _UNKNOWN)
