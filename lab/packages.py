"""What the lab needs of the machine, and which Debian package has it."""

import importlib.util
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError
from lab.programs import locate, run

KERNEL_METAPACKAGES = ("linux-image-cloud-amd64", "linux-image-virtual")

_PT_INTERP = 3
_POLICY = Path("/usr/sbin/policy-rc.d")
_OURS = b"#!/bin/sh\n# made by Cowpath's lab while it installs packages\nexit 101\n"
_BINDINGS = "/usr/lib/python3/dist-packages"


@dataclass(frozen=True, slots=True)
class Need:
    """One thing that has to be on the machine.

    Attributes:
        what: How a person would name it.
        package: The Debian package that has it; empty where `apt-get update` helps.
        present: Whether it is there.
    """

    what: str
    package: str
    present: Callable[[], bool]


def _command(program: str, package: str) -> Need:
    return Need(program, package, lambda: locate(program) is not None)


def _file(what: str, pattern: str, package: str) -> Need:
    relative = pattern.removeprefix("/")
    return Need(what, package, lambda: any(Path("/").glob(relative)))


def is_static(program: Path) -> bool:
    """Tell whether a program is a 64-bit ELF file that needs no shared library.

    The guest's initramfs holds busybox and nothing else: with Debian's `busybox`
    in the place of `busybox-static` its kernel would find no init.
    """
    try:
        image = program.read_bytes()
    except OSError:
        return False
    if not image.startswith(b"\x7fELF\x02"):
        return False
    (table,) = struct.unpack_from("<Q", image, 32)
    size, count = struct.unpack_from("<HH", image, 54)
    kinds = [struct.unpack_from("<I", image, table + size * i)[0] for i in range(count)]
    return _PT_INTERP not in kinds


def busybox() -> Path | None:
    """Return a busybox that runs without libraries, or None."""
    candidates = (Path("/bin/busybox"), Path("/usr/bin/busybox"))
    return next((path for path in candidates if is_static(path)), None)


def kernel_package() -> str | None:
    """Return the package with the newest small kernel that apt knows, or None."""
    apt_cache = locate("apt-cache")
    if apt_cache is None:
        return None
    for metapackage in KERNEL_METAPACKAGES:
        try:
            said = run([apt_cache, "depends", "--important", metapackage])
        except LabError:
            continue
        for line in said.splitlines():
            name = line.strip().removeprefix("Depends: ")
            if name.startswith("linux-image-") and name != metapackage:
                return name
    return None


def _can_make_environments() -> bool:
    return bool(
        Path(os.environ.get("LAB_UV", "")).is_file()
        or locate("uv")
        or importlib.util.find_spec("ensurepip")
    )


_ENVIRONMENT = (
    Need("python3 -m venv (or uv)", "python3-venv", _can_make_environments),
    _file("certificates", "/etc/ssl/certs/ca-certificates.crt", "ca-certificates"),
)
_LIBVIRT = (
    _command("libvirtd", "libvirt-daemon"),
    _file(
        "libvirt's QEMU driver",
        "/usr/lib/*/libvirt/connection-driver/libvirt_driver_qemu.so",
        "libvirt-daemon-driver-qemu",
    ),
    _command("virsh", "libvirt-clients"),
    _file(
        "libvirt for python3",
        f"{_BINDINGS}/libvirt.py",
        "python3-libvirt",
    ),
    _command("qemu-system-x86_64", "qemu-system-x86"),
    _command("qemu-img", "qemu-utils"),
)
_GUEST = (
    _command("syslinux", "syslinux"),
    _file("syslinux's MBR", "/usr/lib/*/mbr.bin", "syslinux"),
    _command("mcopy", "mtools"),
    Need("a static busybox", "busybox-static", lambda: busybox() is not None),
    _command("dpkg-deb", "dpkg"),
    Need("a kernel to download", "", lambda: kernel_package() is not None),
)

_CEPH = (
    _command("ceph-mon", "ceph-mon"),
    _command("ceph-osd", "ceph-osd"),
    _command("ceph-mgr", "ceph-mgr"),
    _command("rbd", "ceph-common"),
    _file("rados for python3", f"{_BINDINGS}/rados.*.so", "python3-rados"),
    _file("rbd for python3", f"{_BINDINGS}/rbd.*.so", "python3-rbd"),
    _file("QEMU's RBD driver", "/usr/lib/*/qemu/block-rbd.so", "qemu-block-extra"),
)

