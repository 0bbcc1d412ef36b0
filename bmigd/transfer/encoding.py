"""Which codec pages get, and how hard it tries. Zero pages always go without payload; for the
rest the operator's word, or whichever way lets most guest memory through, by trial.

Finding, copying and encoding run beside sending, so the slower of the two sets the pace, if there
is a processor for each; where there is none to spare, one takes from the other. So encoding harder
pays where the link is the limit, and not at all where the processor is.
"""

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from bmigd.chunk import Bytes, CodecId, Section
from bmigd.codecs import CODECS, DELTA, ZSTD
from bmigd.transfer.classes import Mask, chosen, promising
from bmigd.transfer.deltas import Deltas
from bmigd.transfer.runs import Pages
from bmigd.transfer.sections import bits_of

TRIAL_EVERY = 16  # chunks: then one is encoded in another way, to see what that does
SMOOTHING = 0.3
NOTICEABLE = 1.05  # less is noise: then fewer bytes are better
RAW_LEVEL = 0  # stands for no encoding among the levels of zstd


@dataclass
class Trial:
    """What a level did to recent chunks."""

    ratio: float  # encoded / original
    s_per_byte: float  # of original bytes

    def note(self, ratio: float, s_per_byte: float) -> None:
        """Take one more chunk into account."""
        self.ratio += SMOOTHING * (ratio - self.ratio)
        self.s_per_byte += SMOOTHING * (s_per_byte - self.s_per_byte)


NOT_ENCODED = Trial(1.0, 0.0)
AS_DELTAS = Trial(0.25, 1e-9)  # at worst, and what it takes here: 1 ms for a MiB


@dataclass(frozen=True)
class Pace:
    """How fast both stages are; 0 while unknown."""

    work_s_per_byte: float = 0.0  # of guest memory: found, copied and hashed
    link_s_per_byte: float = 0.0  # of payload: sent, and written over there
    spare: float = 1.0  # of a processor: 1 if both run beside each other, 0 if in turns

    def and_then(self, newer: "Pace") -> "Pace":
        """With what was seen since; what is long ago counts little."""
        if not self.link_s_per_byte:
            return newer
        return Pace(
            _smoothed(self.work_s_per_byte, newer.work_s_per_byte),
            _smoothed(self.link_s_per_byte, newer.link_s_per_byte),
            _smoothed(self.spare, newer.spare),
        )


def _smoothed(before: float, now: float) -> float:
    return before + SMOOTHING * (now - before)


def _s_per_byte(trial: Trial, pace: Pace) -> float:
    """Of guest memory: by the slower stage, and what the other one takes from it."""
    stages = (pace.work_s_per_byte + trial.s_per_byte, pace.link_s_per_byte * trial.ratio)
    return max(stages) + (1 - pace.spare) * min(stages)


def best(trials: Mapping[int, Trial], pace: Pace) -> int:
    """The level that lets most guest memory through; of those that are as good, the one with the
    fewest bytes. Pure.
    """
    least = min(_s_per_byte(one, pace) for one in trials.values())
    good = [level for level, one in trials.items() if _s_per_byte(one, pace) <= NOTICEABLE * least]
    return min(good, key=lambda level: (trials[level].ratio, trials[level].s_per_byte))


def deltas_pay(pace: Pace) -> bool:
    """Whether pages that changed little are worth the time to find out. Pure."""
    if not pace.link_s_per_byte:
        return True
    return _s_per_byte(AS_DELTAS, pace) <= NOTICEABLE * _s_per_byte(NOT_ENCODED, pace)


@dataclass(frozen=True)
class Encoded:
    """Some of a chunk's pages, or all of them, as a payload."""

    codec: CodecId
    payload: Bytes
    pages: Mask | None = None  # None: all

    def among(self, others: Mask) -> "Encoded":
        """Its pages were counted among these of a chunk only; now among all of the chunk."""
        pages = others.copy()
        if self.pages is not None:
            pages[others] = self.pages
        return Encoded(self.codec, self.payload, pages)

    def section(self) -> Section:
        """As it travels."""
        bits = b"" if self.pages is None else bits_of(self.pages)
        return Section(self.codec, self.payload, bits)


