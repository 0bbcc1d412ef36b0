"""Tasks that outlive the call that began them."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

log = structlog.get_logger()

_RUNNING: set[asyncio.Task[None]] = set()  # the event loop alone would not keep them


def launched(work: Coroutine[Any, Any, None], migration_id: str) -> asyncio.Task[None]:
    """A task of a migration. An error that nobody handles is a bug, and is told."""

    def done(task: asyncio.Task[None]) -> None:
        _RUNNING.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("bug", migration=migration_id, exc_info=error)

    task = asyncio.create_task(work, name=f"migration {migration_id}")
    _RUNNING.add(task)
    task.add_done_callback(done)
    return task
