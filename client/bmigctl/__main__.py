"""Starts bmigctl.

Rule: nothing that imports gRPC is imported before its log is silenced; gRPC reads that setting
once, and would write over the operator's terminal what diagnose says better.
"""

import os
import sys


def main() -> int:
    """Runs bmigctl and returns its exit code."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from bmigctl import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
