"""The table of targets says what the files of figures say, and no more."""

from typing import Any

import pytest

from bench import targets
from bench.beside import tables
from bench.bhyve_path import BY_FILE, OURS
from bench.ceiling import AUTO, GRPC, RAW, SOCKET
from bench.measured import growth, lag_of_sizes, throughput
from bench.peers import CONTENT, ENCODED, PAGEMAP, PAGEMAP_BACK, QEMU

WHENCE = {"machine": "a machine", "load_average": 0.1, "commit": "abc"}


def lag(source_ms: float, idle_ms: float) -> dict[str, Any]:
    """Of one migration."""
    others = {"destination": 1.0, "idle": idle_ms, "source": source_ms}
    return {name: {"longest_ms": ms, "p99_ms": ms / 2} for name, ms in others.items()}


def trip(downtime_ms: float = 100, **more: Any) -> dict[str, Any]:
    """One migration of ours."""
    told = {"downtime_ms": downtime_ms, "estimated_downtime_ms": 100, "total_ms": 500}
    growths = {"source_growth_mib": 10, "destination_growth_mib": 20}
    return {**told, **growths, "wire_bytes": 1000, **more}


def laps(*durations_ms: float) -> list[dict[str, Any]]:
    """Rounds; the last one with the guest down."""
    down = [False] * (len(durations_ms) - 1) + [True]
    return [
        {"duration_ms": ms, "guest_down": is_down}
        for ms, is_down in zip(durations_ms, down, strict=True)
    ]


@pytest.fixture
def results() -> dict[str, Any]:
    """A file of each kind, with everything met."""
    ticks = lag(6, 3)
    ours = {way: [trip(rounds=laps(900, 30, 5), lag=ticks)] for way in (PAGEMAP, CONTENT, ENCODED)}
    ours[PAGEMAP_BACK] = [trip(wire_bytes=10, rounds=laps(30, 5), lag=ticks)]
    theirs = trip(300, total_ms=2000, wire_bytes=2000, lag={})
    by_way = {**ours, **{way: [dict(theirs)] for way in QEMU}}
    for way in QEMU:
        del by_way[way][0]["estimated_downtime_ms"]
    return {
        "throughput": {**WHENCE, "rows": [{"ratio": 0.8}]},
        "ceiling": {**WHENCE, "rows": [{GRPC: 100, SOCKET: 120, AUTO: 95, RAW: 96}]},
        "bhyve_path": {**WHENCE, "rows": {"1024": {OURS: [trip()], BY_FILE: [trip(1000)]}}},
        "sizes": {
            **WHENCE,
            "rows": {"256": {"trips": [trip(lag=lag(5, 3))]}},
            "quiet": {"trips": [{"quiet_ms": 60}]},
        },
        "rates": {**WHENCE, "rows": {"0": [trip()]}},
        "links": {**WHENCE, "rows": {"100mbit": {"raw": [{"trip": trip()}]}}},
        "peers": {
            **WHENCE,
            "rows": {"0": by_way, "20": by_way, "80": by_way},
        },
    }


def verdicts(results: dict[str, Any]) -> dict[str, str]:
    """The last cell of each row, by the first one."""
    cells = [target.row(results).split("|") for target in targets.TARGETS]
    return {one[1].strip(): one[4].strip() for one in cells}


def test_without_files_nothing_was_measured() -> None:
    rows = [target.row({}) for target in targets.TARGETS]
    assert all("| not measured | | |" in row for row in rows)
    assert targets.tabled({}).count("not measured") == len(rows) + len(targets.FILES)


def test_figures_that_reach_every_target_meet_them_all(results: dict[str, Any]) -> None:
    assert set(verdicts(results).values()) == {"met"}


@pytest.mark.parametrize(
    ("file", "change", "missed"),
    [
        ("throughput", {"rows": [{"ratio": 0.69}]}, "700 MiB, 30 % text, codec raw"),
        ("sizes", {"quiet": {"trips": [{"quiet_ms": 121}]}}, "quiet round, 1 GiB, micro-VM"),
        (
            "bhyve_path",
            {"rows": {"1024": {OURS: [trip()], BY_FILE: [trip(200)]}}},
            "downtime, bhyve path",
        ),
        (
            "ceiling",
            {"rows": [{GRPC: 100, SOCKET: 90, AUTO: 89, RAW: 96}]},
            "incompressible memory, codec auto",
        ),
    ],
)
def test_a_figure_beyond_its_target_misses_it_alone(
    results: dict[str, Any], file: str, change: dict[str, Any], missed: str
) -> None:
    results[file].update(change)
    found = [what for what, verdict in verdicts(results).items() if verdict != "met"]
    assert len(found) == 1
    assert found[0].startswith(missed)


