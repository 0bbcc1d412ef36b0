"""Every codec keeps the contract, and each has its own word on what it takes and refuses."""

import tracemalloc
from typing import ClassVar

import pytest
import zstandard
from bmig.v1 import migration_pb2
from hypothesis import given
from hypothesis import strategies as st

from bmigd.chunk import MIB, PAGE_BYTES, CodecId
from bmigd.codecs import CODECS, DELTA, ZSTD
from bmigd.codecs.zstd import Zstd
from bmigd.errors import BadBytes
from tests.codecs.contract import INHERITED, NOISE, TEXT, ZEROES, CodecContract


class TestZero(CodecContract):
    """All bytes are zero."""

    codec_id = CodecId.ZERO
    pays_for = ZEROES

    def encoded(self, content: bytes) -> bytes:
        return b""

    def test_it_has_no_payload(self) -> None:
        with pytest.raises(BadBytes, match="payload of 1 bytes"):
            self.codec.decode(b"\0", PAGE_BYTES)


class TestRaw(CodecContract):
    """The bytes themselves."""

    codec_id = CodecId.RAW
    pays_for = NOISE

    def encoded(self, content: bytes) -> bytes:
        return content

    def test_nothing_is_copied(self) -> None:
        assert self.codec.decode(NOISE, len(NOISE)) is NOISE


class Encoding(CodecContract):
    """Of those that make content smaller, or do not take it."""

    encoder: ClassVar[Zstd]

    def encoded(self, content: bytes) -> bytes:
        payload = self.encoder.encode(content, self.encoder.levels[0])
        assert payload is not None
        return payload

    @INHERITED
    @given(st.lists(st.sampled_from([ZEROES, TEXT, NOISE]), min_size=1, max_size=4).map(b"".join))
    def test_content_comes_back_or_is_not_taken(self, content: bytes) -> None:
        for level in self.encoder.levels:
            payload = self.encoder.encode(memoryview(content), level)
            if payload is not None:
                assert len(payload) < len(content)
                assert bytes(self.codec.decode(payload, len(content))) == content

    def test_it_does_not_take_what_it_cannot_shrink(self) -> None:
        assert self.encoder.encode(NOISE, 1) is None


class TestZstd(Encoding):
    """One Zstandard frame."""

    codec_id, encoder = CodecId.ZSTD, ZSTD
    pays_for = TEXT

    def test_any_zstandard_writer_is_understood(self) -> None:
        for level in (1, 9, 19):
            assert self.codec.decode(zstandard.compress(TEXT, level), len(TEXT)) == TEXT

    @pytest.mark.parametrize("expected_bytes", [0, 1, len(TEXT) - 1, len(TEXT) + 1, 1 << 40])
    def test_a_frame_that_states_another_size_is_refused(self, expected_bytes: int) -> None:
        with pytest.raises(BadBytes):
            self.codec.decode(zstandard.compress(TEXT), expected_bytes)

    def test_a_bomb_is_refused_before_anything_is_allocated_for_it(self) -> None:
        bomb = zstandard.compress(bytes(256 * MIB))
        silent = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(256 * MIB))
        tracemalloc.start()
        try:
            for payload in (bomb, silent):
                with pytest.raises(BadBytes):
                    self.codec.decode(payload, PAGE_BYTES)
            assert tracemalloc.get_traced_memory()[1] < MIB
        finally:
            tracemalloc.stop()

    @pytest.mark.parametrize("more", [b"\0", bytes(1000), zstandard.compress(TEXT)])
    def test_what_follows_a_frame_is_refused(self, more: bytes) -> None:
        with pytest.raises(BadBytes):
            self.codec.decode(zstandard.compress(TEXT) + more, len(TEXT))

    def test_a_window_larger_than_a_chunk_needs_is_refused(self) -> None:
        parameters = zstandard.ZstdCompressionParameters(window_log=27, enable_ldm=True)
        compressor = zstandard.ZstdCompressor(compression_params=parameters)
        stream = compressor.compressobj(size=-1)
        payload = stream.compress(TEXT) + stream.flush()
        with pytest.raises(BadBytes):
            self.codec.decode(payload, len(TEXT))


def test_codecs_are_numbered_as_in_the_contract() -> None:
    contract = {
        name.removeprefix("CODEC_"): number
        for name, number in migration_pb2.Codec.items()
        if number
    }
    assert contract == {one.name: one.value for one in CodecId}
    assert set(CODECS) == set(CodecId)


class TestDelta(Encoding):
    """Differences, which are mostly zeroes."""

    codec_id, encoder = CodecId.DELTA, DELTA
    pays_for = bytes(100) + b"x" + bytes(2 * PAGE_BYTES - 101)
