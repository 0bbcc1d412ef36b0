"""Names that a shell completes: what `bmigctl` answers when bash or zsh asks it."""

import asyncio
import os
import sys

import pytest
from bmig.v1 import guest_pb2
from bmigctl import config
from bmigctl.client import Client

from tests.bmigctl.conftest import Ended, Operator, finish
from tests.bmigctl.nodes import FakeNode, Refusal, guest
from tests.bmigctl.samples import ID, completed, in_doubt

pytestmark = pytest.mark.slow

OTHER_ID = "7f3b0000-0000-4000-8000-000000000002"
NODES, GUESTS = ["host1", "host2"], ["vm1", "vm2"]


async def completion(alice: Operator, line: str, shell: str = "bash") -> Ended:
    """What the shell is told for the last word of a line, which may be empty."""
    words = ["bmigctl", "--config", str(alice.config), *line.split(" ")]
    environment = {
        **os.environ,
        "_BMIGCTL_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": " ".join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bmigctl"),
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    ended = await finish(process)
    assert (ended.code, ended.err) == (0, "")
    return ended


async def completed_names(alice: Operator, line: str) -> list[str]:
    ended = await completion(alice, line)
    return [one.removeprefix("plain,") for one in ended.out.splitlines() if one]


@pytest.fixture
def full(host1: FakeNode, host2: FakeNode) -> None:
    """Two nodes, a guest on each, a migration that is over and one that is not."""
    host1.guests["vm1"] = guest("vm1")
    host2.guests["vm2"] = guest("vm2", guest_pb2.GUEST_STATE_STOPPED)
    host1.migrations[OTHER_ID] = completed()
    host1.migrations[OTHER_ID].id = OTHER_ID
    host1.migrations[ID] = in_doubt()


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("migrate ", GUESTS),
        ("migrate vm2", ["vm2"]),
        ("migrate vm1 ", NODES),
        ("check ", GUESTS),
        ("check vm1 host2", ["host2"]),
        ("guest start ", GUESTS),
        ("guest console v", GUESTS),
        ("guest list --node ", NODES),
        ("guest start --node host2 ", ["vm2"]),
        ("guest recover vm1 --not-on ", NODES),
        ("guest recover ", []),
        ("node show ", NODES),
        ("list --guest ", GUESTS),
        ("show ", [ID, OTHER_ID]),
        ("show 7f3b", [OTHER_ID]),
        ("watch ", [ID, OTHER_ID]),
        ("cancel ", [ID]),
        ("bandwidth ", [ID]),
        ("resolve ", [ID]),
    ],
)
@pytest.mark.usefixtures("full")
async def test_names_are_completed(alice: Operator, line: str, names: list[str]) -> None:
    assert await completed_names(alice, line) == names


@pytest.mark.usefixtures("full")
async def test_a_shell_that_can_shows_what_they_are(alice: Operator) -> None:
    ended = await completion(alice, "migrate ", "zsh")
    assert ended.out.splitlines() == [
        *("plain", "vm1", "running on host1"),
        *("plain", "vm2", "stopped on host2"),
    ]
    ended = await completion(alice, "cancel ", "zsh")
    assert ended.out.splitlines()[2] == "vm1 from host1 to host2: handoff"


@pytest.mark.usefixtures("full")
async def test_a_node_that_is_silent_is_not_waited_for(alice: Operator, host2: FakeNode) -> None:
    host2.is_silent = True
    async with asyncio.timeout(4.5):  # the survey itself would wait for five seconds
        assert await completed_names(alice, "migrate ") == ["vm1"]


async def test_nothing_is_completed_where_nothing_can_be_asked(
    alice: Operator, host1: FakeNode
) -> None:
    host1.answers["ListGuests"] = Refusal("PERMISSION_DENIED", "no right", "DENIED")
    assert await completed_names(alice, "migrate ") == []
    await host1.stop()
    assert await completed_names(alice, "migrate ") == []
    alice.config.write_text("nonsense")
    assert await completed_names(alice, "migrate ") == []
    assert await completed_names(alice, "migrate vm1 host1 --codec z") == ["zstd"]


@pytest.mark.parametrize("name", ["x`id`", "vm3;ls", "vm3\nplain", "-rf", "$(id)", "vm 3"])
async def test_nothing_that_a_shell_would_run_is_completed(
    alice: Operator, host1: FakeNode, name: str
) -> None:
    host1.guests["vm1"], host1.guests["other"] = guest("vm1"), guest(name)
    assert await completed_names(alice, "migrate ") == ["vm1"]


async def test_why_a_node_cannot_be_called_is_not_looked_for(
    alice: Operator, host1: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That takes seconds where a host drops what is sent to it, and nobody would read it."""
    monkeypatch.setattr("bmigctl.dial.diagnose", None)
    await host1.stop()
    async with Client(config.load(alice.config), diagnoses=False) as client:
        survey = await client.guests()
    assert survey.failures["host1"].reason == "NO_ANSWER"
