"""Processes that hash guest memory as it is: `python -m bmigd.transfer.hasher DESCRIPTOR...`.

One for each descriptor, which is a socket over which hashing.py tells which memory, as a descriptor
to map, and then which stretches of it. A process ends when its socket does, so a daemon that is
killed leaves none behind. Only one is started, with the standard library and xxhash and no more,
and becomes the others: their start is on the way of a migration.
"""

import mmap
import os
import socket
import struct
import sys
from array import array

from bmigd.transfer.digests import digests

STARTED = b"s"  # said once, before anything is asked
SHOW, HASH = 1, 2
# SHOW, number of regions, seed, 0, 0; HASH, region, offset, length, bytes for each hash
REQUEST = struct.Struct("=BQQQQ")
REGION = struct.Struct("=QQ")  # offset in the descriptor, size; one each after SHOW


def serve(connection: socket.socket) -> None:
    """Answer until the other end closes."""
    regions: list[memoryview] = []
    seed = 0
    while True:
        request, descriptors, _, _ = socket.recv_fds(
            connection, REQUEST.size, 1, socket.MSG_WAITALL
        )
        if len(request) < REQUEST.size:
            return
        kind, first, second, third, unit_bytes = REQUEST.unpack(request)
        if kind == SHOW:
            seed = second
            regions.clear()  # and with the last view a mapping goes
            regions += _map(descriptors[0], connection, first)
        else:
            content = regions[first][second : second + third]
            connection.sendall(_hashes(content, seed, unit_bytes))


def _map(descriptor: int, connection: socket.socket, count: int) -> list[memoryview]:
    layout = connection.recv(count * REGION.size, socket.MSG_WAITALL)
    with open(descriptor, "rb", buffering=0):  # closed when all is mapped
        return [
            memoryview(mmap.mmap(descriptor, size, mmap.MAP_SHARED, mmap.PROT_READ, offset=offset))
            for offset, size in REGION.iter_unpack(layout)
        ]


def _hashes(content: memoryview, seed: int, unit_bytes: int) -> bytes:
    """As they go over the socket: eight bytes each, little-endian."""
    found = array("Q", digests(content, seed, unit_bytes))
    if sys.byteorder == "big":
        found.byteswap()
    return found.tobytes()


def main(descriptors: list[int]) -> None:
    """Be the process of the first descriptor; a child is that of each further one.

    Each holds its own socket only, so that the other end of every one sees its process end.
    """
    mine, *others = descriptors
    while others and not os.fork():
        os.close(mine)
        mine, *others = others
    for other in others:
        os.close(other)
    with socket.socket(fileno=mine) as given:
        given.sendall(STARTED)
        serve(given)


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]])
