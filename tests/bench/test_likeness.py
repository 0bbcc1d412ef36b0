"""Pages of one memory are found in another wherever they lie, and what that saves is worked out."""

import gzip
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from bench.likeness import SETUP_SECTORS_AT, loaded, pages_of, saving, unpacked
from bmigd.chunk import MIB, PAGE_BYTES

NUMBERS = some.lists(some.integers(0, 9), max_size=30)  # of pages; 0 is a zero page


def page(number: int) -> bytes:
    """One that differs from all others."""
    return bytes([number]) * PAGE_BYTES


def memory(numbers: list[int]) -> bytes:
    """Pages, one after the other."""
    return b"".join(map(page, numbers))


def newc(files: dict[str, bytes]) -> bytes:
    """A cpio archive."""
    made = b""
    for name, content in {**files, "TRAILER!!!": b""}.items():
        fields = [0, 0o100644, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0]
        made += b"070701" + "".join(f"{one:08X}" for one in fields).encode()
        made += name.encode() + b"\0"
        made += bytes(-len(made) % 4) + content
        made += bytes(-len(made) % 4)
    return made


@given(NUMBERS, NUMBERS)
def test_a_page_is_found_wherever_it_lies_and_a_zero_page_counts_for_nothing(
    here: list[int], there: list[int]
) -> None:
    pages, known = pages_of(memory(here)), set(pages_of(memory(there)).digests)
    filled = [number for number in here if number]
    assert pages.content == memory(filled)
    assert pages.mib == len(filled) * PAGE_BYTES / MIB
    assert pages.among(known).tolist() == [number in there for number in filled]


@given(NUMBERS)
def test_of_equal_pages_all_but_the_first_are_repeats(here: list[int]) -> None:
    filled = [number for number in here if number]
    expected = [number in filled[:at] for at, number in enumerate(filled)]
    assert pages_of(memory(here)).repeats().tolist() == expected


def test_noise_goes_as_it_is_and_the_rest_becomes_smaller() -> None:
    noise = random.Random(7).randbytes(30 * PAGE_BYTES)  # noqa: S311
    pages = pages_of(noise + memory([1, 2]))
    is_noise = np.array([True] * 30 + [False] * 2)
    assert pages.wire_mib(is_noise) == 30 * PAGE_BYTES / MIB
    assert pages.wire_mib(~pages.all()) == 0
    assert 0 < pages.wire_mib(~is_noise) < 0.1 * PAGE_BYTES / MIB
    assert pages.wire_mib(pages.all()) == pages.wire_mib(is_noise) + pages.wire_mib(~is_noise)


def test_a_file_is_known_by_its_pages_in_memory_the_last_one_filled_up_with_zeroes() -> None:
    files = {"a": page(1) + b"tail", "empty": b"", "bb": page(2)}
    known = unpacked(gzip.compress(newc(files)))
    tail = b"tail".ljust(PAGE_BYTES, b"\0")
    assert pages_of(page(2) + tail + page(3) + page(1)).among(known).tolist() == [1, 1, 0, 1]
    assert len(known) == 3


@pytest.mark.parametrize(("stated", "sectors"), [(0, 4), (7, 7)])
def test_a_kernel_is_known_by_what_follows_its_setup(stated: int, sectors: int) -> None:
    setup = bytearray(b"s" * (512 * (1 + sectors)))
    setup[SETUP_SECTORS_AT] = stated
    known = loaded(bytes(setup) + page(1) + page(2), b"initrd")
    initrd = b"initrd".ljust(PAGE_BYTES, b"\0")
    assert known == set(pages_of(memory([1, 2]) + initrd).digests)


def test_asking_for_pages_by_their_digests_is_taken_off_what_is_saved() -> None:
    pages = MIB // 32  # whose digests are a MiB
    gained = saving(pages, 100, 60, 10)
    assert gained.sending_s == 10
    assert gained.saved_s == pytest.approx(3.9)
    assert saving(pages, 100, 100, 10).saved_s < 0
