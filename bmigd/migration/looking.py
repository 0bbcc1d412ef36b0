"""Looks at files of guests. A storage that hangs holds up whoever asks for it, and nobody else.

Rules: what did not answer in time is not asked again until it has, so that it takes no more
threads; and no thread of these keeps the daemon from ending.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from bmigd.errors import LocalFault

LOOK_S = 5.0
T = TypeVar("T")


class Looking:
    """At places of one node, by their names in words. Event loop only."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._late: dict[str, list[Future[Any]]] = {}  # looks that were not waited for, by place

    async def at(self, place: str, function: Callable[[], T]) -> T:
        """Do something with files of a place; LocalFault (STORAGE_SILENT) if it takes too long."""
        late = [look for look in self._late.pop(place, []) if not look.done()]
        if late:
            self._late[place] = late
            raise self._silent(place)
        answer = Future[T]()
        answer.set_running_or_notify_cancel()  # nobody can take it back from the thread

        def look() -> None:
            try:
                answer.set_result(function())
            except BaseException as error:  # noqa: BLE001 - raised where it is waited for
                answer.set_exception(error)

        threading.Thread(target=look, name="looking", daemon=True).start()
        try:
            async with asyncio.timeout(LOOK_S):
                return await asyncio.wrap_future(answer)
        except TimeoutError as error:
            self._late.setdefault(place, []).append(answer)
            raise self._silent(place) from error

    def _silent(self, place: str) -> LocalFault:
        return LocalFault(
            "STORAGE_SILENT",
            f"{place} of {self._node} did not answer within {LOOK_S:g} s",
            f"see why it hangs on {self._node}; it is asked again once it answers",
        )
