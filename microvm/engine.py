"""The processor: the few calls of the Unicorn library that one guest needs.

Rule 1: one processor per process; the library is not trusted with two.
Rule 2: a run is ended by stop() or by the guest, never by a timeout or a count:
mixing the two makes the library hang, and either costs speed. stop() takes effect
where the guest reads a port, in its own thread: the library loses work of the guest
when another thread ends a run in the middle of anything.
Rule 3: state leaves this file as architectural registers, never as the library's
own context, which is bound to its build.

The library's Python binding is not used: importing it takes 30 ms of a restored
guest's downtime, this file takes 4.
"""

from __future__ import annotations

import ctypes
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_ARCH_X86, _MODE_64 = 4, 8
_HOOK_INSN, _INS_IN, _INS_OUT = 2, 218, 500
PROT_READ_EXEC, PROT_ALL = 5, 7

RIP, RFLAGS = 41, 253
# RAX RBX RCX RDX RSI RDI RBP RSP R8-R15 RIP RFLAGS FS_BASE GS_BASE MXCSR
REGISTERS = (35, 37, 38, 40, 43, 39, 36, 44, *range(106, 114), RIP, RFLAGS, 250, 251, 249)
VECTORS = tuple(range(122, 138))  # XMM0-XMM15

ERROR_EXCEPTION, ERROR_INSN_INVALID = 21, 10

_IN = ctypes.CFUNCTYPE(
    ctypes.c_uint32, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_void_p
)
_OUT = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint32, ctypes.c_void_p
)


class EngineError(Exception):
    """The library refused a call; a guest's own error is returned by run() instead."""


def _library() -> ctypes.CDLL:
    """The path is known from installation; a search would import half a library."""
    path = os.environ.get("MICROVM_ENGINE")
    if path is None:
        from importlib.util import find_spec

        spec = find_spec("unicorn")
        if spec is None or not spec.submodule_search_locations:
            raise EngineError("unicorn is not installed")
        path = library_path(spec.submodule_search_locations[0])
    return ctypes.CDLL(path)


def library_path(package: str) -> str:
    """Where the package keeps the library on this system."""
    import sys

    name = "libunicorn.2.dylib" if sys.platform == "darwin" else "libunicorn.so.2"
    return f"{package}/lib/{name}"


class Processor:
    """One x86-64 processor in flat 64-bit mode."""

    def __init__(self) -> None:
        self._library = _library()
        self._library.uc_strerror.restype = ctypes.c_char_p
        self._start = self._library.uc_emu_start
        self._start.argtypes = [
            ctypes.c_void_p,
            ctypes.c_uint64,
            ctypes.c_uint64,
            ctypes.c_uint64,
            ctypes.c_size_t,
        ]
        self._uc = ctypes.c_void_p()
        self._is_stop_wanted = False
        self._keep: list[object] = []
        self._check(self._library.uc_open(_ARCH_X86, _MODE_64, ctypes.byref(self._uc)))

    def _check(self, status: int) -> None:
        if status:
            raise EngineError(self.reason(status))

    def reason(self, status: int) -> str:
        """A status in words."""
        text: bytes = self._library.uc_strerror(status)
        return text.decode("ascii")

    def map(self, address: int, size: int, protection: int, pointer: int) -> None:
        """Put host memory at a guest address; the caller keeps it alive."""
        self._check(
            self._library.uc_mem_map_ptr(
                self._uc,
                ctypes.c_uint64(address),
                ctypes.c_uint64(size),
                ctypes.c_uint32(protection),
                ctypes.c_void_p(pointer),
            )
        )

    def on_ports(self, read: Callable[[int], int], write: Callable[[int, int], None]) -> None:
        """Have every IN and OUT answered by these; they must not raise."""

        def answer(_uc: int, port: int, _size: int, _data: int) -> int:
            value = read(port)
            if self._is_stop_wanted:
                self._library.uc_emu_stop(self._uc)
            return value

        reader = _IN(answer)
        writer = _OUT(lambda _uc, port, _size, value, _data: write(port, value))
        for instruction, callback in ((_INS_IN, reader), (_INS_OUT, writer)):
            hook = ctypes.c_size_t()
            self._keep += [callback, hook]
            self._check(
                self._library.uc_hook_add(
                    self._uc,
                    ctypes.byref(hook),
                    _HOOK_INSN,
                    callback,
                    None,
                    ctypes.c_uint64(1),
                    ctypes.c_uint64(0),
                    ctypes.c_int(instruction),
                )
            )

    def run(self, rip: int) -> int:
        """Run until the guest halts, fails or is stopped; returns the library's error or 0."""
        status: int = self._start(self._uc, rip, 0, 0, 0)
        self._is_stop_wanted = False
        return status

    def stop(self) -> None:
        """End a run from any thread, when the guest next reads a port."""
        self._is_stop_wanted = True

    def read(self, register: int) -> int:
        """A register."""
        value = ctypes.c_uint64()
        self._check(self._library.uc_reg_read(self._uc, register, ctypes.byref(value)))
        return value.value

    def write(self, register: int, value: int) -> None:
        """A register."""
        stored = ctypes.c_uint64(value)
        self._check(self._library.uc_reg_write(self._uc, register, ctypes.byref(stored)))

    def read_vector(self, register: int) -> bytes:
        """A register of 128 bits."""
        value = ctypes.create_string_buffer(16)
        self._check(self._library.uc_reg_read(self._uc, register, value))
        return value.raw

    def write_vector(self, register: int, value: bytes) -> None:
        """A register of 128 bits."""
        stored = ctypes.create_string_buffer(value, 16)
        self._check(self._library.uc_reg_write(self._uc, register, stored))
