"""How long an address of a guest does not answer, as seen from this host.

Echo requests (RFC 792, RFC 4443) every 10 ms, from a thread of its own, so that a busy daemon does
not make the guest look slower than it is. Measuring never fails a migration.
"""

import asyncio
import contextlib
import ipaddress
import secrets
import socket
import struct
import threading
import time

EVERY_S = 0.01
POLL_S = 0.01
REQUEST, ANSWER = {4: 8, 6: 128}, {4: 0, 6: 129}  # types of message, by version
ANSWER_BYTES = 256


class Reachability:
    """Asks one address from start to end, and knows the longest time without an answer."""

    def __init__(self, address: str) -> None:
        """OSError where this process may not send echo requests, or has no way there."""
        self.address = address
        self._version = ipaddress.ip_address(address).version
        self._identity = secrets.token_bytes(4)
        self._socket = _connected(address, self._version)
        self._last_s = 0.0  # when the last answer came; 0.0: none came yet
        self._longest_s = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, name="reachability", daemon=True)
        self._thread.start()

    @property
    def has_answered(self) -> bool:
        """Whether any answer has come."""
        return self._last_s > 0

    async def again(self, timeout_s: float) -> float | None:
        """The longest silence, in seconds, once it answers from now on; None if it does not."""
        since_s = time.monotonic()
        while self._last_s < since_s:
            if time.monotonic() > since_s + timeout_s:
                return None
            await asyncio.sleep(POLL_S)
        return self._longest_s

    def close(self) -> None:
        """Ask no more. Idempotent."""
        self._over.set()

    def _ask(self) -> None:
        with self._socket:
            due_s = time.monotonic()
            while not self._over.is_set():
                with contextlib.suppress(OSError):  # unreachable for now; that is the question
                    self._socket.send(self._request())
                due_s = max(due_s + EVERY_S, time.monotonic())
                self._listen_until(due_s)

    def _listen_until(self, due_s: float) -> None:
        while (left_s := due_s - time.monotonic()) > 0:
            self._socket.settimeout(left_s)
            try:
                packet = self._socket.recv(ANSWER_BYTES)
            except TimeoutError:
                return
            except OSError:
                self._over.wait(left_s)
                return
            if self._is_answer(packet):
                now_s = time.monotonic()
                if self._last_s:
                    self._longest_s = max(self._longest_s, now_s - self._last_s)
                self._last_s = now_s

    def _request(self) -> bytes:
        head = struct.pack(">BBH", REQUEST[self._version], 0, 0)
        if self._version == 4:  # for version 6 the kernel makes the sum
            head = head[:2] + struct.pack(">H", _checksum(head + self._identity))
        return head + self._identity

    def _is_answer(self, packet: bytes) -> bool:
        if self._version == 4 and packet:
            packet = packet[(packet[0] & 15) * 4 :]  # comes with its header
        return packet[:1] == bytes([ANSWER[self._version]]) and packet[4:8] == self._identity


def _connected(address: str, version: int) -> socket.socket:
    family, protocol = (
        (socket.AF_INET, socket.IPPROTO_ICMP)
        if version == 4
        else (socket.AF_INET6, socket.IPPROTO_ICMPV6)
    )
    made = socket.socket(family, socket.SOCK_RAW, protocol)
    try:
        made.connect((address, 0))
    except OSError:
        made.close()
        raise
    return made


def _checksum(content: bytes) -> int:
    """RFC 1071, of an even number of bytes."""
    total: int = sum(struct.unpack(f">{len(content) // 2}H", content))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF
