"""The process that owns one guest's hypervisor.

    python -m bmigd.guests.supervisor [--detach] DIRECTORY

It is the hypervisor's parent, so it alone sees the exit status. It outlives the daemon. Rules:
- A guest runs once its hypervisor's `ready_socket` appears; or, where there is none, from the
  moment that the daemon says that it is about to run. That is said before the guest runs, so a
  hypervisor that ends unsaid never ran it.
- Exit status 0 while a suspend is expected is never taken for a reboot.
- Exit status 0 otherwise is a reboot where there is a `restart_argv`: the guest is started again
  here. Without one the hypervisor reboots its guest by itself, and its end is the guest's.
- Whatever a hypervisor must answer to, a signal or a suspend, ends its slowing before.
- A suspend that comes true after it was given up is undone from its own files; if they cannot be
  used, the guest is started again, as after a power failure.
It decides nothing about migrations; it starts what it is told to and says what it saw.
Only the standard library, and little of it: one such process runs for every guest.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from bmigd.guests import signs
from bmigd.guests.console import Console
from bmigd.guests.dutycycle import DutyCycle
from bmigd.guests.spawning import spawn
from bmigd.guests.status import NOTHING_YET

READY_POLL_S = 0.002  # a socket file has no portable notification; only polled while starting
LOOK_S = 1.0  # between two looks whether the socket is still there

Json = dict[str, Any]


class Supervisor:
    """One guest's hypervisor: at most one process at a time."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._console = Console(directory)
        self._process: subprocess.Popen[bytes] | None = None
        self._duty = DutyCycle(self._log)
        self._changed = asyncio.Condition()
        self._run: Json = {}
        self._undoing: Json | None = None  # the late suspend that is being restored now
        self._unmarked: Json = {}  # the status before the guest was marked as running
        self._finished = asyncio.Event()
        self._watching: set[asyncio.Task[None]] = set()
        self.status: Json = dict(NOTHING_YET)

    async def serve(self) -> None:
        """Serve the control socket until told to quit with no hypervisor left."""
        path = self._directory / "control"
        path.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(self._serve_one, path, limit=1 << 20)
        path.chmod(0o600)
        await self._console.open()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        signs.close_stdout()
        made = path.stat().st_ino
        try:
            await self._until_over(path, made)
        finally:
            server.close()
            self._console.close()
            if signs.inode(path) == made:
                path.unlink()

    async def _until_over(self, path: Path, made: int) -> None:
        """Until told to quit; or until nobody can, because the socket is gone or another's."""
        while not self._finished.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._finished.wait()
            if not self._process and signs.inode(path) != made:
                self._finished.set()

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
            "mark_running": self._mark_running,
            "unmark_running": self._unmark_running,
            "ran": lambda _: self._note(ran_at_s=time.monotonic()),
            "expect_suspend": self._expect_suspend,
            "give_up_suspend": self._give_up_suspend,
            "wait": self._wait,
            "signal": self._signal,
            "throttle": self._throttle,
            "quit": self._quit,
        }
        try:
            outcome = operations[request["op"]](request)
            if asyncio.iscoroutine(outcome):
                await outcome
        except (KeyError, OSError, RuntimeError) as error:
            return {"failed": signs.words_of(error), **self.status}
        return dict(self.status)

    def _start(self, request: Json) -> None:
        if self._process:
            raise RuntimeError("a hypervisor runs already")
        self._run, self._undoing = dict(request), None
        self._spawn(request["argv"])

    def _spawn(self, argv: list[str]) -> None:
        ready_socket = self._ready_socket
        if ready_socket:
            ready_socket.unlink(missing_ok=True)  # a stale one would look ready
        argv = [part.replace("{console}", self._console.tty_path) for part in argv]
        self._process = spawn(argv, self._directory / "vmm.log", self._run.get("env", {}))
        self._note(
            state="starting",
            pid=self._process.pid,
            exit_status=None,
            was_ready=False,
            ran_at_s=0.0,
            expect_suspend=False,
            late_suspend=False,
            error="",
        )
        self._keep(self._watch_exit(self._process))
        if ready_socket:
            self._keep(self._watch_ready(self._process, ready_socket))

    @property
    def _ready_socket(self) -> Path | None:
        return Path(self._run["ready_socket"]) if self._run.get("ready_socket") else None

    async def _watch_ready(self, process: subprocess.Popen[bytes], ready_socket: Path) -> None:
        while self._process is process and not self.status["was_ready"]:
            if signs.is_socket(ready_socket):
                self._runs()
            await asyncio.sleep(READY_POLL_S)

    def _mark_running(self, _: Json) -> None:
        """From now on nobody may say that the guest never ran."""
        if not self._process:
            raise RuntimeError("no hypervisor runs")
        self._unmarked = {key: self.status[key] for key in ("state", "was_ready", "expect_suspend")}
        self._note(state="running", was_ready=True, expect_suspend=False, is_suspended=False)

    def _unmark_running(self, _: Json) -> None:
        """The hypervisor refused to run it: take the word back."""
        if self._process and self._unmarked:
            self._note(**self._unmarked)
            self._unmarked = {}

    def _runs(self) -> None:
        now_s = time.monotonic()
        self._note(state="running", was_ready=True, ran_at_s=now_s, is_suspended=False)
        if self._undoing:
            file = Path(self._undoing["file"])
            signs.remove(file.parent.glob(f"{file.name}*"))
            self._undoing = None

    async def _watch_exit(self, process: subprocess.Popen[bytes]) -> None:
        status = await asyncio.to_thread(process.wait)
        self._duty.end()
        if self._ready_socket and signs.is_socket(self._ready_socket):
            # It may have signalled and died between two polls: then it did run.
            self.status["was_ready"] = True
        self._process, self._unmarked = None, {}
        if self.status["was_ready"] and not self.status["expect_suspend"]:
            signs.remove(self._run.get("scratch", ()))
        late = self._run.pop("late_suspend", None)
        came_true = status == 0 and bool(late) and signs.has_index(Path(late["file"]))
        expected = status == 0 and self.status["expect_suspend"]
        was_ready = self.status["was_ready"]
        self._note(
            state="exited",
            pid=0,
            exit_status=status,
            is_suspended=came_true or expected if was_ready else self.status["is_suspended"],
            late_suspend=False,
            error=signs.last_words(self._directory / "vmm.log"),
        )
        if came_true:
            self._undo(late)
        elif (
            (status == 0 and was_ready and not expected) or (self._undoing and not was_ready)
        ) and self._run.get("restart_argv"):
            self._again()

    def _undo(self, late: Json) -> None:
        """Bring back a guest whose suspend came too late to be wanted."""
        self._undoing = late
        self._respawn(late["argv"])

    def _again(self) -> None:
        """Start the guest again from its firmware."""
        self._undoing = None
        self.status["restarts"] += 1
        with contextlib.suppress(OSError):
            subprocess.run(self._run["destroy_argv"], check=False, capture_output=True)
        self._respawn(self._run["restart_argv"])

    def _respawn(self, argv: list[str]) -> None:
        try:
            self._spawn(argv)
        except OSError as error:
            self._note(state="exited", error=f"cannot be started again: {error}")

    def _expect_suspend(self, request: Json) -> None:
        if not self._process:
            raise RuntimeError("no hypervisor runs")
        self._duty.end()
        self._run.pop("late_suspend", None)
        self._undoing = None
        mark = (self._directory / "vmm.log").stat().st_size
        self._note(expect_suspend=True, late_suspend=False, log_mark=mark, ran_at_s=0.0)

    def _give_up_suspend(self, request: Json) -> None:
        if self._process:
            self._run["late_suspend"] = request["late_suspend"]
            self._note(expect_suspend=False, late_suspend=True)

    def _signal(self, request: Json) -> None:
        if self._process:
            number = signal.Signals["SIG" + request["name"]]
            self._duty.end()
            self._process.send_signal(number)

    def _throttle(self, request: Json) -> None:
        """Slow the hypervisor down until it is told otherwise or nobody says so any more."""
        if request["stopped_percent"] and (not self._process or self.status["expect_suspend"]):
            raise RuntimeError("no hypervisor runs, or its guest is being suspended")
        if self._process:
            self._duty.keep(self._process, request["stopped_percent"], request["lease_s"])

    def _quit(self, _: Json) -> None:
        if self._process:
            raise RuntimeError("the hypervisor still runs")
        self._finished.set()

    async def _wait(self, request: Json) -> None:
        """Answer when the status is newer than the caller's, or after its timeout."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(float(request["timeout_s"])), self._changed:
                await self._changed.wait_for(lambda: self.status["sequence"] > request["sequence"])

    def _note(self, **changes: object) -> None:
        self.status.update(changes, sequence=self.status["sequence"] + 1)
        self._log(" ".join(f"{key}={value}" for key, value in changes.items() if key != "error"))

        async def tell() -> None:
            async with self._changed:
                self._changed.notify_all()

        self._keep(tell())

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside."""
        task = asyncio.create_task(work)
        self._watching.add(task)
        task.add_done_callback(self._watching.discard)

    def _log(self, text: str) -> None:
        with contextlib.suppress(OSError):  # a full disk keeps nobody from watching
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()


def main() -> None:
    """Run until told to quit; signals meant for the daemon's group do not reach a new session.

    Detached, it is nobody's child: the daemon that started it has nothing to wait for.
    """
    directory = Path(sys.argv[-1]).absolute()
    if "--detach" in sys.argv and os.fork():
        os._exit(0)
    os.umask(0o077)
    os.chdir(directory)  # where a relative path leads a hypervisor
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    asyncio.run(Supervisor(directory).serve())


if __name__ == "__main__":
    main()
