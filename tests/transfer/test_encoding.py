"""How hard a chunk is encoded: as the operator says, or as lets most guest memory through."""

import random
from pathlib import Path

import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmigd.chunk import MIB, PAGE_BYTES, CodecId
from bmigd.codecs import CODECS
from bmigd.transfer.classes import promising
from bmigd.transfer.encoding import (
    NOT_ENCODED,
    NOTICEABLE,
    RAW_LEVEL,
    TRIAL_EVERY,
    Encoded,
    Encoder,
    Pace,
    Trial,
    best,
    deltas_pay,
)

NOISE = random.Random(1).randbytes(MIB)  # noqa: S311 - noise
TEXT = (b"bhyve and its guests, " * (MIB // 22 + 1))[:MIB]
ALL = np.arange(MIB // PAGE_BYTES)
FAST, HARD = Trial(0.6, 1 / (500 * MIB)), Trial(0.4, 1 / (100 * MIB))
TRIALS = {RAW_LEVEL: NOT_ENCODED, -5: FAST, 3: HARD}


@pytest.mark.parametrize(
    ("work_mib_per_s", "link_mib_per_s", "wanted"),
    [
        (2000, 10, 3),  # the link is slow: whatever makes fewer bytes
        (2000, 300, -5),  # the hard one cannot keep up with it
        (2000, 1000, RAW_LEVEL),  # nor can the fast one
        (300, 310, RAW_LEVEL),  # the processor is the limit
    ],
)
def test_encoding_is_as_hard_as_the_slower_stage_allows(
    work_mib_per_s: int, link_mib_per_s: int, wanted: int
) -> None:
    pace = Pace(1 / (work_mib_per_s * MIB), 1 / (link_mib_per_s * MIB))
    assert best(TRIALS, pace) == wanted


@pytest.mark.parametrize(
    ("link_mib_per_s", "spare", "wanted"),
    [
        (300, 1.0, -5),  # beside sending it costs nothing
        (300, 0.0, RAW_LEVEL),  # it would keep a busy host from sending
        (10, 0.0, 3),  # which is slower than any host
    ],
)
def test_a_host_without_a_processor_to_spare_encodes_only_for_a_slow_link(
    link_mib_per_s: int, spare: float, wanted: int
) -> None:
    assert best(TRIALS, Pace(1 / (2000 * MIB), 1 / (link_mib_per_s * MIB), spare)) == wanted


def test_only_the_first_round_spares_the_processor() -> None:
    encoder = Encoder(None)
    encoder._untried, encoder._trials = [], dict(TRIALS)
    encoder.pace = Pace(1 / (2000 * MIB), 1 / (300 * MIB), spare=0.0)
    encoder.begin_pass()
    assert encoder._level() == RAW_LEVEL
    encoder.begin_pass()
    assert encoder._level() == -5


SECONDS = st.floats(1e-12, 1e-6)


@given(
    st.dictionaries(
        st.integers(-9, 9), st.builds(Trial, st.floats(0.001, 1.2), SECONDS), min_size=1
    ),
    st.builds(Pace, SECONDS, SECONDS, st.floats(0, 1)),
)
def test_no_way_is_noticeably_better_than_the_chosen_one(
    trials: dict[int, Trial], pace: Pace
) -> None:
    def s_per_byte(one: Trial) -> float:
        stages = pace.work_s_per_byte + one.s_per_byte, pace.link_s_per_byte * one.ratio
        return pace.spare * max(stages) + (1 - pace.spare) * sum(stages)

    chosen = trials[best(trials, pace)]
    least = min(s_per_byte(one) for one in trials.values())
    assert s_per_byte(chosen) <= NOTICEABLE * least * (1 + 1e-9)
    assert not any(
        one.ratio < chosen.ratio and s_per_byte(one) <= s_per_byte(chosen)
        for one in trials.values()
    )


def back(encoded: list[Encoded], size_bytes: int) -> bytes:
    """The pages of all payloads, decoded, where they were."""
    pages = np.zeros((size_bytes // PAGE_BYTES, PAGE_BYTES), dtype=np.uint8)
    for one in encoded:
        mask = np.ones(len(pages), dtype=bool) if one.pages is None else one.pages
        content = CODECS[one.codec].decode(one.payload, int(mask.sum()) * PAGE_BYTES)
        pages[mask] += np.frombuffer(content, dtype=np.uint8).reshape(-1, PAGE_BYTES)
    return pages.tobytes()


def test_noise_is_told_from_what_can_be_made_smaller() -> None:
    library = Path(grpc.__file__).with_name("_cython").glob("cygrpc*")
    machine_code = next(library).read_bytes()[: 1024 * PAGE_BYTES]
    assert promising(TEXT).all()
    assert promising(bytes(MIB)).all()
    assert promising(machine_code).mean() > 0.8
    assert promising(NOISE).mean() < 0.05


def test_the_operators_codec_is_used_where_it_pays() -> None:
    assert Encoder(CodecId.RAW).encode(0, ALL, TEXT) == [Encoded(CodecId.RAW, TEXT)]
    (one,) = Encoder(CodecId.ZSTD).encode(0, ALL, TEXT)
    assert one.codec == CodecId.ZSTD
    assert len(one.payload) < len(TEXT) / 10
    assert {one.codec for one in Encoder(CodecId.ZSTD).encode(0, ALL, NOISE)} == {CodecId.RAW}


def test_pages_of_noise_are_apart_from_those_that_are_encoded() -> None:
    mixed = b"".join(
        (NOISE if page % 3 else TEXT)[page * PAGE_BYTES : (page + 1) * PAGE_BYTES]
        for page in range(256)
    )
    encoded = Encoder(CodecId.ZSTD).encode(0, ALL, mixed)
    assert [one.codec for one in encoded] == [CodecId.ZSTD, CodecId.RAW]
    assert 160 * PAGE_BYTES < len(encoded[1].payload) <= 170 * PAGE_BYTES  # two thirds are noise
    assert back(encoded, MIB) == mixed


PAGES = st.lists(
    st.sampled_from([NOISE[:PAGE_BYTES], TEXT[:PAGE_BYTES], bytes(PAGE_BYTES)]), min_size=1
)


@given(st.lists(PAGES, min_size=1, max_size=5), st.sampled_from([None, CodecId.ZSTD, CodecId.RAW]))
def test_what_was_encoded_comes_back_whatever_was_chosen(
    batches: list[list[bytes]], wanted: CodecId | None
) -> None:
    encoder = Encoder(wanted)
    encoder.pace = Pace(1e-9, 1e-7)
    for content in map(b"".join, batches):
        assert (
            back(encoder.encode(0, ALL[: len(content) // PAGE_BYTES], content), len(content))
            == content
        )


def test_on_a_slow_link_all_is_encoded_and_on_a_fast_one_only_trials_are() -> None:
    slow, fast = Encoder(None), Encoder(None)
    slow.pace, fast.pace = Pace(1e-10, 1e-5), Pace(1e-10, 1e-14)
    for encoder in (slow, fast):  # every level is tried before it is judged
        for _ in range(TRIAL_EVERY * 3):
            encoder.encode(0, ALL, TEXT)
    used = [fast.encode(0, ALL, TEXT)[0].codec for _ in range(2 * TRIAL_EVERY)]
    assert used.count(CodecId.ZSTD) == 2
    assert {slow.encode(0, ALL, TEXT)[0].codec for _ in range(2 * TRIAL_EVERY)} == {CodecId.ZSTD}


@pytest.mark.parametrize(
    ("work_ns", "link_ns", "pay"),
    [(0.6, 10, True), (0.6, 0.7, False), (100, 1, True), (0, 0, True)],
    ids=["slow link", "both fast", "a long search for little", "nothing known"],
)
def test_deltas_pay_unless_the_processor_is_the_limit(
    work_ns: float, link_ns: float, pay: bool
) -> None:
    assert deltas_pay(Pace(work_ns * 1e-9, link_ns * 1e-9)) == pay


def test_the_pace_follows_what_was_seen_of_late() -> None:
    pace = Pace().and_then(Pace(1.0, 2.0))
    assert pace == Pace(1.0, 2.0)
    for _ in range(40):
        pace = pace.and_then(Pace(3.0, 1.0))
    assert pace.work_s_per_byte == pytest.approx(3.0, rel=0.01)
    assert pace.link_s_per_byte == pytest.approx(1.0, rel=0.01)
