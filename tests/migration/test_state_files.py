"""Device state comes by pieces into the spool; what is not as announced leaves nothing."""

import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from bmigd.drivers.base import IncomingGuest
from bmigd.errors import BmigError
from bmigd.migration.state_files import STATE_BYTES, StateHeader, gather_state
from tests.drivers.bhyve_bed import BhyveBed

Parts = list[tuple[int, bytes]]
KERN, META = b"k" * 5000, b"{}"


@pytest.fixture(name="incoming")
def make_incoming() -> Iterator[IncomingGuest]:
    """A guest of a micro-VM whose directory is there."""
    bed = BhyveBed()
    guest = bed.node("a").driver.incoming(bed.definition)
    guest.state_path("kern").parent.mkdir(mode=0o700)
    yield guest
    bed.close()


def header(*files: tuple[str, int, bytes]) -> StateHeader:
    """An announcement."""
    return StateHeader(b"", files, verify=False)


def announced(name: str, content: bytes) -> tuple[str, int, bytes]:
    """A file as it should be."""
    return name, len(content), hashlib.sha256(content).digest()


GOOD = header(announced("kern", KERN), announced("meta", META))


async def stream(parts: Parts) -> AsyncIterator[tuple[int, bytes]]:
    """What a peer sends."""
    for part in parts:
        yield part


def there(incoming: IncomingGuest) -> list[str]:
    """Files in the guest's directory."""
    return sorted(path.name for path in incoming.state_path("kern").parent.iterdir())


async def test_state_comes_by_pieces_and_is_counted_before_it_comes(
    incoming: IncomingGuest,
) -> None:
    counted: list[int] = []
    parts = [(0, KERN[:4096]), (1, META), (0, KERN[4096:])]
    arrived = await gather_state(incoming, GOOD, stream(parts), counted.append)
    assert there(incoming) == ["state.kern.partial", "state.meta.partial"]
    await arrived.place()
    assert incoming.state_path("kern").read_bytes() == KERN
    assert incoming.state_path("meta").read_bytes() == META
    assert there(incoming) == ["state.kern", "state.meta"]
    assert Path(incoming.state_path("kern")).stat().st_mode & 0o777 == 0o600
    assert counted == [len(KERN) + len(META)]


@pytest.mark.parametrize(
    "parts",
    [
        [(0, KERN)],
        [(0, KERN), (1, b"{]")],
        [(0, KERN + b"k"), (1, META)],
        [(0, KERN), (1, META), (2, b"")],
        [(0, KERN[:-1]), (1, META)],
    ],
    ids=["missing", "damaged", "longer", "another", "shorter"],
)
async def test_what_is_not_as_announced_leaves_nothing(
    incoming: IncomingGuest, parts: Parts
) -> None:
    with pytest.raises(BmigError) as refused:
        await (await gather_state(incoming, GOOD, stream(parts), lambda _: None)).place()
    assert refused.value.reason == "STATE_INVALID"
    assert there(incoming) == []


@pytest.mark.parametrize(
    "wrong",
    [
        header(("kern", STATE_BYTES + 1, b"")),
        header(announced("kern", KERN), announced("kern", KERN)),
        header(announced("../kern", KERN)),
    ],
    ids=["large", "twice", "unknown"],
)
async def test_a_wrong_announcement_is_refused_before_anything_is_counted(
    incoming: IncomingGuest, wrong: StateHeader
) -> None:
    counted: list[int] = []
    with pytest.raises(BmigError) as refused:
        await gather_state(incoming, wrong, stream([]), counted.append)
    assert (refused.value.reason, counted) == ("STATE_INVALID", [])
