"""A guest that has come is announced on its network: switches see its MAC as a sender, five times.

The frames are looked at where they come out of the bridge, in a network namespace.
"""

import json

from hypothesis import given
from hypothesis import strategies as st

from bmigd.announce import PAUSES_S, Announcer, reverse_arp
from tests.announce.cable import in_namespace

MAC = "58:9c:fc:00:00:01"


@given(st.binary(min_size=6, max_size=6))
def test_the_frame_is_a_reverse_arp_request_for_its_own_sender(address: bytes) -> None:
    frame = reverse_arp(":".join(f"{byte:02x}" for byte in address))
    assert len(frame) == 60
    assert frame[:14] == b"\xff" * 6 + address + bytes.fromhex("8035")
    assert frame[14:42] == bytes.fromhex("0001080006040003") + (address + bytes(4)) * 2
    assert not any(frame[42:])


def test_frames_leave_the_bridge_with_the_guests_mac_as_sender() -> None:
    frames = json.loads(in_namespace("announce", MAC))
    assert frames == [reverse_arp(MAC).hex()] * len(PAUSES_S)


def test_a_network_without_its_bridge_is_known_beforehand() -> None:
    announcer = Announcer({"lan": "nosuchbridge", "other": "lo"})
    assert list(announcer.obstacles(["lan", "not ours"])) == ["lan"]
    assert "nosuchbridge" in announcer.obstacles(["lan"])["lan"]


async def test_a_guest_that_cannot_be_announced_is_no_error() -> None:
    announcer = Announcer({"lan": "nosuchbridge"})
    announcer.announce("vm1", [("lan", MAC)])
    (task,) = announcer._tasks
    await task
