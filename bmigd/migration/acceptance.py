"""Whether this node can take a guest that another node wants to send."""

from bmigd.errors import NotPossible
from bmigd.migration.ledger import Ledger
from bmigd.migration.node import Node
from bmigd.migration.picture import DESTINATION
from bmigd.migration.ports import PROTOCOL_VERSIONS, Invitation

MOST_EPOCHS_MISSED = 1 << 32  # of moves that this node was no part of; epochs must never run out
# Where trying again does not help.
ADVICE = {
    "STALE_EPOCH": "see which node has the guest now: `bmigctl guest list`; the one that asks has"
    " an older state of it"
}


async def require_acceptable(node: Node, ledger: Ledger, invitation: Invitation) -> None:
    """NotPossible with the first thing that is in the way."""
    definition = invitation.definition
    driver = node.driver(definition)
    facts = await driver.facts()
    wrong: list[tuple[str, str]] = []
    if invitation.protocol_version not in PROTOCOL_VERSIONS:
        wrong.append(("PROTOCOL_VERSION", f"version {invitation.protocol_version}"))
    if (await driver.power(definition.name)).is_running:
        wrong.append(("NAME_TAKEN", f"a guest {definition.name} runs here already"))
    if definition.name in node.store.names():
        wrong.append(("NAME_TAKEN", f"guest {definition.name} is defined here already"))
    if facts.build != invitation.driver_build or not facts.can_snapshot:
        wrong.append(("DRIVER_MISMATCH", f"here {facts.build!r} {facts.problem}"))
    if missing := sorted(set(definition.networks) - set(node.config.networks)):
        wrong.append(("NETWORK_MISSING", f"no network {', '.join(missing)}"))
    if objections := node.objections(definition):
        wrong.append(("GUEST_NOT_MIGRATABLE", "; ".join(objections)))
    if invitation.regions != driver.regions(definition):
        wrong.append(("DEFINITION_INVALID", "its regions are not those of its memory"))
    wrong += wrong_epoch(invitation.epoch, await ledger.epoch(definition))
    if wrong:
        reason, message = wrong[0]
        raise NotPossible(
            *(reason, f"{node.name} cannot take guest {definition.name}: {message}"),
            ADVICE.get(reason, ""),
            guest=definition.name,
            side=DESTINATION,
        )


def wrong_epoch(epoch: int, known: int) -> list[tuple[str, str]]:
    """Reason and words of what is wrong with an epoch, where that is the newest known. Pure."""
    if epoch <= known:
        return [("STALE_EPOCH", f"epoch {epoch} has been here already")]
    if epoch > known + MOST_EPOCHS_MISSED:
        return [("REQUEST_INVALID", f"epoch {epoch} is too far from {known}")]
    return []
