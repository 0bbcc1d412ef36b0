"""What a guest will be started with is waited for, ended, and its failure told, in any order."""

import asyncio

import pytest

from bmigd.errors import StartFailed
from bmigd.migration.standby import Standby

FAILS = StartFailed("START_FAILED", "unsupported machine type", never_ran=True)


class Told:
    """Who is told of a failure, and drops everything."""

    def __init__(self, standby: Standby) -> None:
        self._standby = standby
        self.errors: list[BaseException] = []

    async def failed(self, error: BaseException) -> None:
        await asyncio.create_task(self._standby.end())  # from whatever task
        self.errors.append(error)


async def test_it_is_over_when_the_work_is_done() -> None:
    standby, done = Standby(), list[str]()
    told = Told(standby)

    async def work() -> None:
        await asyncio.sleep(0)
        done.append("work")

    standby.begin(work(), told.failed, "m1")
    await standby.over()
    assert (done, told.errors) == (["work"], [])
    await standby.end()


@pytest.mark.parametrize("error", [FAILS, OSError("no space left on device")])
async def test_it_is_over_once_its_failure_was_told_and_everything_dropped(
    error: Exception,
) -> None:
    standby = Standby()
    told = Told(standby)

    async def work() -> None:
        raise error

    standby.begin(work(), told.failed, "m1")
    async with asyncio.timeout(5):
        await standby.over()
    assert told.errors == [error]


async def test_whoever_ends_it_goes_on_only_when_nothing_of_it_does() -> None:
    standby, ends = Standby(), list[str]()
    told, began = Told(standby), asyncio.Event()

    async def work() -> None:
        try:
            began.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ends.append("ended")

    standby.begin(work(), told.failed, "m1")
    await began.wait()
    async with asyncio.timeout(5):
        await standby.end()
        assert ends == ["ended"]
        await standby.over()
    assert told.errors == []


@pytest.mark.parametrize("wait", ["over", "end"])
async def test_nothing_is_waited_for_where_nothing_began(wait: str) -> None:
    async with asyncio.timeout(5):
        await getattr(Standby(), wait)()
