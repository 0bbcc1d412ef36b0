"""What nodes say to each other, and what one of them does next.

The network is a set: whatever was said once may arrive at any time, in any order, any number of
times, or never, across restarts of either end. A loss takes away all that is under way; a single
lost message is one that never arrives.
"""

from enum import Enum, IntFlag, auto
from typing import Generic, NamedTuple, TypeVar

from bmigd.migration.handoff import Outcome, Request

Node = TypeVar("Node")


class Message(IntFlag):
    """One bit each. Answers to Commit, Abort and QueryOutcome are the outcomes."""

    RECEIVE = auto()
    DELIVER = auto()
    COMMIT = auto()
    QUERY = auto()
    ABORT = auto()
    WELCOME_1 = auto()  # from the destination's first journal
    WELCOME_2 = auto()  # from one that was made when that was lost
    WELCOME_3 = auto()
    RECEIPT = auto()
    SAYS_RECEIVING = auto()
    SAYS_READY = auto()
    SAYS_TAKEN = auto()
    SAYS_RUNNING = auto()
    SAYS_REFUSED = auto()
    SAYS_RETURNED = auto()
    SAYS_UNKNOWN = auto()


REQUESTS = {
    Message.COMMIT: Request.COMMIT,
    Message.QUERY: Request.QUERY,
    Message.ABORT: Request.ABORT,
}
OUTCOMES = {Message[f"SAYS_{outcome.name}"]: outcome for outcome in Outcome}
SAYING = {outcome: message for message, outcome in OUTCOMES.items()}
TO_DESTINATION = (Message.RECEIVE, Message.DELIVER, *REQUESTS)
WELCOMES = {Message.WELCOME_1: 1, Message.WELCOME_2: 2, Message.WELCOME_3: 3}
WELCOME = {journal: message for message, journal in WELCOMES.items()}
TO_SOURCE = (*WELCOMES, Message.RECEIPT, *OUTCOMES)
NOTHING = Message(0)


class Price(Enum):
    """What a move is: the course of things, or a fault, which may be bounded."""

    FREE = 0
    FAULT = 1  # a hypervisor that fails, a check that finds fault: as often as it likes
    CRASH = 2  # of a daemon, a host or a hypervisor that ran: bounded
    JOURNAL = 3  # a journal lost or replaced by an old copy: bounded


class Move(NamedTuple, Generic[Node]):
    """What a node, or something that befalls it, does next."""

    label: str
    to: Node
    says: Message = NOTHING
    price: Price = Price.FREE


class Disk(Enum):
    """The journal's file."""

    GOOD = "as it was left"
    OLD = "an old copy"
    GONE = "lost"
