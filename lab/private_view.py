"""Run a program that sees folders of the lab in the place of the machine's own.

Run as a script, as root, in a mount namespace of its own: `private_view.py VIEW
PROGRAM ARGUMENT…`. What lies at VIEW/etc/libvirt appears at /etc/libvirt, and so on.
The kernel takes the mounts away with the namespace's last process.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path

_SEEN = (
    "etc/passwd",
    "etc/group",
    "etc/libvirt",
    "run",
    "var/lib",
    "var/cache",
    "var/log",
)


# Only in a namespace of its own for the host's name, too.
_HOSTNAME = "etc/hostname"


def main(view: Path, command: list[str]) -> None:
    """Mount what is to be seen and become the program.

    Args:
        view: The folder of the lab.
        command: The program, by its path, and its arguments.
    """
    # Nobody outside has this mount: by it the lab knows who lives in this view.
    _mount(view, view)
    for name in _SEEN:
        _mount(view / name, Path("/") / name)
    if (view / _HOSTNAME).exists():
        _mount(view / "etc/hosts", Path("/etc/hosts"))
        socket.sethostname((view / _HOSTNAME).read_text().strip())
    os.execv(command[0], command)  # noqa: S606 - we are to become the program


def _mount(what: Path, where: Path) -> None:
    # The shell's PATH may not have it, and the daemon's is clean.
    subprocess.run(["/bin/mount", "--bind", str(what), str(where)], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
