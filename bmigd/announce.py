"""Tells the network where a guest is now, so that it does not stay dark until the guest speaks.

Switches send frames for a MAC where they last saw it as a sender. A frame with the guest's MAC as
sender, put on the bridge of its network, teaches them the new place: a reverse ARP request for its
own address, as hypervisors send it, which nobody needs to answer. It may be lost, so it is sent
five times with growing pauses. Failing to announce never fails a migration.
"""

import asyncio
import fcntl
import os
import platform
import socket
import struct
from collections.abc import Iterable, Mapping
from typing import Protocol

import structlog

log = structlog.get_logger()

PAUSES_S = (0.0, 0.05, 0.15, 0.25, 0.35)
BROADCAST = b"\xff" * 6
ETHERTYPE_RARP = 0x8035
SHORTEST_FRAME = 60
# FreeBSD's net/bpf.h: use an interface (struct ifreq of 32 bytes), and keep the sender as written.
BIOCSETIF = 0x8020426C
BIOCSHDRCMPLT = 0x80044275


def reverse_arp(mac: str) -> bytes:
    """An Ethernet frame that asks for the address of its own sender (RFC 903)."""
    sender = bytes.fromhex(mac.replace(":", ""))
    ethernet = BROADCAST + sender + struct.pack(">H", ETHERTYPE_RARP)
    request = struct.pack(">HHBBH", 1, 0x0800, 6, 4, 3) + 2 * (sender + bytes(4))
    return (ethernet + request).ljust(SHORTEST_FRAME, b"\0")


class Link(Protocol):
    """A way to put frames on an interface."""

    def send(self, frame: bytes) -> None:
        """Put one frame on it; OSError."""

    def close(self) -> None:
        """Let it go."""


class PacketSocket:
    """Linux: a packet socket."""

    def __init__(self, interface: str) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        try:
            self._socket.bind((interface, 0))
        except OSError:
            self._socket.close()
            raise

    def send(self, frame: bytes) -> None:
        """Put one frame on it."""
        self._socket.send(frame)

    def close(self) -> None:
        """Let it go."""
        self._socket.close()


class BpfDevice:
    """FreeBSD: bpf(4)."""

    def __init__(self, interface: str) -> None:
        self._descriptor = os.open("/dev/bpf", os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(self._descriptor, BIOCSETIF, struct.pack("16s16x", interface.encode()))
            fcntl.ioctl(self._descriptor, BIOCSHDRCMPLT, struct.pack("I", 1))
        except OSError:
            os.close(self._descriptor)
            raise

    def send(self, frame: bytes) -> None:
        """Put one frame on it."""
        os.write(self._descriptor, frame)

    def close(self) -> None:
        """Let it go."""
        os.close(self._descriptor)


def open_link(interface: str) -> Link:
    """A link on an interface; OSError, for want of the interface or of the right."""
    return BpfDevice(interface) if platform.system() == "FreeBSD" else PacketSocket(interface)


class Announcer:
    """Announces guests on the bridges of this node's networks."""

    def __init__(self, networks: Mapping[str, str]) -> None:
        self._networks = networks
        self._tasks: set[asyncio.Task[None]] = set()

    def obstacles(self, networks: Iterable[str]) -> dict[str, str]:
        """Which of these networks of this node nothing can be announced on, and why not."""
        found = {}
        for network in sorted(set(networks) & set(self._networks)):
            try:
                open_link(self._networks[network]).close()
            except OSError as error:
                found[network] = f"{self._networks[network]}: {os.strerror(error.errno or 0)}"
        return found

    def announce(self, guest: str, cards: Iterable[tuple[str, str]]) -> None:
        """Begin to announce a guest that runs here now, by network and MAC; returns at once."""
        for network, mac in cards:
            if network in self._networks:
                task = asyncio.create_task(_announce(guest, self._networks[network], mac))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)


async def _announce(guest: str, bridge: str, mac: str) -> None:
    try:
        link = open_link(bridge)
        try:
            for pause_s in PAUSES_S:
                await asyncio.sleep(pause_s)
                link.send(reverse_arp(mac))
        finally:
            link.close()
    except OSError as error:
        log.warning("not announced", guest=guest, bridge=bridge, mac=mac, error=str(error))
        return
    log.info("announced", guest=guest, bridge=bridge, mac=mac, times=len(PAUSES_S))
