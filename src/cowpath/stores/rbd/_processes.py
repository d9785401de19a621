"""Whether a process of this host that wrote its name down is still there."""

import os
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
_BOOT = _PROC / "sys/kernel/random/boot_id"
_STATE, _STARTED = 0, 19
"""Places in /proc/PID/stat, counted behind the command's name."""

_OVER = {"Z", "X"}


def me() -> str:
    """Return what tells this process from any other, on this host or another."""
    pid = os.getpid()
    state = _stat(pid)
    return f"{_host()} {pid} {state[_STARTED] if state else ''}"


def is_dead(process: str) -> bool:
    """Tell whether a process was one of this host's and is surely over.

    One of another host, or container, is none of ours to tell.
    """
    host, _, rest = process.partition(" ")
    pid, _, started = rest.partition(" ")
    if not host or host != _host() or not pid.isdecimal() or not started:
        return False
    state = _stat(int(pid))
    return not state or state[_STATE] in _OVER or state[_STARTED] != started


def _host() -> str:
    """Return the boot, and the namespace in which a pid has its meaning."""
    with suppress(OSError):
        boot = _BOOT.read_text(encoding="ascii").strip()
        return f"{boot}/{(_PROC / 'self/ns/pid').readlink()}"
    return ""


def _stat(pid: int) -> list[str]:
    with suppress(OSError):
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8")
        return text.rpartition(")")[2].split()
    return []