_OPENSTACK = (
    _command("mariadbd", "mariadb-server"),
    _command("mariadb-install-db", "mariadb-server"),
    _command("mariadb", "mariadb-server"),
    _file("RabbitMQ", "/usr/lib/rabbitmq/bin/rabbitmq-server", "rabbitmq-server"),
    _command("epmd", "rabbitmq-server"),
)

_WSGI_SERVERS = (
    _file("uWSGI's http", "/usr/lib/uwsgi/plugins/http_plugin.so", "uwsgi-core"),
    _file(
        "uWSGI's python3",
        "/usr/lib/uwsgi/plugins/python3_plugin.so",
        "uwsgi-plugin-python3",
    ),
    _command("apache2", "apache2-bin"),
    _file(
        "mod_wsgi",
        "/usr/lib/apache2/modules/mod_wsgi.so",
        "libapache2-mod-wsgi-py3",
    ),
)

NEEDS = {
    "check": _ENVIRONMENT,
    "files": _ENVIRONMENT + _LIBVIRT + _GUEST,
    "ceph": _ENVIRONMENT + _LIBVIRT + _GUEST + _CEPH,
    "openstack": _ENVIRONMENT + _LIBVIRT + _GUEST + _CEPH + _OPENSTACK,
    "wsgi": _ENVIRONMENT + _WSGI_SERVERS,
}
"""What `packages --for` knows: the kinds of lab, and the project's own checks."""


def missing(needs: Iterable[Need]) -> list[Need]:
    """Return the needs that this machine does not meet."""
    return [need for need in needs if not need.present()]


def apt_lines(needs: Iterable[Need]) -> list[list[str]]:
    """Return the commands that bring what is missing.

    Args:
        needs: What is missing.

    Returns:
        One or two `apt-get` command lines.
    """
    packages = sorted({need.package for need in needs if need.package})
    lines = [["apt-get", "update"]]
    if packages:
        install = ["apt-get", "install", "-y", "--no-install-recommends"]
        lines.append([*install, *packages])
    return lines


def describe(needs: Iterable[Need]) -> str:
    """Return a list of what is missing, and the line that brings it."""
    absent = list(needs)
    rows = [f"  {need.what:28} {need.package or 'apt-get update'}" for need in absent]
    lines = " && ".join(f"sudo {' '.join(line)}" for line in apt_lines(absent))
    return "\n".join([*rows, "To install what is missing:", f"  {lines}"])


def install(needs: Iterable[Need]) -> None:
    """Install what is missing with apt-get.

    Args:
        needs: What is missing.

    Raises:
        LabError: Not root, no apt-get, or apt-get failed.
    """
    absent = list(needs)
    apt_get = locate("apt-get")
    if apt_get is None:
        raise LabError(
            "Only Debian's and Ubuntu's apt-get is known here. Install what provides:\n"
            + describe(absent)
        )
    if os.geteuid() != 0:
        raise LabError("Only root can install packages.\n" + describe(absent))
    with _no_daemons():
        _apt_get(apt_get, apt_lines(absent))


@contextmanager
def _no_daemons() -> Iterator[None]:
    """Have packages start no daemons: the lab has its own, on its own ports.

    Debian asks this program, where it is, before it starts one.
    """
    theirs = _POLICY.exists() and _POLICY.read_bytes() != _OURS
    if theirs or not _POLICY.parent.is_dir():
        yield
        return
    # One of ours that a kill left behind is taken for this call's.
    _POLICY.write_bytes(_OURS)
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink(missing_ok=True)


def _apt_get(apt_get: str, lines: Iterable[Sequence[str]]) -> None:
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for line in lines:
        print(f"# {' '.join(line)}", file=sys.stderr, flush=True)
        done = subprocess.run(
            [apt_get, *line[1:]], env=env, stdout=sys.stderr, check=False
        )
        if done.returncode:
            message = f"`{' '.join(line)}` failed; its messages are above."
            raise LabError(message)