def test_the_middle_run_counts_and_each_is_held_against_its_neighbour(
    results: dict[str, Any],
) -> None:
    results["bhyve_path"]["rows"]["1024"] = {
        OURS: [trip(30), trip(300), trip(900)],
        BY_FILE: [trip(100), trip(1000), trip(1000)],
    }
    assert verdicts(results)["downtime, bhyve path, 1 GiB, 20 MiB/s, to that by file"] == "met"


def test_what_a_stream_with_the_same_work_reaches_is_told_beside_ours(
    results: dict[str, Any],
) -> None:
    assert str(throughput(results)) == "0.8"  # a file of before that was measured
    results["throughput"]["rows"] = [{"ratio": 0.6, "laden_to_bare": 0.65}]
    assert str(throughput(results)) == "0.6 (the bare stream doing the same work: 0.65 of bare)"
    assert "missed" in verdicts(results)["700 MiB, 30 % text, codec raw, to bare grpc.aio"]


def test_the_worst_growth_of_any_side_and_size_counts(results: dict[str, Any]) -> None:
    results["sizes"]["rows"]["8192"] = {"trips": [trip(destination_growth_mib=100)]}
    found = growth(results)
    assert found.value == pytest.approx(100 / (64 + 0.004 * 8192))
    assert "at 8192 MiB: 100 of 97 MiB" in str(found)


def test_the_longest_lag_is_told_beside_an_idle_daemons(results: dict[str, Any]) -> None:
    results["sizes"]["rows"]["256"]["trips"].append(trip(lag=lag(45, 9)))
    assert str(lag_of_sizes(results)) == "45 (99 %: 22; an idle daemon meanwhile: 9)"


def test_figures_from_before_something_was_measured_say_so(results: dict[str, Any]) -> None:
    for by_way in results["peers"]["rows"].values():
        for moved in by_way.values():
            for one in moved:
                one.pop("estimated_downtime_ms", None)
                one.pop("rounds", None)
                one["lag"] = {}  # it was in migrations of their own
    found = [what for what, verdict in verdicts(results).items() if verdict == ""]
    assert len(found) == 4
    assert all("Linux" in what for what in found)


def test_the_table_replaces_the_one_before() -> None:
    text = "above\n<!-- one -->\nold\n<!-- /one -->\nbelow\n"
    once = targets.with_table(text, "one", "new")
    assert once == "above\n<!-- one -->\nnew\n<!-- /one -->\nbelow\n"
    assert targets.with_table(once, "one", "new") == once


def test_the_readme_has_the_tables_of_the_files() -> None:
    text, results = targets.README.read_text(encoding="utf-8"), targets.read()
    assert targets.with_table(text, "targets", targets.tabled(results)) == text
    assert targets.with_table(text, "peers", tables(results["peers"]["rows"])) == text


def test_ways_stand_beside_each_other_with_their_ratio_to_tls() -> None:
    runs: list[dict[str, Any]] = [{"total_ms": ms, "health": "well"} for ms in (100, 150, 400)]
    rows = {"0": {"bmig, pagemap": runs}, "20": {}}
    rows["20"]["QEMU, tls"] = [{"total_ms": 75, "health": "died"}]
    rows["20"]["bmig, pagemap"] = [{"total_ms": 150, "health": "well"}]
    others = dict.fromkeys(("downtime_ms", "wire_bytes", "source_cpu_s", "destination_cpu_s"), 1)
    for one in [one for by_way in rows.values() for moved in by_way.values() for one in moved]:
        one.update(others)
    told = tables(rows)
    assert "| total, ms | idle | 20 MiB/s |" in told
    assert "| bmig, pagemap | 150 (100 to 400) | 150 (150 to 150), 2.00 of tls |" in told
    assert "| QEMU, tls |  | 75 (75 to 75) |" in told
    assert "| bmig, pagemap | 3 well | 1 well |" in told
    assert "| QEMU, tls |  | 1 died |" in told


def test_every_row_that_is_missed_says_why() -> None:
    table = targets.tabled(targets.read()).partition("\n\n")[0]
    rows = [row.strip("|").split("|") for row in table.splitlines()[2:]]
    assert len(rows) == len(targets.TARGETS)
    for *_, verdict, why in rows:
        assert verdict.strip() in ("met", "**missed**")
        assert bool(why.strip()) == (verdict.strip() == "**missed**")
