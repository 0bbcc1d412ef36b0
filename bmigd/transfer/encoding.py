"""Which codec a chunk gets. Zero pages always go without payload; for the rest the operator's
word, or whichever makes the link carry more guest memory, by trial.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from bmigd.chunk import Bytes, CodecId
from bmigd.codecs import CODECS

TRIAL_EVERY = 16  # chunks
SMOOTHING = 0.3


@dataclass
class Trial:
    """What a codec did to recent chunks."""

    ratio: float = 1.0  # encoded / original
    bytes_per_s: float = 0.0  # of original bytes encoded

    def note(self, original_bytes: int, encoded_bytes: int, spent_s: float) -> None:
        """Take one more chunk into account."""
        self.ratio += SMOOTHING * (encoded_bytes / original_bytes - self.ratio)
        rate = original_bytes / max(spent_s, 1e-6)
        self.bytes_per_s += SMOOTHING * (rate - self.bytes_per_s)


def pays(trial: Trial, link_bytes_per_s: float) -> bool:
    """Whether encoding lets more guest memory through: pure.

    Encoding and sending overlap, so the slower of the two sets the pace.
    """
    if not link_bytes_per_s or not trial.bytes_per_s:
        return False
    encoded_pace = min(trial.bytes_per_s, link_bytes_per_s / max(trial.ratio, 0.001))
    return encoded_pace > 1.1 * link_bytes_per_s


class Encoder:
    """Encodes payloads. Used by one thread at a time; link_bytes_per_s is set by the sender."""

    def __init__(self, wanted: CodecId | None) -> None:
        self._wanted = wanted  # None: choose
        self._trial = Trial()
        self._count = 0
        self.link_bytes_per_s = 0.0  # payload bytes that the link carries; 0 while unknown

    def encode(self, parts: Sequence[Bytes]) -> tuple[CodecId, tuple[Bytes, ...]]:
        """The codec that was used and the payload."""
        self._count += 1
        if self._wanted == CodecId.RAW or (self._wanted is None and not self._worth_trying()):
            return CodecId.RAW, tuple(parts)
        began = time.perf_counter()
        encoded = CODECS[CodecId.ZSTD].encode(parts)
        original_bytes = sum(len(part) for part in parts)
        encoded_bytes = original_bytes if encoded is None else sum(len(part) for part in encoded)
        self._trial.note(original_bytes, encoded_bytes, time.perf_counter() - began)
        return (CodecId.RAW, tuple(parts)) if encoded is None else (CodecId.ZSTD, encoded)

    def _worth_trying(self) -> bool:
        return self._count % TRIAL_EVERY == 1 or pays(self._trial, self.link_bytes_per_s)
