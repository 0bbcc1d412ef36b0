"""What a destination says that it has is taken into the table only if it is of the right shape."""

from collections.abc import AsyncIterator

import numpy as np
import pytest

from bmigd.errors import PeerFault
from bmigd.migration.known import learn
from bmigd.migration.ports import Stretch
from bmigd.transfer.pages import PageTable

REGIONS = [16 * 4096, 8 * 4096]


def hashes(count: int, first: int = 1) -> bytes:
    """So many, all of them different."""
    return np.arange(first, first + count, dtype="<u8").tobytes()


async def told(*stretches: Stretch) -> AsyncIterator[Stretch]:
    """What the destination says."""
    for one in stretches:
        yield one


WHOLE = (Stretch(0, 0, hashes(10)), Stretch(0, 10, hashes(6, 11)), Stretch(1, 0, hashes(8, 100)))


async def test_all_of_it_goes_into_the_table() -> None:
    table = PageTable(REGIONS, seed=7)
    assert await learn(told(*WHOLE), table) == 24
    assert table.regions[0].tolist() == list(range(1, 17))
    assert table.regions[1].tolist() == list(range(100, 108))


@pytest.mark.parametrize(
    "wrong",
    [
        (),
        WHOLE[:2],
        (WHOLE[0], WHOLE[2]),
        (WHOLE[0], WHOLE[0], *WHOLE[1:]),
        (*WHOLE, Stretch(2, 0, hashes(1))),
        (Stretch(0, 0, hashes(17)), WHOLE[2]),
        (Stretch(0, 0, b""), *WHOLE),
        (Stretch(0, 0, b"1234567"), *WHOLE),
        (Stretch(1 << 31, 1 << 63, hashes(1)), *WHOLE),
    ],
)
async def test_anything_else_is_the_peers_fault(wrong: tuple[Stretch, ...]) -> None:
    with pytest.raises(PeerFault) as fault:
        await learn(told(*wrong), PageTable(REGIONS, seed=7))
    assert fault.value.reason == "PEER_FAILED"
