"""The process that owns one guest's hypervisor: `python -m bmigd.guests.supervisor DIRECTORY`.

It is the hypervisor's parent, so it alone sees the exit status. It outlives the daemon. Rules:
- Exit status 0 while a suspend is expected is never taken for a reboot.
- Exit status 0 otherwise is a reboot: the guest is started again here.
- A suspend that comes true after it was given up is undone from its own files.
It decides nothing about migrations; it starts what it is told to and says what it saw.

Only the standard library, and little of it: one such process runs for every guest.
"""

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bmigd.guests.console import Console

READY_POLL_S = 0.002  # a socket file has no portable notification; only polled while starting
ERROR_TAIL_BYTES = 4000

Json = dict[str, Any]


class Supervisor:
    """One guest's hypervisor: at most one process at a time."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._console = Console(directory)
        self._process: subprocess.Popen[bytes] | None = None
        self._changed = asyncio.Condition()
        self._run: Json = {}
        self._finished = asyncio.Event()
        self._watching: set[asyncio.Task[None]] = set()
        self.status: Json = {
            "sequence": 0,
            "state": "idle",  # idle, starting, running, exited
            "pid": 0,
            "exit_status": None,
            "was_ready": False,  # whether the last hypervisor signalled that its guest runs
            "expect_suspend": False,
            "restarts": 0,
            "error": "",
        }

    async def serve(self) -> None:
        """Serve the control socket until told to quit with no hypervisor left."""
        path = self._directory / "control"
        path.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._serve_one, path, limit=1 << 20)
        path.chmod(0o600)
        await self._console.open()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        try:
            await self._finished.wait()
        finally:
            server.close()
            self._console.close()
            path.unlink(missing_ok=True)

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                answer = await self._answer(json.loads(line))
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError) as error:
            self._log(f"control connection: {error}")
        finally:
            writer.close()

    async def _answer(self, request: Json) -> Json:
        operations: dict[str, Callable[[Json], Any]] = {
            "status": lambda _: None,
            "run": self._start,
            "expect_suspend": self._expect_suspend,
            "give_up_suspend": self._give_up_suspend,
            "wait": self._wait,
            "signal": self._signal,
            "quit": self._quit,
        }
        try:
            outcome = operations[request["op"]](request)
            if asyncio.iscoroutine(outcome):
                await outcome
        except (KeyError, OSError, RuntimeError) as error:
            return {"failed": f"{type(error).__name__}: {error}", **self.status}
        return dict(self.status)

    def _start(self, request: Json) -> None:
        if self._process:
            raise RuntimeError("a hypervisor runs already")
        self._run = dict(request)
        self._spawn(request["argv"])

    def _spawn(self, argv: list[str]) -> None:
        Path(self._run["ready_socket"]).unlink(missing_ok=True)  # a stale one would look ready
        argv = [part.replace("{console}", self._console.tty_path) for part in argv]
        with (self._directory / "vmm.log").open("wb") as log:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, close_fds=True
            )
        self._note(
            state="starting",
            pid=self._process.pid,
            exit_status=None,
            was_ready=False,
            expect_suspend=False,
            error="",
        )
        for work in (self._watch_ready(self._process), self._watch_exit(self._process)):
            task = asyncio.create_task(work)
            self._watching.add(task)
            task.add_done_callback(self._watching.discard)

    async def _watch_ready(self, process: subprocess.Popen[bytes]) -> None:
        ready_socket = Path(self._run["ready_socket"])
        while self._process is process and not self.status["was_ready"]:
            if _is_socket(ready_socket):
                self._note(state="running", was_ready=True)
            await asyncio.sleep(READY_POLL_S)

    async def _watch_exit(self, process: subprocess.Popen[bytes]) -> None:
        status = await asyncio.to_thread(process.wait)
        if _is_socket(Path(self._run["ready_socket"])):
            # It may have signalled and died between two polls: then it did run.
            self.status["was_ready"] = True
        self._process = None
        self._note(state="exited", pid=0, exit_status=status, error=self._error_tail())
        if status == 0 and not self.status["expect_suspend"] and self.status["was_ready"]:
            self._again()

    def _again(self) -> None:
        """Start the guest again: from a suspend that came late, or from its firmware."""
        late = self._run.get("late_suspend")
        if late and Path(late["file"]).with_name(Path(late["file"]).name + ".meta").exists():
            self._run.pop("late_suspend")
            self._spawn(late["argv"])
            return
        subprocess.run(self._run["destroy_argv"], check=False, capture_output=True)
        self.status["restarts"] += 1
        self._spawn(self._run["restart_argv"])

    def _expect_suspend(self, request: Json) -> None:
        if not self._process:
            raise RuntimeError("no hypervisor runs")
        self._run.pop("late_suspend", None)
        self._note(expect_suspend=True)

    def _give_up_suspend(self, request: Json) -> None:
        self._run["late_suspend"] = request["late_suspend"]
        self._note(expect_suspend=False)

    def _signal(self, request: Json) -> None:
        if self._process:
            self._process.send_signal(signal.Signals["SIG" + request["name"]])

    def _quit(self, _: Json) -> None:
        if self._process:
            raise RuntimeError("the hypervisor still runs")
        self._finished.set()

    async def _wait(self, request: Json) -> None:
        """Answer when the status is newer than the caller's, or after its timeout."""
        try:
            async with asyncio.timeout(float(request["timeout_s"])), self._changed:
                await self._changed.wait_for(lambda: self.status["sequence"] > request["sequence"])
        except TimeoutError:
            return

    def _note(self, **changes: object) -> None:
        self.status.update(changes, sequence=self.status["sequence"] + 1)
        self._log(" ".join(f"{key}={value}" for key, value in changes.items() if key != "error"))

        async def tell() -> None:
            async with self._changed:
                self._changed.notify_all()

        task = asyncio.create_task(tell())
        self._watching.add(task)
        task.add_done_callback(self._watching.discard)

    def _error_tail(self) -> str:
        text = (self._directory / "vmm.log").read_bytes()[-ERROR_TAIL_BYTES:]
        return text.decode(errors="replace").strip()

    def _log(self, text: str) -> None:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def _is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.stat().st_mode)
    except OSError:
        return False


def main() -> None:
    """Run until told to quit; signals meant for the daemon's group do not reach a new session."""
    os.umask(0o077)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    asyncio.run(Supervisor(Path(sys.argv[1])).serve())


if __name__ == "__main__":
    main()
