"""Guests under libvirt: a libvirtd that hangs, and a domain that does not start.

Needs libvirt's Python binding, and no libvirtd: a socket that accepts and says
nothing is one that is stopped.
"""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cowpath.core.errors import (
    ConflictError,
    HypervisorError,
    NotFoundError,
    UnavailableError,
)
from cowpath.core.model import Bytes, Disk, FileSource, Guest, disk_name
from cowpath.hypervisor.config import LibvirtConfig

libvirt = pytest.importorskip("libvirt")
domain = pytest.importorskip("cowpath.hypervisor.domain")

_NAME = disk_name("vm1")
_DISK = Disk(
    name=_NAME,
    size=Bytes(512),
    source=FileSource(path="/srv/disks/vm1.qcow2", backing=None),
    used=Bytes(0),
    image=None,
    base=None,
    marked=True,
)
_GUEST = Guest(_NAME, _DISK, Bytes(2**26))


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[str]:
    """Give the URI of a libvirtd that takes connections and never answers."""
    path = tmp_path / "sock"
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))
        listener.listen(16)
        yield f"qemu+unix:///session?socket={path}"


_CALLS: dict[str, Callable[[Any], object]] = {
    "looking for": lambda hypervisor: hypervisor.check_name("vm1"),
    "resuming": lambda hypervisor: hypervisor.resume("vm1"),
    "opening the console of": lambda hypervisor: hypervisor.console("vm1"),
    "removing": lambda hypervisor: hypervisor.discard("vm1"),
}


@pytest.mark.parametrize("doing", _CALLS)
def test_a_libvirtd_that_hangs_is_unavailable(
    silent: str, doing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(domain, "_ANSWER", 0.05)
    monkeypatch.setattr(domain, "_WORK", 0.05)
    hypervisor = domain.LibvirtHypervisor(LibvirtConfig(silent))
    for _ in range(2):
        with pytest.raises(UnavailableError, match=f"{doing} guest vm1.*not answer"):
            _CALLS[doing](hypervisor)


def test_starting_at_a_libvirtd_that_hangs(
    silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(domain, "_ANSWER", 0.05)
    hypervisor = domain.LibvirtHypervisor(LibvirtConfig(silent))
    with pytest.raises(UnavailableError, match="not answer"):
        hypervisor.start(_GUEST)


def test_names_are_looked_up() -> None:
    hypervisor = domain.LibvirtHypervisor(LibvirtConfig("test:///default"))
    hypervisor.check_name("vm1")
    with pytest.raises(ConflictError, match="a domain test exists"):
        hypervisor.check_name("test")
    with pytest.raises(NotFoundError, match="resuming guest vm1"):
        hypervisor.resume("vm1")
    hypervisor.discard("vm1")


class _Refusing:
    """A connection and its one domain, which does not start."""

    def __init__(self, *, undefines: bool, starts: bool = False) -> None:
        self.asked: list[str] = []
        self.go = threading.Event()
        self._undefines = undefines
        self._starts = starts

    def lookupByName(self, _name: str) -> object:  # noqa: N802 - libvirt's name
        error = libvirt.libvirtError("no such domain")
        error.err = (libvirt.VIR_ERR_NO_DOMAIN, 0, "no such domain")
        raise error

    def defineXML(self, _text: str) -> object:  # noqa: N802 - libvirt's name
        self.asked.append("define")
        return self

    def createWithFlags(self, _flags: int) -> None:  # noqa: N802 - libvirt's name
        self.asked.append("create")
        if not self._starts:
            raise libvirt.libvirtError("QEMU has no such machine")
        self.go.wait(10)

    def isActive(self) -> bool:  # noqa: N802 - libvirt's name
        return self._starts

    def destroy(self) -> None:
        self.asked.append("destroy")

    def undefine(self) -> None:
        self.asked.append("undefine")
        if not self._undefines:
            raise libvirt.libvirtError("the connection is gone")


def _with(connection: _Refusing, monkeypatch: pytest.MonkeyPatch) -> Any:
    hypervisor = domain.LibvirtHypervisor(LibvirtConfig("test:///default"))
    monkeypatch.setattr(hypervisor, "_connection", lambda: connection)
    return hypervisor


@pytest.mark.parametrize("undefines", [True, False])
def test_why_a_guest_does_not_start_is_what_is_said(
    monkeypatch: pytest.MonkeyPatch, *, undefines: bool
) -> None:
    connection = _Refusing(undefines=undefines)
    with pytest.raises(HypervisorError, match=r"starting guest vm1.*such machine"):
        _with(connection, monkeypatch).start(_GUEST)
    assert connection.asked == ["define", "create", "undefine"]


def test_a_guest_that_starts_too_late_is_removed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody waits for it any more, and its disk is about to go."""
    connection = _Refusing(undefines=True, starts=True)
    monkeypatch.setattr(domain, "_WORK", 0.05)
    see_out = domain._Call.wait

    def let_go(call: Any, within: float) -> None:
        connection.go.set()
        see_out(call, within)

    monkeypatch.setattr(domain._Call, "wait", let_go)
    with pytest.raises(UnavailableError, match="starting guest vm1"):
        _with(connection, monkeypatch).start(_GUEST)
    assert connection.asked == ["define", "create", "destroy", "undefine"]
