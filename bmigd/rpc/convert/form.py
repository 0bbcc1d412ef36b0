"""The form of what a peer or a client sends: sizes, ranges, enums and identifiers, checked at the
border. Invalid (REQUEST_INVALID) names the field.
"""

import re
from collections.abc import Iterable
from typing import Generic, TypeVar
from uuid import UUID

from bmig.v1 import guest_pb2, migration_pb2

from bmigd.errors import Invalid

MAX_LIST_BYTES, MAX_TAG_BYTES = 1 << 20, 8  # of a list in one answer
MAX_EPOCH = (1 << 63) - 1  # what the journal's integers hold
AnyMessage = TypeVar("AnyMessage", guest_pb2.Guest, migration_pb2.Migration)


def invalid(field: str, problem: str) -> Invalid:
    """The form of a request is wrong."""
    return Invalid("REQUEST_INVALID", f"{field}: {problem}", "correct it and ask again")


def migration_id(text: str) -> str:
    """A UUID in its usual form."""
    try:
        return str(UUID(text))
    except ValueError as error:
        raise invalid("migration id", f"{text[:64]!r} is not a UUID") from error


def epoch(number: int) -> int:
    """An epoch that a journal can hold."""
    if number > MAX_EPOCH:
        raise invalid("epoch", "has more than 63 bits")
    return number


def probe_name(text: str) -> str:
    """A probe's name becomes part of a path: exactly 32 hexadecimal digits."""
    if not re.fullmatch(r"[0-9a-f]{32}", text):
        raise invalid("probe_name", "is not 32 hexadecimal digits")
    return text


class Page(Generic[AnyMessage]):
    """The first messages of a list, as many as one answer has room for, and whether there are
    more.
    """

    def __init__(self) -> None:
        self.messages: list[AnyMessage] = []
        self.has_more = False
        self._left = MAX_LIST_BYTES

    def takes(self, message: AnyMessage) -> bool:
        """One more, if there is room."""
        self._left -= message.ByteSize() + MAX_TAG_BYTES
        self.has_more = self._left < 0 and bool(self.messages)
        if not self.has_more:
            self.messages.append(message)
        return not self.has_more


def fitting(messages: Iterable[AnyMessage]) -> tuple[list[AnyMessage], bool]:
    """The first ones, as many as one answer has room for, and whether there are more."""
    page = Page[AnyMessage]()
    for message in messages:
        if not page.takes(message):
            break
    return page.messages, page.has_more
