"""Runs a program that ends with the launcher: `python child.py LAUNCHER_PID PROGRAM ARGUMENT …`.

A program of its own and not a `preexec_fn`, because a process with threads must not run Python between fork and exec.
"""

import os
import signal
import sys

PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != int(sys.argv[1]):  # the launcher ended before the request
            sys.exit(1)
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 -- a command of the launcher
