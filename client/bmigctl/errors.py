"""What can go wrong, by who must act.

    BmigctlError
    |- UsageFault      the operator: command line, configuration or guest description
    |- Refused         the operator: a node said no, nothing was started or changed
    |- CallFailed      whoever the message names: a node could not do what it began
    '- Unreachable     the network or a certificate: a node could not be asked

Rule: an error says what happened, to which guest, on which side, where the guest is now
and what to do; whoever knows one of these adds it with about() on the way up.
"""

# Named for what happened, as the words in the output are.

from dataclasses import dataclass
from typing import ClassVar, Self

from bmigctl import exits


@dataclass(eq=False)
class BmigctlError(Exception):
    """Something that the operator is told in words, never as a traceback."""

    reason: str
    message: str
    guest: str = ""
    side: str = ""
    location: str = ""
    advice: str = ""
    violations: tuple[str, ...] = ()

    exit_code: ClassVar[int] = exits.FAILED

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"

    def about(
        self, *, guest: str = "", side: str = "", location: str = "", advice: str = ""
    ) -> Self:
        """Adds what is not said yet; what a node said itself stays."""
        self.guest = self.guest or guest
        self.side = self.side or side
        self.location = self.location or location
        self.advice = self.advice or advice
        return self


class UsageFault(BmigctlError):
    """The command line, the configuration or a guest description is wrong."""

    exit_code = exits.USAGE


class Refused(BmigctlError):
    """A node said no, or what was named does not exist; nothing was started or changed."""

    exit_code = exits.REFUSED


class CallFailed(BmigctlError):
    """A node answered that it could not do what it was asked."""


class Unreachable(BmigctlError):
    """A node could not be asked; the reason is the real cause, not the library's words."""

    exit_code = exits.UNREACHABLE
