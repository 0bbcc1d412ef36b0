"""Words that somebody else chose, before they are kept, logged or shown: bounded and printable."""

MOST = 1000
CUT = "…"


def short(text: str, most: int = MOST) -> str:
    """At most so many characters; whatever could steer a terminal or a log is a space."""
    shown = text if len(text) <= most else text[: most - 1] + CUT
    return shown if shown.isprintable() else "".join(c if c.isprintable() else " " for c in shown)
