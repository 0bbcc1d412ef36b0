"""What the targets ask of the figures in bench/results. Pure.

Each takes all results, by file, and raises LookupError where something was not measured.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench.bhyve_path import BY_FILE, OURS
from bench.ceiling import GRPC, ratios
from bench.judging import tally
from bench.peers import QEMU
from bench.sizes import allowed_growth_mib

SIDES = ("source", "destination")
Json = Any
Results = Mapping[str, Json]


@dataclass(frozen=True)
class Found:
    """What was measured: a value to hold against a limit, and how to say it."""

    value: float
    words: str = ""

    def __str__(self) -> str:
        return self.words or f"{self.value:.3g}"


def _medians(results: Results, rate: int, way: str, figure: str) -> float:
    moved = results["peers"]["rows"][str(rate)][way]
    return median(float(one[figure]) for one in moved)


def of_better(way: str, rate: int, figure: str) -> Callable[[Results], Found]:
    """Our median to that of QEMU's better way."""

    def measure(results: Results) -> Found:
        theirs = min(_medians(results, rate, other, figure) for other in QEMU)
        return Found(_medians(results, rate, way, figure) / theirs)

    return measure


def of_tls(way: str, rate: int) -> Callable[[Results], Found]:
    """Our median downtime to that of QEMU's `tls`."""

    def measure(results: Results) -> Found:
        theirs = _medians(results, rate, QEMU[0], "downtime_ms")
        return Found(_medians(results, rate, way, "downtime_ms") / theirs)

    return measure


def bhyve_path(results: Results) -> Found:
    """Our downtime to that by file, run by run, 1 GiB."""
    rows = results["bhyve_path"]["rows"]["1024"]
    pairs = zip(rows[OURS], rows[BY_FILE], strict=True)
    return Found(median(ours["downtime_ms"] / other["downtime_ms"] for ours, other in pairs))


def goodput(codec: str) -> Callable[[Results], Found]:
    """Of incompressible memory, run by run."""
    return lambda results: Found(median(ratios(results["ceiling"]["rows"], codec, GRPC)))


def throughput(results: Results) -> Found:
    """Of memory with 30 % text, run by run; beside a stream that does the same work."""
    rows = results["throughput"]["rows"]
    ratio = median(row["ratio"] for row in rows)
    laden = [row["laden_to_bare"] for row in rows if "laden_to_bare" in row]
    if not laden:  # of before that was measured
        return Found(ratio)
    words = f"{ratio:.3g} (the bare stream doing the same work: {median(laden):.3g} of bare)"
    return Found(ratio, words)


def growth(results: Results) -> Found:
    """The largest share of what is allowed, over all sizes and runs and both sides."""
    worst = max(
        (max(one[f"{side}_growth_mib"] for side in SIDES) / allowed_growth_mib(int(size)), size)
        for size, seen in results["sizes"]["rows"].items()
        for one in seen["trips"]
    )
    allowed = allowed_growth_mib(int(worst[1]))
    words = f"{worst[0]:.2f} (at {worst[1]} MiB: {worst[0] * allowed:.0f} of {allowed:.0f} MiB)"
    return Found(worst[0], words)


def quiet(results: Results) -> Found:
    """Of a micro-VM whose memory is all in use."""
    return Found(median(one["quiet_ms"] for one in results["sizes"]["quiet"]["trips"]))


def quiet_of_peers(way: str) -> Callable[[Results], Found]:
    """Of an idle Linux guest: the shortest round after the first."""

    def measure(results: Results) -> Found:
        found = [
            min(lap["duration_ms"] for lap in one["rounds"][1:] if not lap["guest_down"])
            for one in results["peers"]["rows"]["0"][way]
            if len([lap for lap in one.get("rounds", ()) if not lap["guest_down"]]) > 1
        ]
        if not found:
            raise LookupError(way)
        return Found(median(found))

    return measure


def _longest(trips: Iterable[Json]) -> Found:
    """Wait for a daemon's event loop, and for that of the idle one beside it."""
    lags = [one["lag"] for one in trips if one.get("lag")]
    if not lags:
        raise LookupError("lag")
    worst = max(lag[side]["longest_ms"] for lag in lags for side in SIDES)
    often = max(lag[side]["p99_ms"] for lag in lags for side in SIDES)
    idle = max(lag["idle"]["longest_ms"] for lag in lags)
    return Found(worst, f"{worst:.0f} (99 %: {often:.0f}; an idle daemon meanwhile: {idle:.0f})")


def lag_of_sizes(results: Results) -> Found:
    """Over all sizes and runs."""
    rows = results["sizes"]["rows"].values()
    return _longest(one for seen in rows for one in seen["trips"])


def lag_of_peers(results: Results) -> Found:
    """Over all rates, ways and runs."""
    rows = results["peers"]["rows"].values()
    return _longest(one for by_way in rows for moved in by_way.values() for one in moved)


def estimates_of_micro_vms(results: Results) -> Found:
    """Over all sizes and runs of two benches, or of the one that is there."""
    rows = results.get("bhyve_path", {}).get("rows", {}).values()
    trips = [one for row in rows for one in row[OURS]]
    rows = results.get("sizes", {}).get("rows", {}).values()
    return _judged(trips + [one for seen in rows for one in seen["trips"]])


def estimates_of_rates(results: Results) -> Found:
    """Over all rates and runs."""
    return _judged([one for trips in results["rates"]["rows"].values() for one in trips])


def estimates_of_links(results: Results) -> Found:
    """Over all links, codecs and runs."""
    by_codec = results["links"]["rows"].values()
    laps = [lap for codecs in by_codec for laps in codecs.values() for lap in laps]
    return _judged([lap["trip"] for lap in laps])


def estimates_of_peers(results: Results) -> Found:
    """Over all rates, ways and runs."""
    rows = results["peers"]["rows"].values()
    return _judged([one for by_way in rows for moved in by_way.values() for one in moved])


def _judged(trips: Sequence[Json]) -> Found:
    pairs = [
        (one["estimated_downtime_ms"], one["downtime_ms"])
        for one in trips
        if one.get("estimated_downtime_ms") is not None
    ]
    if not pairs:
        raise LookupError("no estimates")
    judged = tally(pairs)
    return Found(judged.near / judged.of, str(judged))
