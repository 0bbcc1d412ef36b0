"""What every codec promises, as tests: a subclass names the codec and gets them all.

decode() sees a peer's bytes, so most of it is about what is not exactly right.
"""

import random
from abc import ABC, abstractmethod
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bmigd.chunk import CHUNK_BYTES, PAGE_BYTES, CodecId
from bmigd.codecs import CODECS
from bmigd.codecs.base import Codec
from bmigd.errors import BadBytes

ZEROES = bytes(PAGE_BYTES)
TEXT = b"bhyve " * (2 * PAGE_BYTES // 6) + bytes(2)
NOISE = random.Random(3).randbytes(PAGE_BYTES)  # noqa: S311 - noise
# The same test runs for every subclass.
INHERITED = settings(suppress_health_check=[HealthCheck.differing_executors])


class CodecContract(ABC):
    """Subclass it as Test…; `pays_for` is content that this codec takes."""

    codec_id: ClassVar[CodecId]
    pays_for: ClassVar[bytes]

    @property
    def codec(self) -> Codec:
        """The one that the daemon uses."""
        return CODECS[self.codec_id]

    @abstractmethod
    def encoded(self, content: bytes) -> bytes:
        """As a sender makes it."""

    def test_it_is_registered_under_its_number(self) -> None:
        assert self.codec.codec_id == self.codec_id

    def test_content_comes_back(self) -> None:
        content = self.pays_for
        assert bytes(self.codec.decode(self.encoded(content), len(content))) == content

    def test_a_view_is_as_good_as_bytes(self) -> None:
        content = self.pays_for
        view = memoryview(self.encoded(content))
        assert bytes(self.codec.decode(view, len(content))) == content

    @pytest.mark.parametrize("off", [-PAGE_BYTES, -1])
    def test_less_than_expected_is_refused(self, off: int) -> None:
        with pytest.raises(BadBytes):
            self.codec.decode(b"\1" + self.encoded(self.pays_for), len(self.pays_for) + off)

    @INHERITED
    @given(st.binary(max_size=64), st.integers(65, CHUNK_BYTES))
    def test_random_bytes_never_decode_to_more_than_was_expected(
        self, payload: bytes, expected_bytes: int
    ) -> None:
        try:
            content = self.codec.decode(payload, expected_bytes)
        except BadBytes:
            return
        assert len(content) == expected_bytes

    @INHERITED
    @given(st.data())
    def test_a_damaged_payload_is_refused_or_has_the_expected_size(
        self, data: st.DataObject
    ) -> None:
        damaged = bytearray(self.encoded(self.pays_for))
        if damaged:
            position = data.draw(st.integers(0, len(damaged) - 1))
            damaged[position] ^= data.draw(st.integers(1, 255))
            del damaged[len(damaged) - data.draw(st.integers(0, min(3, len(damaged)))) :]
        try:
            content = self.codec.decode(bytes(damaged), len(self.pays_for))
        except BadBytes:
            return
        assert len(content) == len(self.pays_for)
