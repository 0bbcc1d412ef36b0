"""What can be done with guests: define, power, forget.

Rule: a name is unique in the cluster: a node that cannot be asked may have it, until the operator
says that it does not. Two guests of one name write the same disks.
"""

from collections.abc import Collection
from dataclasses import replace

from bmig.v1 import guest_pb2

from bmigctl import definition, places, words
from bmigctl.cluster import Cluster, FoundGuest
from bmigctl.dial import CALL_S, POWER_S, Node
from bmigctl.errors import BmigctlError, Refused, Unreachable, UsageFault

_STOP_SLACK_S = 15.0  # a node answers STOP_TIMEOUT by itself before our deadline


def whereabouts(found: FoundGuest) -> str:
    """Where the guest is, after something that changed nothing."""
    return f"{_place(found)} (nothing was changed)"


def _since(error: BmigctlError, found: FoundGuest) -> str:
    """The same, unless the call may have been carried out."""
    return f"on {found.node.name}" if isinstance(error, Unreachable) else _place(found)


def _place(found: FoundGuest) -> str:
    return f"{words.guest_state(found.guest.state)} on {found.node.name}"


class Guests(Cluster):
    """A cluster whose guests can be changed."""

    async def target(self, name: str | None) -> Node:
        """The node of that name, or the only one that there is."""
        if name is not None:
            return await self.node(name)
        survey = (await self.survey(self.describe)).require_any()
        names = sorted({*survey.answers, *survey.failures})
        if len(names) > 1:
            raise UsageFault(
                "NODE_MISSING",
                f"say on which node: {', '.join(names)}",
                advice=f"add --node {names[0]}",
            )
        return await self.node(names[0])

    async def define(
        self, wanted: guest_pb2.GuestDefinition, node: Node, not_on: Collection[str] = ()
    ) -> FoundGuest:
        """Defines the guest there, unless another node has one of that name or may have it.

        `not_on` names nodes that need not be asked: the operator knows that they have none.
        """
        known = await self._same_name(wanted.name, node, not_on)
        complete = definition.with_uuid(wanted, known.definition if known else None)
        request = guest_pb2.DefineGuestRequest(definition=complete, not_on=not_on)
        try:
            answer = await node.answer(node.guests.DefineGuest(request, timeout=CALL_S))
        except BmigctlError as error:
            raise error.about(guest=wanted.name, location=f"not defined on {node.name}") from error
        return FoundGuest(node, answer.guest)

    async def recover(self, name: str, node: Node, not_on: Collection[str]) -> FoundGuest:
        """Defines a guest that left the node there again, as it was when it left."""
        request = guest_pb2.RecoverGuestRequest(name=name, not_on=not_on)
        try:
            answer = await node.answer(node.guests.RecoverGuest(request, timeout=CALL_S))
        except BmigctlError as error:
            where = "" if error.reason == "GUEST_BUSY" else f"not defined on {node.name}"
            raise error.about(guest=name, location=where) from error
        return FoundGuest(node, answer.guest)

    async def start_guest(self, name: str) -> FoundGuest:
        """Starts the guest where it is, unless another node has it running or may run it again."""
        found = await self.find_guest(name)
        is_off = found.guest.state in places.OFF  # else the node says what it does there
        if self._only is not None and is_off:  # else it was found where it is most of all
            everywhere = await self.guests_everywhere()
            places.require_alone(found.node.name, name, everywhere.answers)
            found = replace(found, failures=everywhere.failures)
        request = guest_pb2.StartGuestRequest(name=name)
        try:
            call = found.node.guests.StartGuest(request, timeout=POWER_S)
            return replace(found, guest=(await found.node.answer(call)).guest)
        except BmigctlError as error:
            raise error.about(guest=name, location=_since(error, found)) from error

    async def stop_guest(self, name: str, *, force: bool, timeout_s: int) -> FoundGuest:
        """Presses the power button and waits, or ends the guest at once."""
        found = await self.find_guest(name)
        request = guest_pb2.StopGuestRequest(name=name, force=force, timeout_s=timeout_s)
        try:
            call = found.node.guests.StopGuest(request, timeout=timeout_s + _STOP_SLACK_S)
            return FoundGuest(found.node, (await found.node.answer(call)).guest)
        except BmigctlError as error:
            raise error.about(guest=name, location=_since(error, found)) from error

    async def undefine(self, name: str) -> FoundGuest:
        """Forgets the guest; answers where it was."""
        found = await self.find_guest(name)
        request = guest_pb2.UndefineGuestRequest(name=name)
        try:
            await found.node.answer(found.node.guests.UndefineGuest(request, timeout=CALL_S))
        except BmigctlError as error:
            raise error.about(guest=name, location=whereabouts(found)) from error
        return found

    async def _same_name(
        self, name: str, node: Node, not_on: Collection[str]
    ) -> guest_pb2.Guest | None:
        """The guest of that name on the node; Refused when it is on another one, Unreachable when
        that cannot be known.
        """
        everywhere = await self.guests_everywhere()
        there = {
            other: guest
            for other, guests in everywhere.answers.items()
            for guest in guests
            if guest.definition.name == name
        }
        here = there.pop(node.name, None)
        for other, guest in there.items():
            raise _taken(other, guest)
        if silent := sorted(everywhere.failures.keys() - {node.name, *not_on}):
            raise Unreachable(
                "NAME_NOT_SURE",
                f"{' and '.join(silent)} could not be asked and may have a guest {name}: two of one"
                " name would write the same disks",
                guest=name,
                location=f"not defined on {node.name} (nothing was changed)",
                violations=tuple(everywhere.failures[other].message for other in silent),
                advice=f"bring {' and '.join(silent)} back; or, if you know that no guest {name} is"
                f" there, add {' '.join(f'--not-on {other}' for other in silent)}",
            )
        return here


def _taken(node: str, guest: guest_pb2.Guest) -> Refused:
    """Another node has a guest of that name, or is about to."""
    name, moving = guest.definition.name, guest.migration_id
    if guest.state == guest_pb2.GUEST_STATE_MIGRATING_IN:
        message = f"guest {name} is being received by {node}"
        advice = f"choose another name, or see what becomes of it: bmigctl show {moving}"
    else:
        message = f"guest {name} is defined on {node} already"
        advice = f"choose another name, or undefine it on {node} first"
    state = words.guest_state(guest.state)
    location = f"{state} on {node} (nothing was changed)"
    return Refused("NAME_TAKEN", message, guest=name, location=location, advice=advice)
