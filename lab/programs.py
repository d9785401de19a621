"""Finding and running the machine's own programs."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab.errors import LabError

# Daemons and file system tools live here, and not on an ordinary user's PATH.
_SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")
_TAIL_LINES = 12


def locate(program: str) -> str | None:
    """Return the program's path, or None where the machine lacks it."""
    path = os.environ.get("PATH", os.defpath)
    return shutil.which(program, path=os.pathsep.join([path, *_SYSTEM_FOLDERS]))


def need(program: str) -> str:
    """Return the program's path.

    Raises:
        LabError: The machine lacks it.
    """
    found = locate(program)
    if found is None:
        message = (
            f"This machine has no {program}. "
            "`python -m lab packages` lists what is missing, "
            "`sudo python3 -m lab packages --install` installs it on Debian and Ubuntu."
        )
        raise LabError(message)
    return found


def clean_environment(home: Path, **more: str) -> dict[str, str]:
    """Return what a service of the lab may know of the caller's environment.

    Nothing of it: no credentials, no proxies, and a home of its own, so that a
    service behaves the same whoever starts it and writes nowhere else.
    """
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {"PATH": path, "LANG": "C.UTF-8", "HOME": str(home), **more}


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    within_seconds: float = 300,
) -> str:
    """Run a program to its end.

    Args:
        argv: The program, by its path, and its arguments.
        env: Its environment; the caller's by default.
        cwd: Its directory; the caller's by default.
        within_seconds: When to kill it.

    Returns:
        What it wrote to its standard output.

    Raises:
        LabError: It failed, or took too long; the message ends with its last lines.
    """
    name = Path(argv[0]).name
    try:
        done = subprocess.run(
            argv,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=within_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        message = f"{name} was not done after {within_seconds:g} s and was stopped."
        raise LabError(message) from error
    if done.returncode:
        message = (
            f"`{name} {' '.join(argv[1:4])} …` failed with status {done.returncode}:\n"
            + tail(done.stdout + done.stderr)
        )
        raise LabError(message)
    return done.stdout


def tail(text: str) -> str:
    """Return the last lines of an output or a log, indented."""
    lines = [line for line in text.splitlines() if line.strip()]
    return "\n".join(f"    {line}" for line in lines[-_TAIL_LINES:])
