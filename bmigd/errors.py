"""Every failure that bmigd reports, by who must act.

    BmigError
    ├── Refused              the caller must ask for something else; nothing was changed
    │   ├── Invalid          the request itself is wrong
    │   ├── Denied           the policy does not allow it
    │   ├── Unknown          there is no such guest, node or migration
    │   ├── Taken            the name or id belongs to something else
    │   ├── Busy             something else is going on with it; wait or cancel that
    │   └── NotPossible      the state of things does not allow it now
    ├── LocalFault           this node: its hypervisor, its disks
    │   └── StartFailed      the hypervisor did not come up
    └── PeerFault            the other node, or the way to it
        ├── PeerLost         it does not answer
        ├── PeerSaidNo       it answered with an error of its own
        └── BadBytes         it sent something that must not be used

A reason is stable and for programs; a message is for people, lower case, with names and numbers.
Whoever's words are in it, it is bounded and printable: it goes to the journal, to logs, to callers.
A bug is an AssertionError, never one of these.
"""

from dataclasses import dataclass, field

from bmigd.words import short


@dataclass(frozen=True)
class Violation:
    """One failed precheck: a stable reason, what is wrong, what to do."""

    reason: str
    message: str
    advice: str = ""


@dataclass(eq=False)
class BmigError(Exception):
    """A failure with a stable reason, in words, with what to do next."""

    reason: str
    message: str
    advice: str = ""
    guest: str = ""
    side: str = ""  # "source", "destination" or "" when there is no migration
    location: str = ""  # where the guest is now, in words
    violations: tuple[Violation, ...] = field(default=())

    def __post_init__(self) -> None:
        self.reason, self.guest = short(self.reason, 64), short(self.guest, 64)
        self.message, self.advice = short(self.message), short(self.advice)
        self.location = short(self.location)

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"

    def about(self, *, guest: str = "", side: str = "", location: str = "") -> "BmigError":
        """Fill in what the raiser could not know; what is known already stays."""
        self.guest = self.guest or guest
        self.side = self.side or side
        self.location = self.location or location
        return self


class Refused(BmigError):
    """The caller must ask for something else; nothing was changed."""


class Invalid(Refused):
    """The request itself is wrong."""


class Denied(Refused):
    """The policy does not allow it."""


class Unknown(Refused):
    """There is no such guest, node or migration."""


class Taken(Refused):
    """The name or id belongs to something else."""


class Busy(Refused):
    """Something else is going on with it."""


class NotPossible(Refused):
    """The state of things does not allow it now."""


class LocalFault(BmigError):
    """This node failed: its hypervisor, its disks."""


def spool_full(message: str) -> LocalFault:
    """SPOOL_FULL: the spool cannot be written."""
    advice = "free space under node.spool_dir of that node, or give it more, and try again"
    return LocalFault("SPOOL_FULL", message, advice)


@dataclass(eq=False)
class StartFailed(LocalFault):
    """The hypervisor did not come up.

    `never_ran` is true only when its supervisor saw it exit before it signalled that the guest
    runs: the one proof on which a taken guest may be given back.
    """

    never_ran: bool = False


class PeerFault(BmigError):
    """The other node failed, or the way to it."""


class PeerLost(PeerFault):
    """The other node does not answer."""


class PeerSaidNo(PeerFault):
    """The other node answered with an error of its own."""


class BadBytes(PeerFault):
    """The other node sent something that must not be used."""
