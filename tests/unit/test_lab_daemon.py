import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from lab.daemon import Daemon, refuse
from lab.errors import LabError
from lab.files import read, write
from lab.nova import NovaDaemon
from lab.port_block import PortBlock
from lab.processes import Process, end_all, family, find
from lab.waiting import wait_until

# It answers by a file, and starts a worker that nobody would know by its name.
SERVICE = """\
import pathlib, subprocess, sys, time
home = pathlib.Path(sys.argv[1])
if (home / "conf").read_text() == "broken":
    sys.exit("it cannot be so")
worker = subprocess.Popen(["sleep", "60"])
(home / "worker").write_text(str(worker.pid))
(home / "answer").touch()
time.sleep(60)
"""


class Napper(Daemon):
    """A program that does nothing."""

    programs = ("napper",)
    grace_seconds = 0.3
    start_within_seconds = 10.0
    address = "-"

    def __init__(self, home: Path) -> None:
        super().__init__("napper", home)
        self.prepared = 0

    def answers(self) -> bool:
        return (self.home / "answer").exists()

    def prepare(self) -> None:
        self.prepared += 1
        write(self.home / "napper.py", SERVICE)
        (self.home / "answer").unlink(missing_ok=True)

    def configuration(self, settings: Sequence[str]) -> Mapping[Path, str]:
        return {self.home / "conf": "".join(settings)}

    def command(self) -> Sequence[str]:
        return [sys.executable, str(self.home / "napper.py"), f"{self.home}/"]

    def environment(self) -> Mapping[str, str]:
        return {"PATH": "/usr/bin:/bin"}


def pids(daemon: Daemon) -> set[int]:
    return {process.pid for process in daemon.processes()}


def test_a_running_one_is_left_alone_until_its_configuration_would_change(
    tmp_path: Path,
) -> None:
    napper = Napper(tmp_path)
    napper.start()
    first = pids(napper)
    napper.start()
    assert (napper.prepared, pids(napper)) == (1, first)
    napper.start(["loud"])
    second = pids(napper)
    assert not second & first
    napper.start()
    assert not pids(napper) & second
    assert napper.prepared == 3
    napper.stop()
    assert pids(napper) == set()


def test_what_it_started_ends_with_it(tmp_path: Path) -> None:
    napper = Napper(tmp_path)
    napper.start()
    worker = int(read(tmp_path / "worker"))
    assert worker in pids(napper)
    napper.stop()
    assert wait_until(lambda: not is_running(worker), within_seconds=5)


def is_running(pid: int) -> bool:
    return "sleep" in read(Path(f"/proc/{pid}/cmdline"))


def test_who_waits_for_one_that_does_not_start_is_told_at_once(tmp_path: Path) -> None:
    napper = Napper(tmp_path)
    napper.is_coming = True
    complaints: list[str] = []

    def wait() -> None:
        with pytest.raises(LabError, match="is needed") as raised:
            napper.wait()
        complaints.append(str(raised.value))

    waiting = threading.Thread(target=wait)
    waiting.start()
    with pytest.raises(LabError, match="it cannot be so"):
        napper.start(["broken"])
    waiting.join(timeout=10)
    assert str(napper.log) in complaints[0]


def test_settings_that_a_service_does_not_know_are_refused() -> None:
    refuse("rabbitmq", [])
    with pytest.raises(LabError, match="rabbitmq takes no --set"):
        refuse("rabbitmq", ["a.b=c"])


def test_a_session_that_we_did_not_begin_is_not_ours() -> None:
    process = Process(10**7, 1, "S", ("nova",), session=1)
    assert family([process]) == [process]
    assert family([]) == []


def test_nothing_to_end_is_ended() -> None:
    assert end_all(list, grace_seconds=0)
    assert find("no-such-program", "/nowhere") == []


class Speaker(NovaDaemon):
    """A service of Nova's that only has a log."""

    programs = ()

    def processes(self) -> list[Process]:
        return [Process(1, 0, "S", ("nova-compute",))]

    def prepare(self) -> None:
        raise AssertionError

    def configuration(self, settings: Sequence[str]) -> Mapping[Path, str]:
        raise AssertionError(settings)

    def command(self) -> Sequence[str]:
        raise AssertionError

    def environment(self) -> Mapping[str, str]:
        raise AssertionError


def test_a_service_of_nova_is_ready_when_it_said_so_since_it_was_started(
    tmp_path: Path,
) -> None:
    speaker = Speaker("nova-compute", tmp_path)
    assert not speaker.answers()
    ready = "DEBUG nova.service Join ServiceGroup membership for this service compute\n"
    write(speaker.log, f"Starting\n{ready}")
    assert speaker.answers()
    speaker.mark_log()
    assert not speaker.answers()
    with speaker.log.open("a") as log:
        log.write(f"Starting\n{ready}")
    assert speaker.answers()


def test_a_block_of_ports_is_chosen_once(tmp_path: Path) -> None:
    names = ("keystone", "glance")
    block = PortBlock(tmp_path / "ports", names, 21000)
    assert block.port("glance") == block.port("keystone") + 1
    block.ensure()
    kept = read(tmp_path / "ports")
    PortBlock(tmp_path / "ports", names, 23000).ensure()
    assert read(tmp_path / "ports") == kept
    port = int(kept) + 1
    assert block.url("glance", "/v2") == f"http://127.0.0.1:{port}/v2"
