"""Run a program and bury the children that it abandons.

libvirtd detaches every QEMU it starts, and waits for it to vanish when it ends. That
is the machine's first process's work, which in many containers and small virtual
machines does it late or never: libvirtd then waits for seconds, or gives up. This
takes its place for libvirtd's descendants, and ends after the last of them.

Run as a script: it stays a child of nobody and has no other duties.
"""

import ctypes
import os
import subprocess
import sys

_PR_SET_CHILD_SUBREAPER = 36


def main(argv: list[str]) -> None:
    """Start a program and wait for it and for all that becomes ours.

    Args:
        argv: The program, by its path, and its arguments.
    """
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    # os.wait() below waits for this one too; Popen would only complain.
    subprocess.Popen(argv).returncode = 0
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


if __name__ == "__main__":
    main(sys.argv[1:])
