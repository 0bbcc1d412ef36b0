"""A QEMU that does things wrong on demand.

    python -m tests.drivers.qemu_with_faults FAULTS QEMU ARGUMENT…

The process becomes QEMU; a child of it stands between QEMU's monitor and whoever talks to it, and
acts on the words in the file FAULTS at the moment that a command comes by. Everything that is not
told to fail is the real thing.
"""

import array
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MONITOR = "socket,id=monitor,path="
POLL_S, SLOW_S = 0.01, 0.5


class Between:
    """The child."""

    def __init__(self, faults: Path, qemu: int) -> None:
        self._faults, self._qemu = faults, qemu
        self._client = self._server = socket.socket()
        self._text = ""

    def serve(self, path: str, real: str) -> None:
        """One client after the other, until QEMU has ended."""
        with socket.socket(socket.AF_UNIX) as listening:
            Path(path).unlink(missing_ok=True)
            listening.bind(path)
            listening.listen(8)
            while self._is_alive():
                if select.select([listening], [], [], POLL_S)[0]:
                    self._client, _ = listening.accept()
                    with self._client:
                        self._serve_one(real)

    def _is_alive(self) -> bool:
        return os.getppid() == self._qemu

    def _serve_one(self, real: str) -> None:
        self._text = ""
        while self._is_alive():
            self._server = socket.socket(socket.AF_UNIX)
            with self._server:
                if self._server.connect_ex(real) == 0:
                    self._carry()
                    return
            time.sleep(POLL_S)

    def _carry(self) -> None:
        while True:
            ready, _, _ = select.select([self._client, self._server], [], [])
            try:
                if self._server in ready:
                    answer = self._server.recv(1 << 20)
                    if not answer:
                        return
                    self._client.sendall(answer)
                if self._client in ready and not self._from_client():
                    return
            except OSError:
                return

    def _from_client(self) -> bool:
        space = socket.CMSG_SPACE(4)
        said, ancillary, _, _ = self._client.recvmsg(1 << 16, space)
        for _, _, content in ancillary:
            descriptors = array.array("i", content)
            self._server.sendmsg([b" "], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
            for descriptor in descriptors:
                os.close(descriptor)
        self._text += said.decode()
        for command in self._commands():
            self._pass_on(command)
        return bool(said)

    def _commands(self) -> Iterator[dict[str, Any]]:
        while self._text.strip():
            try:
                command, end = json.JSONDecoder().raw_decode(self._text.strip())
            except ValueError:
                return  # the rest of it comes
            self._text = self._text.strip()[end:]
            yield command

    def _pass_on(self, command: dict[str, Any]) -> None:
        faults, name = self._words(), command.get("execute", "")
        match name:
            case "migrate" if "suspend-fails" in faults:
                self._refuse(command)
                return
            case "migrate" if "suspend-is-slow" in faults:
                time.sleep(SLOW_S)
            case "stop":
                while "suspend-hangs" in self._words() and self._is_alive():
                    time.sleep(POLL_S)
            case "cont" if "restore-fails" in faults:
                self._refuse(command)
                return
            case "migrate-incoming" if {"restore-fails", "dies-on-start"} & faults:
                os.kill(self._qemu, signal.SIGKILL)
        self._server.sendall(json.dumps(command).encode())
        if name == "cont" and "dies-once-started" in faults:
            self._server.recv(1 << 16)
            os.kill(self._qemu, signal.SIGKILL)

    def _refuse(self, command: dict[str, Any]) -> None:
        error = {"class": "GenericError", "desc": "it was told to fail"}
        answer = {"id": command.get("id"), "error": error}
        self._client.sendall(json.dumps(answer).encode() + b"\r\n")

    def _words(self) -> set[str]:
        return set(self._faults.read_text().split()) if self._faults.exists() else set()


def main() -> None:
    faults, (qemu, *argv) = Path(sys.argv[1]), sys.argv[2:]
    words = faults.read_text().split() if faults.exists() else []
    own = next((one for one in argv if one.startswith(MONITOR)), "")
    if own:
        if "dies-on-start" in words and "-incoming" not in argv:
            sys.exit("it was told to die")
        path = own.removeprefix(MONITOR).split(",")[0]
        argv[argv.index(own)] = own.replace(path, f"{path}.real", 1)
        pid = os.getpid()
        if not os.fork():
            Between(faults, pid).serve(path, f"{path}.real")
            os._exit(0)
    os.execv(qemu, [qemu, *argv])  # noqa: S606 - nothing for a shell


if __name__ == "__main__":
    main()
