"""The stream that does the work does it: what arrives is what was sent, and is checked."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from bench import bare, laden
from bench.guest import MIB
from certs import authority

SIZE_MIB = 2 * bare.WINDOW + 3
MIDDLE = bare.WINDOW + 1


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[laden.Pair]:
    """Two ends with certificates of one CA, and memory to send."""
    certs = tmp_path / "certs"
    authority.make_ca(certs, "test")
    for name in ("host1", "host2"):
        authority.issue_node(certs, name)
    with laden.pair(certs, tmp_path) as both:
        both.fill(SIZE_MIB)
        yield both


async def send(pair: laden.Pair, frames: list[bytes]) -> None:
    """Frames as they are; the copy stays."""
    await bare.send(pair.certs, pair.end, frames, len(frames))


@pytest.mark.slow
async def test_what_arrives_is_what_was_sent_in_any_order(pair: laden.Pair) -> None:
    await send(pair, list(laden.frames(pair.source))[::-1])
    assert pair.copy.read_bytes() == pair.source.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("at", [0, laden.DIGEST_BYTES + laden.OFFSET_BYTES, -1])
async def test_a_flipped_byte_is_refused_and_nothing_of_its_frame_written(
    pair: laden.Pair, at: int
) -> None:
    frames = list(laden.frames(pair.source))[: MIDDLE + 1]
    flipped = bytearray(frames[MIDDLE])
    flipped[at] ^= 1
    frames[MIDDLE] = bytes(flipped)  # the last: grpc.aio forgets why a write after it failed
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await asyncio.wait_for(send(pair, frames), 30)
    assert refused.value.code() == grpc.StatusCode.DATA_LOSS
    assert pair.copy.read_bytes() == pair.source.read_bytes()[: MIDDLE * MIB]


@pytest.mark.slow
def test_each_run_writes_a_new_file_and_leaves_none(pair: laden.Pair) -> None:
    for _ in range(2):
        sent = pair.send()
        assert not pair.copy.exists()
        assert sent.duration_s > 0
        assert sent.processor_s > 0


def test_memory_is_text_and_random_pages_and_none_is_zero(pair: laden.Pair) -> None:
    content = pair.source.read_bytes()
    pages = [content[at : at + 4096] for at in range(0, len(content), 4096)]
    texts = [page for page in pages if page.isascii()]
    assert len(content) == SIZE_MIB * MIB
    assert len(texts) / len(pages) == pytest.approx(laden.TEXT_PERCENT / 100, abs=0.01)
    assert len(set(pages)) == len(pages)
    assert not any(page == bytes(4096) for page in pages)
