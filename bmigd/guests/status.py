"""What a supervisor tells of its hypervisor; VmmStatus of supervision.py reads it.

Only the standard library: see supervisor.py.
"""

from typing import Any

NOTHING_YET: dict[str, Any] = {
    "sequence": 0,
    "state": "idle",  # idle, starting, running, exited
    "pid": 0,
    "exit_status": None,
    "was_ready": False,  # whether the last hypervisor signalled that its guest runs
    "ran_at_s": 0.0,  # when its guest surely ran, by the host's monotonic clock; 0: not known
    "expect_suspend": False,
    "is_suspended": False,  # it ended in a suspend, and its guest has not run since
    "late_suspend": False,  # a suspend was given up and may still come true
    "log_mark": 0,  # size of the hypervisor's log when a suspend was last asked for
    "restarts": 0,
    "error": "",
}
