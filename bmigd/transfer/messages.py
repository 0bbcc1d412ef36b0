"""How many chunks travel in one message. Pure.

Each message costs an event loop on either side as much as hashing a chunk. But a message is written
only when all of it is there, and that is what is acknowledged: so a link that is not fast gets its
chunks one by one.
"""

from collections.abc import Callable, Iterator

from bmigd.chunk import CHUNK_BYTES, MOST_TOGETHER, Chunk

MESSAGE_S = 0.025  # on the link, at most, unless one chunk takes longer
MESSAGES_IN_WINDOW = 3  # of several chunks: one is sent, one written, one acknowledged


def most_in_window(window_chunks: int) -> int:
    """In one message, however fast the link is."""
    return min(MOST_TOGETHER, max(1, window_chunks // MESSAGES_IN_WINDOW))


def together(link_s_per_byte: float, most: int) -> int:
    """In one message over a link that takes so long for a byte, 0 if that is unknown."""
    if not link_s_per_byte:
        return 1
    return min(most, max(1, int(MESSAGE_S / (link_s_per_byte * CHUNK_BYTES))))


def in_messages(chunks: list[Chunk], size: Callable[[], int]) -> Iterator[list[Chunk]]:
    """Chunks in their order, by messages; how many the next one may have is asked each time."""
    begin = 0
    while begin < len(chunks):
        end = begin + size()
        yield chunks[begin:end]
        begin = end
