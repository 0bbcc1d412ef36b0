"""Words that somebody else chose, before they are kept, logged or shown: bounded and printable; and
figures in words.
"""

MOST = 1000
CUT = "…"
UNITS = ((1 << 30, "GiB/s"), (1 << 20, "MiB/s"), (1 << 10, "KiB/s"), (1, "B/s"))


def short(text: str, most: int = MOST) -> str:
    """At most so many characters; whatever could steer a terminal or a log is a space."""
    shown = text if len(text) <= most else text[: most - 1] + CUT
    return shown if shown.isprintable() else "".join(c if c.isprintable() else " " for c in shown)


def rate(bytes_per_s: float) -> str:
    """For people: "40 MiB/s"."""
    for factor, unit in UNITS:
        if bytes_per_s >= factor:
            number = bytes_per_s / factor
            return f"{number:.3g} {unit}" if number < 999.5 else f"{number:.0f} {unit}"
    return "0 B/s"


def limit(bytes_per_s: float) -> str:
    """A limit for people: a rate, or "none" for 0."""
    return rate(bytes_per_s) if bytes_per_s else "none"


def why(error: OSError) -> str:
    """What the system says of a failure, in small letters, without its number."""
    return (error.strerror or str(error)).lower()
