"""A log that cannot be written stops nothing, and takes lines again once it can."""

import io
from pathlib import Path

import structlog

from bmigd.sink import Sink


class Filling(io.StringIO):
    """A stream on a disk that is full, until it is not."""

    is_full = True

    def write(self, text: str) -> int:
        if self.is_full:
            raise OSError(28, "No space left on device")
        return super().write(text)

    def flush(self) -> None:
        if self.is_full:
            raise BrokenPipeError


def test_what_cannot_be_written_is_left_out_and_the_next_line_is_not() -> None:
    stream = Filling()
    log = structlog.wrap_logger(structlog.WriteLogger(Sink(stream)))  # type: ignore[arg-type]
    log.info("lost")
    stream.is_full = False
    log.info("kept")
    assert "kept" in stream.getvalue()
    assert "lost" not in stream.getvalue()


def test_a_stream_that_was_closed_is_no_failure_either(tmp_path: Path) -> None:
    stream = (tmp_path / "log").open("w")
    stream.close()
    sink = Sink(stream)
    assert sink.write("text") == 4
    sink.flush()
