"""The libvirtd of a lab: no systemd, nothing outside the lab."""

import os
import socket
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from lab.errors import LabError
from lab.files import read, write
from lab.libvirt_modes import Mode
from lab.processes import Process, end, find, spawn
from lab.programs import clean_environment, need, run, tail
from lab.waiting import wait_until

# sockaddr_un holds 108 bytes with the final zero; QEMU's monitor socket has the
# longest path below our folder, and libvirt takes 20 letters of a domain's name.
_LONGEST_SOCKET_PATH = 107
_LONGEST_TAIL = "/config/libvirt/qemu/lib/domain-10000-" + 20 * "n" + "/monitor.sock"

_REAPER = Path(__file__).with_name("reaper.py")

_START_WITHIN_SECONDS = 20.0
_STOP_WITHIN_SECONDS = 10.0
_PROBE_WITHIN_SECONDS = 120.0
_OTHERS_WITHIN_SECONDS = 60.0


class Libvirtd:
    """The lab's libvirtd."""

    def __init__(self, home: Path, mode: Mode, name: str = "libvirtd") -> None:
        """Know where it lies; nothing is made yet.

        Args:
            home: Its folder.
            mode: How it is run.
            name: What the command line calls it.
        """
        self.name = name
        self._home = home
        self._mode = mode
        self._link_record = self._home / "short-path"

    @property
    def uri(self) -> str:
        """What a client connects to."""
        return f"qemu:///{self._mode.driver}?socket={self._socket}"

    @property
    def address(self) -> str:
        """Where it listens."""
        return self.uri

    @property
    def log(self) -> Path:
        """What libvirtd writes."""
        return self._home / "libvirtd.log"

    @property
    def _short_home(self) -> Path:
        """Our folder, by a path short enough for the sockets below it."""
        return Path(read(self._link_record).strip() or self._home)

    @property
    def _socket(self) -> Path:
        return self._mode.socket(self._short_home)

    def processes(self) -> list[Process]:
        """Return the daemon's process."""
        return find("libvirtd", self._home)

    def guests(self) -> list[Process]:
        """Return the running guests' QEMU processes."""
        return find("qemu", *self._folders())

    def _folders(self) -> set[Path]:
        return {self._home, self._short_home}

    def answers(self) -> bool:
        """Tell whether it accepts connections."""
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self._socket))
            except OSError:
                return False
        return True

    def wait(self) -> None:
        """Wait for it, where somebody else is starting it.

        Raises:
            LabError: It does not answer.
        """
        if not wait_until(self.answers, within_seconds=_OTHERS_WITHIN_SECONDS):
            message = f"{self.name} does not answer. Its log: {self.log}"
            raise LabError(message)

    def start(self, settings: Sequence[str] = ()) -> None:
        """Make its folders and configuration, and start it."""
        if settings:
            message = f"{self.name} takes no --set."
            raise LabError(message)
        if self.processes() and self.answers():
            return
        self.stop()
        self._make_short_path()
        self._spawn()
        self._probe()

    def stop(self) -> None:
        """End the daemon; its guests run on, as they would on a compute host."""
        if not end("libvirtd", self._home, grace_seconds=_STOP_WITHIN_SECONDS):
            raise LabError("libvirtd cannot be killed: see `python -m lab status`.")

    def clear(self) -> None:
        """End its guests and the daemon, and remove what lies outside the lab."""
        self.end_guests()
        self.stop()
        # A guest that was just being started.
        self.end_guests()
        end(_REAPER.name, self._home, grace_seconds=_STOP_WITHIN_SECONDS)
        self._remove_short_path()

    def end_guests(self) -> None:
        """End the guests.

        Raises:
            LabError: Some are left.
        """
        if not end("qemu", *self._folders(), grace_seconds=_STOP_WITHIN_SECONDS):
            raise LabError("Some guests cannot be killed: look for qemu in `ps`.")

    def _make_short_path(self) -> None:
        """Make a short way to our folder where its own path will not do."""
        self._home.mkdir(parents=True, exist_ok=True)
        longest = len(os.fsencode(self._home)) + len(_LONGEST_TAIL)
        # It becomes part of a URI.
        plain = quote(str(self._home)) == str(self._home)
        if (plain and longest <= _LONGEST_SOCKET_PATH) or self._is_ours(
            self._short_home
        ):
            return
        link = Path(tempfile.mkdtemp(prefix="cowpath-lab-")) / "v"
        link.symlink_to(self._home)
        write(self._link_record, f"{link}\n")

    def _is_ours(self, link: Path) -> bool:
        """Tell whether a link of an earlier run is there, ours, and leads home."""
        try:
            owner = link.parent.stat().st_uid
            return owner == os.geteuid() and link.readlink() == self._home
        except OSError:
            return False

    def _remove_short_path(self) -> None:
        link = self._short_home
        if link != self._home and self._is_ours(link):
            link.unlink()
            link.parent.rmdir()
        self._link_record.unlink(missing_ok=True)

    def _spawn(self) -> None:
        home = self._short_home
        conf = self._mode.configure(self._home, home)
        daemon = [need("libvirtd"), "--config", str(conf)]
        command = [*self._mode.command(self._home), *daemon]
        started = spawn(
            [sys.executable, str(_REAPER), *command],
            env=self._mode.environment(home),
            cwd=self._home,
            log=self.log,
        )
        wait_until(
            lambda: started.poll() is not None or self.answers(),
            within_seconds=_START_WITHIN_SECONDS,
        )
        if started.poll() is not None or not self.answers():
            with suppress(LabError):
                self.stop()
            words = tail(read(self.log))
            message = f"libvirtd does not start. Its last words ({self.log}):\n{words}"
            raise LabError(message)

    def _probe(self) -> None:
        """Connect once: the first client waits until libvirtd has asked QEMU."""
        run(
            [need("virsh"), "--connect", self.uri, "version"],
            env=clean_environment(self._home),
            within_seconds=_PROBE_WITHIN_SECONDS,
        )
