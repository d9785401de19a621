"""The two ways to run a libvirtd that leaves the machine as it was."""

import os
import pwd
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from lab.errors import LabError
from lab.files import read, write
from lab.programs import clean_environment, need, run

_VIEW = Path(__file__).with_name("private_view.py")
_HOSTS = uuid.UUID("0c7b5a0e-3f0e-4a53-9d0b-6f1f6f1d3c11")

_LIBVIRTD_CONF = """\
listen_tls = 0
listen_tcp = 0
auth_unix_ro = "none"
auth_unix_rw = "none"
log_outputs = "3:stderr"
"""

# No virtlogd, no cgroups, no security labels: none of them is there without root,
# nor without systemd.
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

_SYSTEM_LIBVIRTD_CONF = """\
unix_sock_dir = "{sockets}"
unix_sock_rw_perms = "0700"
unix_sock_ro_perms = "0700"
"""

_SYSTEM_QEMU_CONF = """\
user = "root"
group = "root"
clear_emulator_capabilities = 0
"""


class Mode(Protocol):
    """How a libvirtd is run."""

    @property
    def driver(self) -> str:
        """The path in its URI."""

    def socket(self, home: Path) -> Path:
        """Return where clients reach it, below its folder's short path."""

    def configure(self, home: Path, short_home: Path) -> Path:
        """Write its configuration and make its folders; return libvirtd.conf."""

    def environment(self, short_home: Path) -> Mapping[str, str]:
        """Return its environment."""

    def command(self, home: Path) -> list[str]:
        """Return what has to stand before the program.

        Raises:
            LabError: The machine does not allow it.
        """


class Session:
    """A user's own daemon: no root.

    libvirtd run by root is always the system's daemon. So for root it runs in a user
    namespace where root is mapped to an ordinary user: it takes itself for that
    user's session daemon, and still owns root's files.
    """

    driver = "session"

    def socket(self, home: Path) -> Path:
        """Where a session daemon has it below XDG_RUNTIME_DIR."""
        return home / "run/libvirt/libvirt-sock"

    def configure(self, home: Path, short_home: Path) -> Path:  # noqa: ARG002
        """Make the folders that XDG's variables will name."""
        conf = home / "libvirtd.conf"
        write(conf, _LIBVIRTD_CONF)
        write(home / "config/libvirt/qemu.conf", _QEMU_CONF)
        for name in ("run", "cache", "data"):
            (home / name).mkdir(mode=0o700, exist_ok=True)
        return conf

    def environment(self, short_home: Path) -> Mapping[str, str]:
        """Name folders of its own in the place of the user's."""
        return clean_environment(
            short_home,
            XDG_RUNTIME_DIR=str(short_home / "run"),
            XDG_CONFIG_HOME=str(short_home / "config"),
            XDG_CACHE_HOME=str(short_home / "cache"),
            XDG_DATA_HOME=str(short_home / "data"),
        )

    def command(self, home: Path) -> list[str]:  # noqa: ARG002
        """For root, make it take itself for a user's program."""
        if os.geteuid() != 0:
            return []
        # libvirt looks the user up by name, so it has to be one that exists.
        user = next(entry for entry in pwd.getpwall() if entry.pw_uid)
        ids = [f"--map-user={user.pw_uid}", f"--map-group={user.pw_gid}"]
        return _allowed([need("unshare"), "--user", *ids], "user namespace")


class System:
    """The system's daemon, as on a compute host; root only.

    Its paths are fixed: so it and its guests live in a mount namespace where folders
    of the lab stand in the place of the machine's. The namespace ends with the last
    of them.
    """

    driver = "system"

    def __init__(self, host: str = "") -> None:
        """Know whose daemon it is.

        Args:
            host: The name and the identity of the host that it takes itself to be on;
                the machine's own by default.
        """
        self._host = host

    def socket(self, home: Path) -> Path:
        """In the lab's folder, which is the same inside and outside."""
        return home / "sockets/libvirt-sock"

    def configure(self, home: Path, short_home: Path) -> Path:
        """Make what will stand in the place of the machine's own folders."""
        view = home / "view"
        conf = home / "libvirtd.conf"
        sockets = _SYSTEM_LIBVIRTD_CONF.format(sockets=short_home / "sockets")
        write(conf, _LIBVIRTD_CONF + sockets + self._identity())
        write(view / "etc/libvirt/qemu.conf", _QEMU_CONF + _SYSTEM_QEMU_CONF)
        for folder in ("run/lock", "var/lib", "var/cache", "var/log"):
            (view / folder).mkdir(parents=True, exist_ok=True)
        (home / "sockets").mkdir(mode=0o700, exist_ok=True)
        # It refuses to start without this user, whoever is to run its guests.
        for name, line in (
            ("passwd", "libvirt-qemu:x:64055:64055::/var/lib/libvirt:/bin/false"),
            ("group", "libvirt-qemu:x:64055:"),
        ):
            known = read(Path("/etc") / name)
            more = "" if "\nlibvirt-qemu:" in known else f"{line}\n"
            write(view / "etc" / name, known + more)
        if self._host:
            write(view / "etc/hostname", f"{self._host}\n")
            write(view / "etc/hosts", f"127.0.0.1 {self._host}\n127.0.0.1 localhost\n")
        return conf

    def _identity(self) -> str:
        """Say which machine it is on: two hosts of a cloud must not be the same."""
        if not self._host:
            return ""
        return f'host_uuid = "{uuid.uuid5(_HOSTS, self._host)}"\n'

    def environment(self, short_home: Path) -> Mapping[str, str]:
        """Nothing but a home."""
        return clean_environment(short_home)

    def command(self, home: Path) -> list[str]:
        """Make it see the lab's folders in the place of the machine's."""
        private = ["--mount", "--propagation", "private"]
        name = ["--uts"] if self._host else []
        unshare = _allowed([need("unshare"), *private, *name], "mount namespace")
        return [*unshare, sys.executable, str(_VIEW), str(home / "view")]


def _allowed(command: list[str], what: str) -> list[str]:
    try:
        run([*command, need("true")], env=clean_environment(Path("/")))
    except LabError as error:
        message = (
            f"This machine allows root no {what}, without which libvirtd would "
            f"write to the machine's own folders. Run the lab as an ordinary user.\n"
            f"{error}"
        )
        raise LabError(message) from error
    return command
