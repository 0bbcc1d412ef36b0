"""What the guest program must have computed, worked out again from its description.

Written from microvm/README.md alone: it shares no code with the micro-VM, so that an
error there cannot hide itself.  All sums are modulo 2**64; content is never built,
its two sums are taken in closed form, so that a million operations take a second.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]

_MASK = (1 << 64) - 1
_FACTOR = 0xD6E8FEB86659FD93
_ASCII_SHIFT = 0x0303030303030303
_DISK_SALT = 0x6469736B6469736B
_BATCH = 1 << 15
_HEARTBEAT = re.compile(
    rb"^HB n=(\d+) chain=([0-9a-f]{16}) bad=(\d+)(?: up=[0-9.]+)?\r?\n", re.MULTILINE
)


@dataclass(frozen=True)
class Params:
    """The parameter block of a ROM, and the sums of its dictionary."""

    seed: int
    rate_bytes_per_s: int
    set_pages: int
    fill_pages: int
    stride: int
    zero_below: int
    text_below: int
    is_toggling: bool
    has_disk: bool
    heartbeat_ms: int
    disk_sectors: int
    disk_every: int
    cold_every: int
    dictionary: tuple[int, ...]


@dataclass(frozen=True)
class Heartbeat:
    """One line of the guest: n operations done, their chain, mismatches found."""

    n: int
    chain: int
    bad: int


class WrongHeartbeat(AssertionError):
    """The guest's memory or disk is not what its history says."""


@dataclass(frozen=True)
class Verdict:
    """What a list of heartbeats proves."""

    count: int
    first_n: int
    last_n: int
    sweeps_verified: float


def params_of(rom: bytes) -> Params:
    """Read the parameter block; the ROM is 64-bit little-endian words from offset 16."""
    if rom[16:24] != b"MICROVM1":
        raise ValueError("no parameter block")
    words = struct.unpack_from("<13Q", rom, 24)
    if words[0] != 1:
        raise ValueError(f"version {words[0]}")
    flags = words[8]
    return Params(
        seed=words[1],
        rate_bytes_per_s=words[2],
        set_pages=words[3],
        fill_pages=words[4],
        stride=words[5],
        zero_below=words[6],
        text_below=words[7],
        is_toggling=bool(flags & 1),
        has_disk=bool(flags & 2),
        heartbeat_ms=words[9],
        disk_sectors=words[10],
        disk_every=words[11],
        cold_every=words[12],
        dictionary=struct.unpack_from("<256Q", rom, 4096),
    )


def _words(values: object) -> Words:
    return np.asarray(values, dtype=np.uint64)


def _mix(value: Words) -> Words:
    """splitmix64."""
    z = value + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _mix_one(value: int) -> int:
    return int(_mix(_words([value & _MASK]))[0])


def _folded(first: Words, second: Words, rotation: int) -> Words:
    left, right = np.uint64(rotation), np.uint64(64 - rotation)
    return first ^ ((second << left) | (second >> right))


