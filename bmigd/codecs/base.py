"""What every payload encoding promises.

decode() is given a peer's bytes: it must never allocate more than it was told to expect.
"""

from collections.abc import Sequence
from typing import Protocol

from bmigd.chunk import Bytes, CodecId


class Codec(Protocol):
    """One payload encoding. Stateless, safe to call from several threads."""

    codec_id: CodecId
    levels: tuple[int, ...]  # how hard it can try, the fastest first; all decode alike

    def encode(self, parts: Sequence[Bytes], level: int) -> tuple[Bytes, ...] | None:
        """The payload for the parts' bytes in order, or None if this codec does not pay here."""

    def decode(self, payload: Bytes, expected_bytes: int) -> Bytes:
        """Exactly expected_bytes; BadBytes (CHUNK_INVALID) for anything else."""
