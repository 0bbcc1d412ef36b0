"""The dry run: facts of both nodes, every precheck, nothing changed."""

import secrets
from collections.abc import Collection
from dataclasses import dataclass

from bmigd import prechecks
from bmigd.drivers.base import OutgoingGuest
from bmigd.errors import (
    BmigError,
    Denied,
    Invalid,
    NotPossible,
    PeerFault,
    Unknown,
    Violation,
)
from bmigd.guests.definition import Definition
from bmigd.migration import tracking
from bmigd.migration.node import Node
from bmigd.migration.picture import DESTINATION, SOURCE, Options
from bmigd.migration.ports import PROTOCOL_VERSIONS, Inquiry, Peer
from bmigd.migration.recorder import Recorder
from bmigd.prechecks.facts import Case, Facts, Finding
from bmigd.prechecks.protocol import newest_common
from bmigd.security.policy import Action, peer_may
from bmigd.security.probe import advice


@dataclass(frozen=True)
class Checked:
    """What the prechecks found, and the facts that a migration goes on with."""

    findings: list[Finding]
    source: Facts
    destination: Facts

    @property
    def protocol_version(self) -> int:
        """The newest common version."""
        version = newest_common(PROTOCOL_VERSIONS, self.destination.protocol_versions)
        assert version is not None, "prechecks have passed"
        return version


async def check(
    node: Node, peer: Peer, definition: Definition, options: Options, requested_by: str
) -> Checked:
    """Run every precheck for a guest of this node."""
    driver = node.driver(definition)
    probe = secrets.token_hex(16)
    try:
        probe_seen = await _leave_probes(node, definition, probe)
        firmware = await node.files.firmware(definition)
        inquiry = Inquiry(definition, requested_by, PROTOCOL_VERSIONS, probe, firmware)
        there = await peer.exchange(inquiry)
        here = await node.facts(definition, probe, denied="")
    finally:
        await node.files.remove_probes(definition, probe)
    power, cost = await driver.power(definition.name), node.cost(definition, peer.name)
    case = Case(
        guest=definition,
        source=here,
        destination=there,
        probe=probe_seen,
        clock_error_ms=1000,
        is_running=power.is_running,
        unwatched=power.failed if power.is_unwatched else "",
        may_be_sent=peer_may(node.policy, peer.name, Action.SEND, definition.name),
        objections=tuple(node.objections(definition)),
        room_bytes=driver.room(definition),
        kept_bytes=driver.kept_bytes(definition),
        fixed_downtime_s=cost.told_s(),
        cost_is_seen=cost.usual is not None,
        downtime_limit_s=options.downtime_limit_ms / 1000,
        on_timeout=options.on_timeout,
        tracker=options.tracker,
        busy=node.claims.busy(definition.name),
        tracker_obstacle=await _obstacle(driver.outgoing(definition), options.tracker),
    )
    return Checked(prechecks.run(case), here, there)


def require_allowed(checked: Checked, definition: Definition) -> None:
    """NotPossible unless all passed: PRECHECK_FAILED, or the reason if there is just one."""
    failures = prechecks.failures(checked.findings)
    if not failures:
        return
    raise NotPossible(
        failures[0].reason if len(failures) == 1 else "PRECHECK_FAILED",
        f"guest {definition.name} cannot go to {checked.destination.name}: "
        + "; ".join(finding.message for finding in failures),
        failures[0].advice,
        guest=definition.name,
        side=_side_of(failures, checked),
        location=f"on {checked.source.name}, unchanged",
        violations=tuple(
            Violation(finding.reason, finding.message, finding.advice) for finding in failures
        ),
    )


def warn(checked: Checked, recorder: Recorder) -> None:
    """What did not forbid it is told to whoever watches, and kept with it."""
    for finding in prechecks.warnings(checked.findings):
        advice = f"; {finding.advice}" if finding.advice else ""
        recorder.event("warning", f"{finding.message}{advice}")


def _side_of(failures: list[Finding], checked: Checked) -> str:
    """Where all of them are to be mended; "" if that is not one side."""
    sides = {checked.source.name: SOURCE, checked.destination.name: DESTINATION}
    found = {sides.get(one.node, "") for one in failures}
    return found.pop() if len(found) == 1 else ""


async def explained(error: BmigError, peer: Peer, guest: str, here: str) -> BmigError:
    """Why a peer could not be asked, or would not answer."""
    if error.reason == "PEER_LOST":
        found = await peer.explain(error)
        is_known = found.reason != error.reason
        error.message = found.sentence if is_known else f"{error.message}: {found.sentence}"
        error.reason = found.reason
        error.advice = advice(found.reason, peer.name) or error.advice
    if isinstance(error, Denied):
        error = Denied(
            "DENIED_BY_PEER",
            f"{peer.name} does not allow it: {error.message}",
            f"change [[peers]] in the configuration of {peer.name}",
            side=DESTINATION,
        )
    side = DESTINATION if isinstance(error, PeerFault) else SOURCE
    return error.about(guest=guest, side=side, location=f"on {here}, unchanged")


async def _obstacle(outgoing: OutgoingGuest, wish: str) -> str:
    return "" if wish == tracking.CONTENT else await tracking.obstacle(outgoing)


async def _leave_probes(node: Node, definition: Definition, probe: str) -> str:
    try:
        await node.files.leave_probes(definition, probe)
    except OSError:
        return ""  # a storage that cannot be written: the storage check says so
    return probe


def require_other(destination: str, here: str, nodes: Collection[str]) -> None:
    """Invalid (SAME_NODE), Unknown (NODE_UNKNOWN) unless it is another node that is known. Pure."""
    if destination == here:
        words = f"the guest is on {destination} already"
        raise Invalid("SAME_NODE", words, "choose another node", side=SOURCE)
    if destination not in nodes:
        known = ", ".join(sorted(nodes)) or "none"
        raise Unknown(
            "NODE_UNKNOWN",
            f"{here} does not know node {destination!r}; it knows: {known}",
            f"choose one of them, or add it to [nodes] in the configuration of {here}",
            side=SOURCE,
        )
