"""Migrations of a node share what it may send, and what changes holds at once, for all of them."""

from contextlib import ExitStack

import pytest

from bmigd.chunk import MIB
from bmigd.errors import Busy, NotPossible
from bmigd.migration.bandwidth import Bandwidth
from bmigd.migration.phases import Phase
from bmigd.migration.picture import Options, Picture
from bmigd.migration.recorder import Recorder
from tests.migration.test_throttle import Unkept

ALICE = "spiffe://test/operator/alice"


class Sending:
    """A migration, and how fast it may go."""

    def __init__(self, node: Bandwidth, wanted: int = 0, *, sends: bool = True) -> None:
        self.node, self.kept, self.limits = node, Unkept(), list[int]()
        options = Options(bandwidth_limit_bytes_per_s=wanted)
        self.picture = Picture("m", "vm1", "host1", "host2", "source", 1, "alice", options)
        self.recorder = Recorder(self.picture, self.kept, [])
        self.sends = ExitStack()
        if sends:
            self.send()

    @property
    def now(self) -> int:
        return self.limits[-1]

    def send(self) -> None:
        """Begin."""
        self.picture.phase = Phase.PRECOPY
        self.sends.enter_context(self.node.shared(self.recorder, self.limits.append))

    def ask(self, bytes_per_s: int) -> None:
        """Another limit."""
        self.node.change(self.picture, self.recorder, bytes_per_s, ALICE)

    def refuses(self, bytes_per_s: int) -> NotPossible:
        """Another limit, which changes nothing."""
        before, said = self.picture.options, list(self.kept.said)
        with pytest.raises(NotPossible) as refused:
            self.ask(bytes_per_s)
        assert (self.picture.options, self.kept.said) == (before, said)
        return refused.value


def test_alone_a_migration_has_all_of_it() -> None:
    node = Bandwidth(120 * MIB)
    alone = Sending(node)
    assert alone.now == 120 * MIB
    assert alone.kept.said == ["bandwidth: 120 MiB/s, all of the node's 120 MiB/s"]
    assert Sending(Bandwidth(0)).now == 0
    assert Sending(Bandwidth(0), 7 * MIB).now == 7 * MIB


def test_shares_follow_who_comes_and_goes() -> None:
    node = Bandwidth(120 * MIB)
    first, second = Sending(node), Sending(node, 20 * MIB)
    assert (first.now, second.now) == (100 * MIB, 20 * MIB)
    third = Sending(node)
    assert (first.now, second.now, third.now) == (50 * MIB, 20 * MIB, 50 * MIB)
    first.sends.close()
    assert (first.now, second.now, third.now) == (0, 20 * MIB, 100 * MIB)  # a guest that is down
    third.sends.close()
    assert second.now == 20 * MIB


def test_a_migration_that_fails_leaves_its_share_to_the_others() -> None:
    node = Bandwidth(120 * MIB)
    stays = Sending(node)
    fails = Sending(node)
    assert (stays.now, fails.now) == (60 * MIB, 60 * MIB)
    error = OSError("broken")
    assert not fails.sends.__exit__(type(error), error, None)  # the error goes on
    assert (stays.now, fails.now) == (120 * MIB, 0)


def test_who_gets_less_than_asked_for_is_told_what_and_why() -> None:
    node = Bandwidth(120 * MIB)
    asks = Sending(node, 50 * MIB)
    assert asks.kept.said == []
    others = [Sending(node), Sending(node)]
    assert asks.kept.said == ["bandwidth: 40 MiB/s, a third of the node's 120 MiB/s"]
    assert others[1].kept.said == ["bandwidth: 40 MiB/s, a third of the node's 120 MiB/s"]
    others.pop().sends.close()
    assert asks.kept.said[1:] == ["bandwidth: 50 MiB/s, as asked for"]
    assert others[0].kept.said[-1] == "bandwidth: 70 MiB/s of the node's 120 MiB/s"


def test_a_new_limit_is_told_and_gives_the_others_what_it_leaves() -> None:
    node = Bandwidth(120 * MIB)
    first, second = Sending(node), Sending(node)
    first.ask(10 * MIB)
    assert (first.now, second.now) == (10 * MIB, 110 * MIB)
    assert first.picture.options.bandwidth_limit_bytes_per_s == 10 * MIB
    assert f"bandwidth: limit changed from none to 10 MiB/s by {ALICE}" in first.kept.said
    first.ask(0)
    assert (first.now, second.now) == (60 * MIB, 60 * MIB)
    assert first.kept.said[-2:] == [
        f"bandwidth: limit changed from 10 MiB/s to none by {ALICE}",
        "bandwidth: 60 MiB/s, half of the node's 120 MiB/s",
    ]


@pytest.mark.parametrize("phase", [Phase.PRECOPY, Phase.SWITCHOVER, Phase.HANDOFF, Phase.ABORTING])
def test_the_same_limit_again_changes_nothing_as_long_as_it_goes_on(phase: Phase) -> None:
    sending = Sending(Bandwidth(0), 10 * MIB)
    sending.picture.phase = phase
    sending.ask(10 * MIB)
    assert (sending.kept.said, sending.limits) == ([], [10 * MIB])


def test_a_limit_before_anything_is_sent_holds_from_the_start() -> None:
    waiting = Sending(Bandwidth(0), sends=False)
    waiting.ask(5 * MIB)
    waiting.send()
    assert waiting.limits == [5 * MIB]


@pytest.mark.parametrize("phase", [Phase.SWITCHOVER, Phase.HANDOFF, Phase.ABORTING])
def test_once_the_guest_is_down_it_is_too_late(phase: Phase) -> None:
    sending = Sending(Bandwidth(0))
    sending.sends.close()
    sending.picture.phase = phase
    refused = sending.refuses(MIB)
    assert (refused.reason, refused.guest, refused.side) == ("TOO_LATE", "vm1", "source")
    assert refused.location
    assert refused.advice


@pytest.mark.parametrize(
    ("phase", "place"), [(Phase.COMPLETED, "on host2"), (Phase.ABORTED, "on host1")]
)
def test_what_has_ended_has_no_limit_to_change(phase: Phase, place: str) -> None:
    sending = Sending(Bandwidth(0), 10 * MIB)
    sending.sends.close()
    sending.picture.phase = phase
    for limit in (MIB, 10 * MIB):
        refused = sending.refuses(limit)
        assert (refused.reason, refused.location) == ("MIGRATION_OVER", place)


def test_what_is_only_settled_here_is_past_its_limit() -> None:
    settled = Sending(Bandwidth(0), sends=False)
    with pytest.raises(NotPossible) as refused:
        settled.node.change(settled.picture, None, MIB, ALICE)
    assert refused.value.reason == "TOO_LATE"


def test_an_operator_changes_it_so_often_and_no_oftener() -> None:
    one = Sending(Bandwidth(0))
    for number in range(1, 61):
        one.ask(number * MIB)
    with pytest.raises(Busy) as refused:
        one.ask(MIB)
    assert refused.value.reason == "TOO_MANY_CHANGES"
    one.ask(60 * MIB)  # which it has
