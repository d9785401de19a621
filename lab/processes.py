"""The lab's processes: found by what they are, not by a number in a file.

A file with a process id outlives its process, and the number is given to another
program sooner or later. So there are no such files: every program the lab starts
carries a path of the lab in its command line, and is found in /proc by that.
"""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lab.waiting import wait_until

_PROC = Path("/proc")
_DEAD = "ZX"
_STOPPED = "Tt"
_KILL_WITHIN_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Process:
    """One process as /proc shows it.

    Attributes:
        pid: Its id.
        parent: Its parent's id.
        state: The kernel's letter for what it is doing.
        arguments: Its command line.
        session: The id of the process with which its session began.
    """

    pid: int
    parent: int
    state: str
    arguments: tuple[str, ...]
    session: int = 0

    @property
    def stopped(self) -> bool:
        """Whether a signal suspended it."""
        return self.state in _STOPPED

    def runs(self, program: str) -> bool:
        """Tell whether this is a run of a program, or of a Python script so named.

        setproctitle turns gunicorn's command line into `gunicorn: worker [name]`.
        """
        name = Path(self.arguments[0].split(": ", 1)[0]).name
        if name.startswith("python") and len(self.arguments) > 1:
            name = Path(self.arguments[1]).name
        return name.startswith(program)

    def mentions(self, folder: Path | str) -> bool:
        """Tell whether an argument names something below a folder."""
        return any(f"{folder}/" in argument for argument in self.arguments)

    def lives_below(self, folder: Path | str) -> bool:
        """Tell whether something is mounted below a folder, as this process sees it.

        A guest of a libvirtd in a mount namespace of the lab names the machine's
        folders, and sees the lab's.
        """
        try:
            table = (_PROC / str(self.pid) / "mountinfo").read_text(errors="replace")
        except OSError:
            return False
        path = str(folder).replace(" ", r"\040")
        return f" {path}/" in table


def parse(stat: str, command_line: bytes) -> Process | None:
    """Read what /proc says about a process.

    Args:
        stat: The text of its `stat` file. The name in it may hold spaces and
            parentheses, so the fields are counted from the last one.
        command_line: The bytes of its `cmdline` file.

    Returns:
        The process, or None for the dead and for kernel threads.
    """
    pid = stat.split(" ", 1)[0]
    state, parent, _, session = stat.rpartition(")")[2].split()[:4]
    arguments = command_line.rstrip(b"\0 ").decode(errors="replace").split("\0")
    if state in _DEAD or arguments == [""]:
        return None
    return Process(int(pid), int(parent), state, tuple(arguments), int(session))


def running() -> Iterator[Process]:
    """Go through all processes of this machine that can be seen."""
    for entry in _PROC.iterdir():
        if not entry.name.isdecimal():
            continue
        with suppress(OSError):  # it ended while we looked
            stat = (entry / "stat").read_text(errors="replace")
            found = parse(stat, (entry / "cmdline").read_bytes())
            if found is not None:
                yield found


def find(program: str, *folders: Path | str) -> list[Process]:
    """Return the runs of a program that belong to a folder of the lab.

    Args:
        program: What the program's name begins with.
        folders: The lab's folders; naming one of them is enough. Somebody's editor
            or `tail -f` names them too: that is what the program is asked for.

    Returns:
        Parents before their children.
    """
    found = [
        process
        for process in running()
        if process.runs(program)
        and any(process.mentions(each) or process.lives_below(each) for each in folders)
    ]
    ids = {process.pid for process in found}
    return sorted(found, key=lambda process: (process.parent in ids, process.pid))


def spawn(
    argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path
) -> subprocess.Popen[bytes]:
    """Start a daemon that outlives us, in a session of its own.

    Args:
        argv: The program, by its path, and its arguments.
        env: Its whole environment.
        cwd: Its directory.
        log: Where its output is added.

    Returns:
        The started program.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            argv,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def send(processes: Sequence[Process], number: signal.Signals) -> None:
    """Send a signal to processes; those that are gone already do not matter."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


def end(program: str, *folders: Path, grace_seconds: float) -> bool:
    """End the runs of a program that belong to folders of the lab.

    Args:
        program: What the program's name begins with.
        folders: The lab's folders.
        grace_seconds: How long after SIGTERM to wait before SIGKILL; 0 for SIGKILL
            at once.

    Returns:
        Whether none is left.
    """
    return end_all(lambda: find(program, *folders), grace_seconds=grace_seconds)


def family(found: Sequence[Process]) -> list[Process]:
    """Return processes and all of the sessions that they began, parents first.

    The lab starts every daemon in a session of its own. A worker that gave itself
    another title belongs to it still.
    """
    known = {process.pid: process for process in found}
    leaders = {process.pid for process in found if process.session == process.pid}
    others = [each for each in running() if each.session in leaders] if leaders else []
    return [*found, *(each for each in others if each.pid not in known)]


def end_all(look: Callable[[], Sequence[Process]], *, grace_seconds: float) -> bool:
    """End the processes that a look shows, and those that began with them.

    Args:
        look: Shows them, as often as it is asked.
        grace_seconds: How long after SIGTERM to wait before SIGKILL; 0 for SIGKILL
            at once.

    Returns:
        Whether none is left.
    """
    found = look()
    ids = {process.pid for process in found}

    def left() -> list[Process]:
        orphans = [each for each in running() if each.pid in ids] if ids else []
        return [*look(), *orphans]

    def gone() -> bool:
        return not left()

    if grace_seconds and found:
        roots = [process for process in found if process.parent not in ids]
        # A master ends its workers itself, and gracefully.
        send(roots, signal.SIGTERM)
        # A suspended process would keep the signal for later.
        send(found, signal.SIGCONT)
        if wait_until(gone, within_seconds=grace_seconds):
            return True
    send(left(), signal.SIGKILL)
    return wait_until(gone, within_seconds=_KILL_WITHIN_SECONDS)
