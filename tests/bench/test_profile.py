"""Only samples of a daemon in a first round count, each for its kind of thread."""

from bench.profile import HZ, Window, summed

SOURCE, DESTINATION = 100, 200
WINDOWS = [
    Window(10.0, 12.0, {SOURCE: "source", DESTINATION: "destination"}),
    Window(20.0, 22.0, {SOURCE: "destination", DESTINATION: "source"}),
]


def sample(name: str, pid: int, tid: int, at_s: float, library: str = "libc.so.6") -> str:
    """A line of `perf script`."""
    return f"{name:>16} {pid}/{tid}  {at_s:.6f}:     7f1c2d3e4f50 memmove (/usr/lib/{library})\n"


def test_what_is_outside_of_first_rounds_or_of_others_does_not_count() -> None:
    others = [
        sample("bmigd", SOURCE, SOURCE, 9.99),
        sample("bmigd", SOURCE, SOURCE, 12.01),
        sample("swapper", 0, 0, 11.0),
        "perf: no sample\n",
    ]
    assert summed(others * HZ, WINDOWS) == []


def test_each_kind_of_thread_has_its_seconds_of_a_round() -> None:
    lines = [
        *[sample("bmigd", SOURCE, SOURCE, 11.0)] * HZ,
        *[sample("bmigd", DESTINATION, DESTINATION, 21.0)] * HZ,
        *[sample("bmigd", DESTINATION, 207, 11.0, "libpython3.11.so.1.0")] * HZ,
        *[sample("event_engine", SOURCE, 108, 11.0)] * (HZ // 2),
        sample("grpc_global_tim", SOURCE, 109, 11.0),
    ]
    told = summed(lines, WINDOWS)
    assert [line for line in told if " s  " in line] == [
        " 1.000 s  source, event loop",
        " 0.500 s  destination, workers",
        " 0.250 s  source, gRPC's threads",
    ]
    assert told[1:3] == ["          libc.so.6 1.000", "          memmove 1.000"]
