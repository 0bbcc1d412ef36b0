"""Who is calling and what they may do: the policy applied to the caller of this very request."""

from collections.abc import Callable

import structlog

from bmigd.errors import Denied, Invalid
from bmigd.rpc.server import CALLER
from bmigd.security.identity import Identity, Kind
from bmigd.security.policy import Action, Policy, decide

log = structlog.get_logger()

LONGEST_NAME = 64
ARTICLES = {Kind.NODE: "a", Kind.OPERATOR: "an"}


class Access:
    """The policy of this node, for servicers."""

    def __init__(self, policy: Policy, node: str) -> None:
        self._policy = policy
        self._node = node

    def operator(self, action: Action, guest: str | None) -> Identity:
        """The calling operator; Denied unless the policy allows it."""
        return self._require(Kind.OPERATOR, action, guest)

    def node(self, action: Action, guest: str | None) -> Identity:
        """The calling node; Denied unless the policy allows it."""
        return self._require(Kind.NODE, action, guest)

    def reader(self, guest: str | None) -> Identity:
        """Whoever calls, for reading."""
        return self._require(CALLER.get().kind, Action.READ, guest)

    def may_see(self, action: Action = Action.READ) -> Callable[[str], bool]:
        """Whether the caller may see a guest, or do that with it; to be asked in any thread."""
        caller, actions = CALLER.get(), {Action.READ, action}

        def may(guest: str) -> bool:
            return any(decide(self._policy, caller, one, guest).allowed for one in actions)

        return may

    def _require(self, kind: Kind, action: Action, guest: str | None) -> Identity:
        caller = CALLER.get()
        if guest is not None and len(guest) > LONGEST_NAME:
            raise Invalid(
                "REQUEST_INVALID",
                f"a guest's name has at most {LONGEST_NAME} characters",
                "bmigctl guest list shows every guest",
            )
        decision = decide(self._policy, caller, action, guest)
        if caller.kind is kind and decision.allowed:
            return caller
        why = decision.why
        advice = f"an administrator can allow it in the configuration of {self._node}"
        if caller.kind is not kind:
            why = f"{caller} may not do this: it is for {kind}s only"
            advice = f"use the certificate of {ARTICLES[kind]} {kind}"
        log.warning("denied", caller=str(caller), action=action, guest=guest, why=why)
        raise Denied(
            "DENIED",
            why,
            advice,
            guest=guest or "",
        )
