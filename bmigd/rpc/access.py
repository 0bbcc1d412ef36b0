"""Who is calling and what they may do: the policy applied to the caller of this very request."""

from collections.abc import Iterable

import structlog

from bmigd.errors import Denied
from bmigd.rpc.server import CALLER
from bmigd.security.identity import Identity, Kind
from bmigd.security.policy import Action, Policy, decide, visible

log = structlog.get_logger()


class Access:
    """The policy of this node, for servicers."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def operator(self, action: Action, guest: str | None) -> Identity:
        """The calling operator; Denied unless the policy allows it."""
        return self._require(Kind.OPERATOR, action, guest)

    def node(self, action: Action, guest: str | None) -> Identity:
        """The calling node; Denied unless the policy allows it."""
        return self._require(Kind.NODE, action, guest)

    def reader(self, guest: str | None) -> Identity:
        """Whoever calls, for reading."""
        return self._require(CALLER.get().kind, Action.READ, guest)

    def visible(self, names: Iterable[str]) -> set[str]:
        """Those of the guests that the caller may see."""
        return set(visible(self._policy, CALLER.get(), names))

    def _require(self, kind: Kind, action: Action, guest: str | None) -> Identity:
        caller = CALLER.get()
        decision = decide(self._policy, caller, action, guest)
        if caller.kind is kind and decision.allowed:
            return caller
        why = decision.why if caller.kind is kind else f"this is for {kind}s only"
        log.warning("denied", caller=str(caller), action=action, guest=guest, why=why)
        raise Denied(
            "DENIED",
            f"{caller} may not do this: {why}",
            "an administrator can allow it in the node's configuration",
            guest=guest or "",
        )