def _progression_sums(a: Words, b: Words, count: int) -> tuple[Words, Words]:
    """Both sums of the words a, a+b, a+2b ... of that count."""
    plain = sum(range(count))
    weighted = sum((count - i) * i for i in range(count))
    first = a * np.uint64(count) + b * np.uint64(plain)
    second = a * np.uint64(count * (count + 1) // 2) + b * np.uint64(weighted)
    return first, second


class Oracle:
    """The chain as a function of n; goes forward only."""

    def __init__(self, params: Params) -> None:
        self.params = params
        self.n = 0
        self.chain = _mix_one(params.seed)
        powers = [1]
        for _ in range(_BATCH):
            powers.append(powers[-1] * _FACTOR & _MASK)
        self._powers = _words(powers)
        self._text_first = np.uint64(2 * sum(params.dictionary) & _MASK)
        self._text_second = _words([self._text_sum(r) for r in range(256)])

    def _text_sum(self, rotation: int) -> int:
        words = self.params.dictionary
        return sum((512 - i) * words[(i + rotation) % 256] for i in range(512)) & _MASK

    def advance(self, n: int) -> int:
        """The chain after n operations; n may not be less than the last one asked for."""
        if n < self.n:
            raise ValueError(f"n={n} after n={self.n}")
        while self.n < n:
            count = min(n - self.n, _BATCH)
            added = self._contributions(self.n, count)
            total = int(np.sum(added * self._powers[:count][::-1], dtype=np.uint64))
            self.chain = (self.chain * int(self._powers[count]) + total) & _MASK
            self.n += count
        return self.chain

    def _contributions(self, start: int, count: int) -> Words:
        with np.errstate(over="ignore"):
            n = np.arange(start, start + count, dtype=np.uint64)
            pages, sweeps = self._pages(n)
            added = np.uint64(1) + self._page_fold(pages, sweeps, 17)
            if self.params.cold_every:
                self._add_cold(n, added)
            if self.params.has_disk:
                self._add_disk(n, added)
            return added

    def _pages(self, n: Words) -> tuple[Words, Words]:
        """Which page each operation takes, and the sweep, which is its old generation."""
        size = np.uint64(self.params.set_pages)
        sweeps = n // size
        origin = np.uint64(_mix_one(self.params.seed ^ _MASK))
        begin = _mix(origin + sweeps) % size
        return (begin + (n % size) * np.uint64(self.params.stride)) % size, sweeps

    def _page_fold(self, pages: Words, generations: Words, rotation: int) -> Words:
        params = self.params
        if params.is_toggling:
            generations = generations & np.uint64(1)
        seeds = _mix(_mix(np.uint64(params.seed) + pages) + generations)
        kinds = seeds >> np.uint64(32)
        steps = _mix(seeds)
        first, second = _progression_sums(seeds, steps | np.uint64(1), 512)
        shift = steps & np.uint64(_ASCII_SHIFT)
        is_text = kinds < np.uint64(params.text_below)
        text_first = self._text_first + shift * np.uint64(512)
        text_second = self._text_second[seeds & np.uint64(255)] + shift * np.uint64(131328)
        first = np.where(is_text, text_first, first)
        second = np.where(is_text, text_second, second)
        is_zero = kinds < np.uint64(params.zero_below)
        fold = _folded(first, second, rotation)
        return np.where(is_zero, np.uint64(0), fold)

    def _add_cold(self, n: Words, added: Words) -> None:
        every = np.uint64(self.params.cold_every)
        cold = np.uint64(self.params.fill_pages - self.params.set_pages)
        chosen = n % every == 0
        pages = np.uint64(self.params.set_pages) + (n[chosen] // every) % cold
        added[chosen] += self._page_fold(pages, np.zeros_like(pages), 29)

    def _add_disk(self, n: Words, added: Words) -> None:
        every, sectors = np.uint64(self.params.disk_every), self.params.disk_sectors
        chosen = n % every == 0
        m = n[chosen] // every
        reach = np.minimum(m, np.uint64(sectors - 1))
        back = np.uint64(1) + _mix(m) % np.maximum(reach, np.uint64(1))
        earlier = np.where(m == 0, m, m - np.minimum(back, m))
        origin = np.uint64(_mix_one(self.params.seed ^ _DISK_SALT))
        a = _mix(origin + earlier)
        first, second = _progression_sums(a, _mix(a) | np.uint64(1), 64)
        added[chosen] += _folded(first, second, 41)


def chain(params: Params, n: int) -> int:
    """The chain after n operations."""
    return Oracle(params).advance(n)


def parse_heartbeats(text: str | bytes) -> list[Heartbeat]:
    """The whole heartbeat lines of a console; torn ones, as at a cut, are skipped."""
    raw = text.encode("latin-1", "replace") if isinstance(text, str) else text
    return [
        Heartbeat(int(found[1]), int(found[2], 16), int(found[3]))
        for found in _HEARTBEAT.finditer(raw)
    ]


def _rising(heartbeats: Iterable[Heartbeat]) -> Iterator[Heartbeat]:
    last = -1
    for heartbeat in heartbeats:
        if heartbeat.n < last:
            raise WrongHeartbeat(f"{heartbeat} after n={last}: the guest went back in time")
        last = heartbeat.n
        yield heartbeat


def check_heartbeats(params: Params, heartbeats: Iterable[Heartbeat]) -> Verdict:
    """Recompute every heartbeat; raises WrongHeartbeat at the first that is wrong."""
    oracle, seen = Oracle(params), list[Heartbeat]()
    for heartbeat in _rising(heartbeats):
        expected = oracle.advance(heartbeat.n)
        if heartbeat.bad or heartbeat.chain != expected:
            raise WrongHeartbeat(f"{heartbeat}: chain should be {expected:016x}, bad 0")
        seen.append(heartbeat)
    if not seen:
        raise WrongHeartbeat("no heartbeat at all")
    sweeps = (seen[-1].n - seen[0].n) / params.set_pages
    return Verdict(len(seen), seen[0].n, seen[-1].n, sweeps)
