"""What every payload encoding promises.

decode() is given a peer's bytes: it must never allocate more than it was told to expect.
"""

from typing import Protocol

from bmigd.chunk import Bytes, CodecId


class Codec(Protocol):
    """One payload encoding, as a receiver knows it. Safe to call from several threads."""

    codec_id: CodecId

    def decode(self, payload: Bytes, expected_bytes: int) -> Bytes:
        """Exactly expected_bytes; BadBytes (CHUNK_INVALID) for anything else."""
