"""The only caller of qemu-img, and the only starter of processes.

Every path is absolute, so that QEMU takes neither a leading '-' for an option nor
text before a ':' for a protocol; every format is given, so that it probes nothing.
"""

import os
import re
import subprocess
from pathlib import Path

from cowpath.core.errors import (
    ConfigError,
    ConflictError,
    CowpathError,
    ForbiddenError,
    UnavailableError,
    UsageError,
)
from cowpath.core.model import Bytes
from cowpath.stores.file._failures import no_space

_LOCKED = re.compile(r"Failed to get (shared )?\"\w+( \w+)*\" lock")

_TIMEOUT_S = 120.0
"""Each call takes milliseconds unless the filesystem hangs."""


def create_overlay(path: Path, backing: Path, size: Bytes, lock: int) -> None:
    """Make a qcow2 overlay of the raw file `backing`.

    Args:
        path: The new file.
        backing: The raw base.
        size: Bytes that the guest sees.
        lock: Descriptor of the folder's lock, here and below. The process inherits
            it, so that the lock is held until it ends even if we are killed.

    Raises:
        NoSpaceError: The filesystem is full.
    """
    given = ["create", "-q", "-f", "qcow2", "-b", str(backing), "-F", "raw"]
    _run([*given, str(path), str(size)], f"cannot make a disk on {backing}", path, lock)


def resize_overlay(path: Path, size: Bytes, lock: int) -> None:
    """Make the overlay `path` larger.

    Raises:
        ConflictError: Somebody has it open.
        NoSpaceError: The filesystem is full.
        UsageError: QEMU cannot make it as large as that.
    """
    given = ["resize", "-q", "-f", "qcow2", str(path), str(size)]
    _run(given, f"cannot grow {path} to {size} bytes", path, lock)


def _run(arguments: list[str], doing: str, path: Path, lock: int) -> None:
    environment = {"LC_ALL": "C", "PATH": os.environ.get("PATH", os.defpath)}
    try:
        subprocess.run(  # noqa: S603 - our own argument lists
            ["qemu-img", *arguments],  # noqa: S607 - found by PATH, as QEMU's users do
            check=True,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            cwd="/",
            env=environment,
            timeout=_TIMEOUT_S,
            pass_fds=(lock,),
        )
    except subprocess.CalledProcessError as error:
        raise _refusal(error, doing, path.parent) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _no_answer(error, doing) from error


def _no_answer(error: OSError | subprocess.TimeoutExpired, doing: str) -> CowpathError:
    if isinstance(error, subprocess.TimeoutExpired):
        return UnavailableError(
            f"{doing}: qemu-img did not end within {_TIMEOUT_S:.0f} s: see whether the "
            f"filesystem hangs"
        )
    if isinstance(error, FileNotFoundError):
        return ConfigError(
            f"{doing}: there is no qemu-img on this host: install it (Debian, Ubuntu: "
            f"apt install qemu-utils; Fedora, RHEL: dnf install qemu-img)"
        )
    return UnavailableError(f"{doing}: qemu-img does not start: {error}")


def _refusal(
    error: subprocess.CalledProcessError, doing: str, directory: Path
) -> CowpathError:
    said = " ".join(str(error.stderr).split()) or f"status {error.returncode}"
    if "No space left on device" in said or "Disk quota exceeded" in said:
        return no_space(doing, directory)
    if _LOCKED.search(said):
        return ConflictError(
            f"{doing}: it is in use: stop the guest that has it open ({said})"
        )
    if "Permission denied" in said or "Read-only file system" in said:
        return ForbiddenError(
            f"{doing}: check who owns {directory} and which user runs this ({said})"
        )
    if "File too large" in said or "too big" in said:
        return UsageError(f"{doing}: ask for a smaller disk ({said})")
    return UnavailableError(f"{doing}: qemu-img said: {said}")
