"""What a caller may do with which guest.

Rule 1: what no rule allows is denied; there are no rules that deny and no order among rules.
Rule 2: operators are judged by the rules for operators and nodes by the rules for peers, whatever
their names are.
Rule 3: this file does no I/O; the rules come from the configuration.
"""

from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from bmigd.security.identity import Identity, Kind


class Action(StrEnum):
    """What can be allowed; the values are the words of the configuration."""

    READ = "read"
    DEFINE = "define"
    POWER = "power"
    CONSOLE = "console"
    MIGRATE = "migrate"
    RESOLVE = "resolve"
    SEND = "send"  # this node may send a guest to that peer
    RECEIVE = "receive"  # this node takes a guest from that peer


PEER_ACTIONS = frozenset({Action.READ, Action.SEND, Action.RECEIVE})
OPERATOR_ACTIONS = frozenset(Action) - {Action.SEND, Action.RECEIVE}


class PolicyError(ValueError):
    """Rules that grant what their holders can never do."""


@dataclass(frozen=True)
class Rule:
    """Holders of these names may do these things with these guests; names and guests are globs."""

    names: tuple[str, ...]
    actions: frozenset[Action]
    guests: tuple[str, ...]


@dataclass(frozen=True)
class Policy:
    """Everything that is allowed on this node."""

    operators: tuple[Rule, ...] = ()
    peers: tuple[Rule, ...] = ()

    def __post_init__(self) -> None:
        for what, rules, possible in (
            ("operators", self.operators, OPERATOR_ACTIONS),
            ("peers", self.peers, PEER_ACTIONS),
        ):
            for number, rule in enumerate(rules, start=1):
                if wrong := rule.actions - possible:
                    never = ", ".join(sorted(wrong))
                    raise PolicyError(
                        f"rule {number} for {what} allows what {what} never do: {never}"
                    )


@dataclass(frozen=True)
class Decision:
    """Whether it is allowed, and the sentence about it for the log."""

    allowed: bool
    why: str


# Actions of peers are named from this node's side: to receive is to receive from that node.
_WORDS = {
    (Kind.NODE, Action.RECEIVE): "hand over %s to this node",
    (Kind.NODE, Action.SEND): "be sent %s",
}


def decide(policy: Policy, identity: Identity, action: Action, guest: str | None) -> Decision:
    """May this caller do this with this guest; no guest means an action about none in particular.

    What is about no particular guest is allowed to whoever may do it with some guest.
    """
    rules_for, rules = _rules(policy, identity.kind)
    asked = _WORDS.get((identity.kind, action), f"{action} %s") % _of(guest)
    named = [
        (number, rule)
        for number, rule in enumerate(rules, start=1)
        if _matches(identity.name, rule.names)
    ]
    for number, rule in named:
        if action in rule.actions and _covers(rule, guest):
            return Decision(
                True, f"{identity} may {asked}: rule {number} for {rules_for} allows it"
            )
    if not named:
        why = f"no rule for {rules_for} names {identity.name}"
    elif not any(action in rule.actions for _, rule in named):
        why = f"no rule for {rules_for} allows {identity.name} to {action}"
    else:
        why = f"no rule for {rules_for} allows {identity.name} to {action} this guest"
    return Decision(False, f"{identity} may not {asked}: {why}")


def peer_may(policy: Policy, peer: str, action: Action, guest: str | None) -> bool:
    """The same of a node that does not call, by its name."""
    return decide(policy, Identity("", Kind.NODE, peer), action, guest).allowed


def _rules(policy: Policy, kind: Kind) -> tuple[str, tuple[Rule, ...]]:
    match kind:
        case Kind.OPERATOR:
            return "operators", policy.operators
        case Kind.NODE:
            return "peers", policy.peers


def _covers(rule: Rule, guest: str | None) -> bool:
    return bool(rule.guests) if guest is None else _matches(guest, rule.guests)


def _matches(name: str, globs: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)


def _of(guest: str | None) -> str:
    # A guest's name may come from a caller that invented it: escaped, it stays one line of the log.
    return "guests" if guest is None else f"guest {guest!a}"
