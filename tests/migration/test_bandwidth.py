"""Migrations of a node share what it may send, and what changes holds at once, for all of them."""

from bmigd.chunk import MIB
from bmigd.migration.bandwidth import Bandwidth, Share, limit
from bmigd.migration.picture import Options, Picture
from bmigd.migration.recorder import Recorder
from tests.migration.test_throttle import Unkept


class Sending:
    """A migration, and how fast it may go."""

    def __init__(self, node: Bandwidth, wanted: int = 0) -> None:
        self.kept, self.limits = Unkept(), list[int]()
        options = Options(bandwidth_limit_bytes_per_s=wanted)
        picture = Picture("m", "vm1", "host1", "host2", "source", 1, "alice", options)
        self.recorder = Recorder(picture, self.kept, [])
        self.share: Share = node.join(self.recorder, self.limits.append)

    @property
    def now(self) -> int:
        return self.limits[-1]


def test_alone_a_migration_has_all_of_it() -> None:
    node = Bandwidth(120 * MIB)
    assert Sending(node).now == 120 * MIB
    assert Sending(Bandwidth(0)).now == 0
    assert Sending(Bandwidth(0), 7 * MIB).now == 7 * MIB


def test_shares_follow_who_comes_and_goes() -> None:
    node = Bandwidth(120 * MIB)
    first, second = Sending(node), Sending(node, 20 * MIB)
    assert (first.now, second.now) == (100 * MIB, 20 * MIB)
    third = Sending(node)
    assert (first.now, second.now, third.now) == (50 * MIB, 20 * MIB, 50 * MIB)
    first.share.leave()
    assert (first.now, second.now, third.now) == (0, 20 * MIB, 100 * MIB)  # a guest that is down
    first.share.leave()
    assert (second.now, third.now) == (20 * MIB, 100 * MIB)
    third.share.leave()
    assert second.now == 20 * MIB


def test_a_new_limit_is_told_and_gives_the_others_what_it_leaves() -> None:
    node = Bandwidth(120 * MIB)
    first, second = Sending(node), Sending(node)
    limit(first.recorder, first.share, 10 * MIB, "alice")
    assert (first.now, second.now) == (10 * MIB, 110 * MIB)
    assert first.recorder.picture.options.bandwidth_limit_bytes_per_s == 10 * MIB
    assert first.kept.said[-2:] == [
        "bandwidth: from no limit to 10 MiB/s, by alice",
        "bandwidth: at most 10 MiB/s",
    ]
    limit(first.recorder, first.share, 0, "alice")
    assert (first.now, second.now) == (60 * MIB, 60 * MIB)
    assert first.kept.said[-1] == (
        "bandwidth: at most 60 MiB/s, its share of the 120 MiB/s of this node"
    )


def test_the_same_limit_again_changes_nothing() -> None:
    sending = Sending(Bandwidth(0), 10 * MIB)
    said = list(sending.kept.said)
    limit(sending.recorder, sending.share, 10 * MIB, "alice")
    assert (sending.kept.said, sending.limits) == (said, [10 * MIB])


def test_a_limit_before_anything_is_sent_holds_from_the_start() -> None:
    node = Bandwidth(0)
    waiting = Sending(node)
    waiting.share.leave()
    limit(waiting.recorder, None, 5 * MIB, "alice")
    assert node.join(waiting.recorder, waiting.limits.append).wanted == 5 * MIB
    assert waiting.now == 5 * MIB
