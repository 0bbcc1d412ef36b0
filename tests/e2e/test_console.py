"""How a console ends: with the guest, without a word; or before it, and then it says why. What a
guest said last, and what it lacks, is told.
"""

import threading
from collections.abc import Iterator

import grpc
import pytest
from bmig.v1 import guest_pb2, guest_pb2_grpc

from tests.cluster import Cluster
from tests.daemons import eventually
from tests.e2e.dial import dial
from tests.e2e.way import REFUSED, with_guest
from tests.microguest import make_files

pytestmark = pytest.mark.e2e
GUEST = "vm1"


@pytest.fixture(name="world", scope="module")
def make_world() -> Iterator[Cluster]:
    """vm1 runs on host1; its hypervisor reads nothing of what is typed."""
    with with_guest(GUEST) as made:
        yield made


def joined(
    world: Cluster, typed: bytes, over: threading.Event
) -> Iterator[guest_pb2.AttachConsoleResponse]:
    """The console on host1, with so much typed at it."""

    def requests() -> Iterator[guest_pb2.AttachConsoleRequest]:
        yield guest_pb2.AttachConsoleRequest(name=GUEST, input=typed)
        over.wait(60)

    stub = guest_pb2_grpc.GuestServiceStub(dial(world, "host1", "operators/alice"))
    return iter(stub.AttachConsole(requests(), timeout=60))


def test_who_is_let_go_while_the_guest_runs_learns_why(world: Cluster) -> None:
    over = threading.Event()
    with pytest.raises(grpc.RpcError) as ended:
        for _ in joined(world, b"x" * 100_000, over):
            pass  # what it prints is taken
    over.set()
    assert "CONSOLE_LET_GO" in str(ended.value.details())
    assert ended.value.code() is grpc.StatusCode.INTERNAL


def test_it_ends_without_an_error_when_the_guest_is_stopped(world: Cluster) -> None:
    over = threading.Event()
    console = joined(world, b"", over)
    assert b"HB n=" in next(console).output
    world.ctl("guest", "stop", GUEST, "--force")
    list(console)  # an error would be raised
    over.set()
    world.ctl("guest", "start", GUEST)


def test_the_last_words_of_a_guest_that_failed_can_be_read(world: Cluster) -> None:
    world.make_guest("vm2", "host1", "16M", "--fill", "64M")  # it says so and halts

    def failed() -> bool:
        return world.where("vm2") == {"host1": "GUEST_STATE_FAILED"}

    eventually(failed, what="the end of vm2")
    console = world.ctl("guest", "console", "--history", "vm2", check=False)
    assert "PANIC the pages to fill do not fit" in console.stdout
    assert "GUEST_NOT_RUNNING" in console.stderr
    shown = world.ctl("guest", "show", "vm2").stdout
    assert "bhyve exited with 2: it said nothing; bmigctl guest console --history vm2" in shown
    world.ctl("guest", "undefine", "vm2")


def test_what_a_guest_lacks_is_told_before_it_is_started(world: Cluster) -> None:
    text = (world.directory / "vm1.toml").read_text().replace("vm1", "vm3")
    lacking = world.directory / "vm3.toml"
    lacking.write_text(text)
    defined = world.ctl("guest", "define", str(lacking), "--node", "host1").stdout
    assert f"not there yet: {world.storage}/vm3.rom, {world.storage}/vm3.img" in defined
    refused = world.ctl("guest", "start", "vm3", check=False)
    assert (refused.returncode, "FILE_MISSING" in refused.stderr) == (REFUSED, True)
    assert f"{world.storage}/vm3.rom" in refused.stderr
    world.ctl("guest", "undefine", "vm3")
    make_files(world.storage, "vm3")
    lacking.write_text(text.replace('memory = "64M"', 'memory = "10000G"'))
    world.ctl("guest", "define", str(lacking), "--node", "host1")
    refused = world.ctl("guest", "start", "vm3", check=False)
    assert (refused.returncode, "NO_MEMORY" in refused.stderr) == (REFUSED, True)
    world.ctl("guest", "undefine", "vm3")
