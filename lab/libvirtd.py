"""libvirtd in session mode: no root, no systemd, nothing outside the lab.

libvirtd run by root is always the system's daemon, with /etc and /var/lib for its
files. So for root it runs in a user namespace where root is mapped to an ordinary
user: it takes itself for that user's session daemon, and still owns root's files.
"""

import os
import pwd
import socket
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lab.errors import LabError
from lab.files import read, write
from lab.layout import Layout
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

_LIBVIRTD_CONF = """\
listen_tls = 0
listen_tcp = 0
auth_unix_ro = "none"
auth_unix_rw = "none"
log_outputs = "3:file:{log}"
"""

# No virtlogd, no cgroups, no security labels: none of them is there without root.
_QEMU_CONF = """\
stdio_handler = "file"
security_driver = "none"
namespaces = []
cgroup_controllers = []
seccomp_sandbox = 0
dynamic_ownership = 0
remember_owner = 0
max_core = 0
"""


class Libvirtd:
    """The lab's libvirtd."""

    name = "libvirtd"

    def __init__(self, layout: Layout) -> None:
        self._home = layout.libvirt
        self._link_record = self._home / "short-path"

    @property
    def uri(self) -> str:
        """What a client connects to."""
        return f"qemu:///session?socket={self._socket}"

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
        return self._short_home / "run/libvirt/libvirt-sock"

    @property
    def _conf(self) -> Path:
        return self._home / "libvirtd.conf"

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

    def start(self, settings: Sequence[str] = ()) -> None:
        """Make its folders and configuration, and start it."""
        if settings:
            raise LabError("libvirtd takes no --set; only glance does.")
        if self.processes() and self.answers():
            return
        self.stop()
        self._make_short_path()
        self._make_configuration()
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
        """Make a short way to our folder where the checkout lies too deep."""
        self._home.mkdir(parents=True, exist_ok=True)
        longest = len(os.fsencode(self._home)) + len(_LONGEST_TAIL)
        if longest <= _LONGEST_SOCKET_PATH or self._is_ours(self._short_home):
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

    def _make_configuration(self) -> None:
        write(self._conf, _LIBVIRTD_CONF.format(log=self.log))
        write(self._home / "config/libvirt/qemu.conf", _QEMU_CONF)
        for name in ("run", "cache", "data"):
            (self._home / name).mkdir(mode=0o700, exist_ok=True)

    def _spawn(self) -> None:
        home = self._short_home
        command = [*_as_ordinary_user(), need("libvirtd"), "--config", str(self._conf)]
        started = spawn(
            [sys.executable, str(_REAPER), *command],
            env=clean_environment(
                home,
                XDG_RUNTIME_DIR=str(home / "run"),
                XDG_CONFIG_HOME=str(home / "config"),
                XDG_CACHE_HOME=str(home / "cache"),
                XDG_DATA_HOME=str(home / "data"),
            ),
            cwd=self._home,
            log=self._home / "libvirtd.out",
        )
        wait_until(
            lambda: started.poll() is not None or self.answers(),
            within_seconds=_START_WITHIN_SECONDS,
        )
        if started.poll() is not None or not self.answers():
            with suppress(LabError):
                self.stop()
            logs = tail(read(self._home / "libvirtd.out")) + "\n" + tail(read(self.log))
            message = f"libvirtd does not start. Its last words ({self.log}):\n{logs}"
            raise LabError(message)

    def _probe(self) -> None:
        """Connect once: the first client waits until libvirtd has asked QEMU."""
        run(
            [need("virsh"), "--connect", self.uri, "version"],
            env=clean_environment(self._home),
            within_seconds=_PROBE_WITHIN_SECONDS,
        )


def _as_ordinary_user() -> list[str]:
    """Return what makes a program started by root take itself for a user's."""
    if os.geteuid() != 0:
        return []
    # libvirt looks the user up by name, so it has to be one that exists.
    user = next(entry for entry in pwd.getpwall() if entry.pw_uid)
    ids = [f"--map-user={user.pw_uid}", f"--map-group={user.pw_gid}"]
    command = [need("unshare"), "--user", *ids]
    try:
        run([*command, need("true")], env=clean_environment(Path("/")))
    except LabError as error:
        message = (
            "This machine allows root no user namespace, without which libvirtd would "
            f"be the system's. Run the lab as an ordinary user.\n{error}"
        )
        raise LabError(message) from error
    return command
