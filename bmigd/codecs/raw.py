"""The bytes themselves."""

from collections.abc import Sequence

from bmigd.chunk import Bytes, CodecId
from bmigd.errors import BadBytes


class Raw:
    """The bytes themselves; parts are not joined here, the frame does that once."""

    codec_id = CodecId.RAW
    levels: tuple[int, ...] = (0,)

    def encode(self, parts: Sequence[Bytes], level: int) -> tuple[Bytes, ...]:
        """The parts as they are."""
        return tuple(parts)

    def decode(self, payload: Bytes, expected_bytes: int) -> Bytes:
        """The payload, if it has the right length."""
        if len(payload) != expected_bytes:
            raise BadBytes(
                "CHUNK_INVALID", f"raw payload of {len(payload)} bytes, expected {expected_bytes}"
            )
        return payload
