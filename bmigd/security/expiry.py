"""Tells in the log, every day, that this node's certificate ends soon, or has ended. Connections
that there are go on; new ones fail, and nobody calls any more to hear of it.
"""

import asyncio
from datetime import UTC, datetime

import structlog

log = structlog.get_logger()

DAY_S = 86400.0
SOON_S = 14 * DAY_S


def told_as(left_s: float) -> str:
    """How urgent that is: "", "warning" or "error". Pure."""
    if left_s > SOON_S:
        return ""
    return "warning" if left_s > 0 else "error"


def pause_s(left_s: float) -> float:
    """Until it is told again, or becomes more urgent; a day at most. Pure."""
    next_s = min((left_s - at for at in (SOON_S, 0.0) if left_s > at), default=DAY_S)
    return min(DAY_S, next_s + 1)


async def tell(expires_at: datetime) -> None:
    """Runs until cancelled."""
    while True:
        left_s = (expires_at - datetime.now(UTC)).total_seconds()
        if urgency := told_as(left_s):
            what = "certificate ends soon" if left_s > 0 else "certificate has ended"
            advice = "renew it and restart bmigd, as certs/README.md says; guests go on"
            getattr(log, urgency)(what, at=f"{expires_at:%Y-%m-%d %H:%M:%S} UTC", advice=advice)
        await asyncio.sleep(pause_s(left_s))
