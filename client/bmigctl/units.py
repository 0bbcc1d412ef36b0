"""Sizes, rates and times as people write and read them; pure."""

import re
from datetime import UTC, datetime

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30

_FACTORS = {"": 1, "K": KIB, "M": MIB, "G": GIB, "T": 1 << 40}
_SIZE = re.compile(r"(\d+)\s*([KMGT]?)(?:iB|B)?", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Bytes of "256M"; K, M, G and T are powers of 1024. ValueError says what is expected."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f'"{text}" is not a size such as 512K, 256M or 4G')
    return int(match[1]) * _FACTORS[match[2].upper()]


def parse_rate(text: str) -> int:
    """Bytes per second of "100M" or "100M/s" (MiB/s), in 64 bits; 0 of "none".

    Not of "100", which who writes it never means in bytes, nor of "0", which is no pause.
    """
    said = text.strip().removesuffix("/s").strip()
    if said.lower() == "none":
        return 0
    match = _SIZE.fullmatch(said)
    found = int(match[1]) * _FACTORS[match[2].upper()] if match and match[2] else 0
    if not 0 < found < 1 << 64:
        expected = "a rate such as 100M (MiB/s) or 1G (GiB/s), or none for no limit"
        raise ValueError(f'"{text}" is not {expected}')
    return found


def size(count: int) -> str:
    """Bytes for people: "256 MiB"."""
    for factor, unit in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if count >= factor:
            number = count / factor
            return f"{number:.3g} {unit}" if number < 1000 else f"{number:.0f} {unit}"
    return f"{count} B"


def rate(bytes_per_s: int) -> str:
    """Bytes per second for people: "110 MiB/s"."""
    return f"{size(bytes_per_s)}/s"


def duration_us(microseconds: int) -> str:
    """Microseconds for people: "0.85 ms", "214 ms", "3.2 s", "2 min 5 s"."""
    if microseconds < 10_000:
        return f"{microseconds / 1000:.2f} ms"
    if microseconds < 1_000_000:
        return f"{microseconds / 1000:.0f} ms"
    seconds = microseconds / 1_000_000
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def duration_ms(milliseconds: int) -> str:
    """Milliseconds for people."""
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    return duration_us(milliseconds * 1000)


def moment_ms(at_ms: int) -> str:
    """Milliseconds since 1970 as local date and time; "-" for none."""
    if not at_ms:
        return "-"
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def clock_ms(at_ms: int) -> str:
    """Milliseconds since 1970 as local time of day."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone().strftime("%H:%M:%S")
