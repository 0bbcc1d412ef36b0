"""PAGEMAP_SCAN: which pages of another process were written, protected again in the same step.

The numbers are those of include/uapi/linux/fs.h. Pages of which the kernel knows nothing yet count
as written.
"""

import errno
import fcntl
import os
import struct
from array import array

PAGEMAP_SCAN = 0xC0606610  # _IOWR('f', 16, struct pm_scan_arg)
PROTECT_AGAIN, REQUIRE_WATCHED = 1, 2  # PM_SCAN_WP_MATCHING, PM_SCAN_CHECK_WPASYNC
WRITTEN = 2  # PAGE_IS_WRITTEN
ARGUMENT = struct.Struct("=12Q")  # of struct pm_scan_arg
WALK_END = 4  # its field for where the scan ended
ENTRY_BYTES = 8  # of a page, when read
RANGES = 1 << 14  # found in one call
RANGE_WORDS = 3  # of struct page_region: start, end, categories


class Pagemap:
    """The pages of one process. OSError where the kernel cannot tell, or the process is gone."""

    def __init__(self, pid: int) -> None:
        self._descriptor = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        self._found = array("Q", bytes(8 * RANGE_WORDS * RANGES))

    def take_written(self, start: int, end: int) -> list[tuple[int, int]]:
        """Stretches of addresses (start, end) written since the last call, protected again.

        OSError (EPERM) if any of them is not watched.
        """
        return self._scan(start, end, PROTECT_AGAIN | REQUIRE_WATCHED)

    def require_watched(self, start: int, end: int) -> None:
        """OSError unless the kernel can tell what was written; changes nothing."""
        self._scan(start, end, REQUIRE_WATCHED)

    def close(self) -> None:
        """Let the process go. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _scan(self, start: int, end: int, flags: int) -> list[tuple[int, int]]:
        written: list[tuple[int, int]] = []
        found_at, capacity = self._found.buffer_info()
        while start < end:
            argument = bytearray(
                ARGUMENT.pack(
                    *(ARGUMENT.size, flags, start, end, 0),
                    *(found_at, capacity // RANGE_WORDS, 0),
                    *(0, WRITTEN, 0, WRITTEN),  # inverted, all of, any of, to be returned
                )
            )
            count = fcntl.ioctl(self._descriptor, PAGEMAP_SCAN, argument)
            words = self._found[: RANGE_WORDS * count]
            written += zip(words[::RANGE_WORDS], words[1::RANGE_WORDS], strict=True)
            # A scan that came to its end leaves WALK_END where the kernel's buffer was last full:
            # to go on there would tell pages twice that were written meanwhile.
            is_full = count == capacity // RANGE_WORDS
            start = ARGUMENT.unpack(argument)[WALK_END] if is_full else end
        if not os.pread(self._descriptor, ENTRY_BYTES, 0):  # a process without memory wrote nothing
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
        return written