class Encoder:
    """Encodes payloads. Used by one thread at a time; whoever sends tells it the pace."""

    def __init__(self, wanted: CodecId | None, known: Collection[int] = tuple(CODECS)) -> None:
        """What is wanted, or None to choose, among the codecs that the destination knows."""
        if CodecId.ZSTD not in known:
            wanted = CodecId.RAW
        self.pace = Pace()
        self._wanted = wanted
        self._count = 0
        self._untried = list(ZSTD.levels) if wanted != CodecId.RAW else []
        self._trials = {RAW_LEVEL: NOT_ENCODED} if wanted != CodecId.ZSTD else {}
        self._deltas = Deltas() if wanted is None and CodecId.DELTA in known else None
        self._passes = 0

    def begin_pass(self) -> None:
        """What is sent from now on was sent before, but for the first time."""
        self._passes += 1

    @property
    def _pace(self) -> Pace:
        """What counts. Later rounds decide how long the guest is down: there fewer bytes are worth
        more than the processor.
        """
        return self.pace if self._passes < 2 else replace(self.pace, spare=1.0)

    def encode(self, region: int, pages: Pages, content: Bytes) -> list[Encoded]:
        """Pages of a region, by number and content, each in one of at most three."""
        level = self._level()
        if not self._deltas or self._passes < 2:
            return self._encode(content, level)
        delta = self._deltas.delta(region, pages, content, is_wanted=deltas_pay(self._pace))
        if delta is None:
            return self._encode(content, level)
        payload = DELTA.encode(delta.content, DELTA.levels[0])
        if payload is None:
            return self._encode(content, level)
        first = Encoded(CodecId.DELTA, payload, delta.pages)
        if delta.pages.all():
            return [first]
        rest = self._encode(chosen(content, ~delta.pages), level)
        return [first, *(one.among(~delta.pages) for one in rest)]

    def become_zero(self, region: int, pages: Pages) -> None:
        """Zero pages are sent without being encoded."""
        if self._deltas:
            self._deltas.forget(region, pages)

    def _encode(self, content: Bytes, level: int) -> list[Encoded]:
        if level == RAW_LEVEL:
            return [Encoded(CodecId.RAW, content)]
        began = time.perf_counter()
        encoded = _apart(content, level)
        size = sum(len(one.payload) for one in encoded)
        self._note(level, size, len(content), time.perf_counter() - began)
        return encoded

    def _level(self) -> int:
        """What is best, but every so often another one, so that it is known what that does."""
        self._count += 1
        if self._wanted == CodecId.RAW:
            return RAW_LEVEL
        levels = ZSTD.levels
        if self._untried:
            return self._untried.pop(0)
        if self._count % TRIAL_EVERY == 0:
            return levels[self._count // TRIAL_EVERY % len(levels)]
        if not self.pace.link_s_per_byte:
            return levels[len(levels) // 2]
        return best(self._trials, self._pace)

    def _note(self, level: int, encoded_bytes: int, original_bytes: int, spent_s: float) -> None:
        ratio, s_per_byte = encoded_bytes / original_bytes, spent_s / original_bytes
        trial = self._trials.setdefault(level, Trial(ratio, s_per_byte))
        trial.note(ratio, s_per_byte)


def _apart(content: Bytes, level: int) -> list[Encoded]:
    """Pages that are worth it are encoded, apart from those that are not."""
    pages = promising(content)
    if not pages.any():
        return [Encoded(CodecId.RAW, content)]
    if pages.all():
        return [_zstd(content, level, None)]
    return [
        _zstd(chosen(content, pages), level, pages),
        Encoded(CodecId.RAW, chosen(content, ~pages), ~pages),
    ]


def _zstd(content: Bytes, level: int, pages: Mask | None) -> Encoded:
    encoded = ZSTD.encode(content, level)
    if encoded is None:
        return Encoded(CodecId.RAW, content, pages)
    return Encoded(CodecId.ZSTD, encoded, pages)
