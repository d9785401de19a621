import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from lab import kinds, packages, private_view, verbs
from lab.layout import Layout
from lab.libvirt_modes import Session, System
from lab.packages import Need
from lab.processes import Process
from lab.services import Service, Step


@pytest.mark.parametrize(
    ("user", "apt_get", "there", "kind"),
    [
        (0, "/usr/bin/apt-get", False, "ceph"),
        (0, None, False, "files"),
        (1000, "/usr/bin/apt-get", False, "files"),
        (1000, None, True, "ceph"),
    ],
)
def test_ceph_is_best_where_it_is_there_or_can_be_installed(
    monkeypatch: pytest.MonkeyPatch,
    user: int,
    apt_get: str | None,
    kind: str,
    *,
    there: bool,
) -> None:
    needs = (Need("ceph-mon", "ceph-mon", lambda: there),)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(kinds, "locate", lambda _program: apt_get)
    monkeypatch.setitem(packages.NEEDS, "ceph", needs)
    assert kinds.best() == kind


class Cleared:
    """A service that says in what order it is cleared."""

    address = ""
    log = Path()

    def __init__(self, name: str, told: list[str]) -> None:
        self.name = name
        self._told = told

    def processes(self) -> list[Process]:
        return []

    def answers(self) -> bool:
        return False

    def start(self, settings: Sequence[str] = ()) -> None:
        raise AssertionError(settings)

    def stop(self) -> None:
        raise AssertionError

    def clear(self) -> None:
        self._told.append(self.name)


class TwoStoreys:
    """A lab with a service that the other needs."""

    goods: Sequence[Step] = ()

    def __init__(self, layout: Layout, told: list[str]) -> None:
        self.layout = layout
        self.foundations: Sequence[Service] = [Cleared("osd", told)]
        self.services = [*self.foundations, Cleared("guests", told)]

    def begin(self) -> None:
        raise AssertionError

    def publish(self) -> None:
        raise AssertionError


def test_what_the_others_need_is_ended_last(tmp_path: Path) -> None:
    told: list[str] = []
    verbs.down(TwoStoreys(Layout(tmp_path, "any"), told))
    assert told == ["guests", "osd"]


def test_each_kind_has_a_lock_of_its_own() -> None:
    run = Path("/srv/lab/run")
    assert Layout(run, "files").lock != Layout(run, "ceph").lock


def test_the_system_s_daemon_finds_its_user_and_writes_nowhere_else(
    tmp_path: Path,
) -> None:
    conf = System().configure(tmp_path, tmp_path).read_text()
    assert f'unix_sock_dir = "{tmp_path}/sockets"' in conf
    assert System().socket(tmp_path) == tmp_path / "sockets/libvirt-sock"
    passwd = (tmp_path / "view/etc/passwd").read_text()
    assert passwd.count("\nlibvirt-qemu:") == 1
    assert passwd.startswith("root:")
    assert all((tmp_path / "view" / name).exists() for name in private_view._SEEN)


def test_a_session_daemon_has_all_its_folders_in_the_lab(tmp_path: Path) -> None:
    Session().configure(tmp_path, tmp_path)
    environment = Session().environment(tmp_path)
    folders = [value for name, value in environment.items() if name.startswith("XDG_")]
    assert len(folders) == 4
    assert all(Path(folder).is_dir() for folder in folders)


def test_who_sees_the_machine_as_it_is_lives_in_no_lab(tmp_path: Path) -> None:
    me = Process(os.getpid(), 1, "R", ("python",))
    assert not me.lives_below(tmp_path)
    assert not Process(2**30, 1, "R", ("gone",)).lives_below(tmp_path)


@pytest.mark.parametrize("program", ["gunicorn", "qemu-system-x86_64"])
def test_what_a_killed_benchmark_left_is_ended_and_removed_with_its_lab(
    tmp_path: Path, program: str
) -> None:
    lab = Layout(tmp_path, "any")
    mine, other = (Layout(tmp_path, kind).bench("a") for kind in ("any", "other"))
    for each in (mine, other):
        each.glance.mkdir(parents=True)
    left = [program, "-c", "read line", f"{mine.glance}/conf"]
    with subprocess.Popen(left, executable="/bin/sh", stdin=subprocess.PIPE) as child:
        verbs.down(TwoStoreys(lab, []))
        assert child.wait() == -signal.SIGTERM
    assert not mine.home.exists()
    assert other.glance.is_dir()
