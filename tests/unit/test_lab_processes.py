import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab import processes
from lab.processes import Process
from lab.waiting import wait_until

HOME = Path("/srv/lab/run/files/glance")


def seen(*arguments: str, pid: int = 7, state: str = "S") -> Process:
    found = processes.parse(
        f"{pid} (any) {state} 1 7 7", b"\0".join(map(os.fsencode, arguments)) + b"\0"
    )
    assert found is not None
    return found


def test_a_name_with_parentheses_and_spaces_does_not_shift_the_fields() -> None:
    found = processes.parse("12 (a) S (b) R 34 12 11 0", b"/bin/a\0-x\0")
    assert found == Process(12, 34, "R", ("/bin/a", "-x"), 11)


@pytest.mark.parametrize("state", ["Z", "X"])
def test_the_dead_are_not_there(state: str) -> None:
    assert processes.parse(f"12 (libvirtd) {state} 1 1 1", b"") is None
    assert processes.parse(f"12 (libvirtd) {state} 1 1 1", b"libvirtd\0") is None


def test_kernel_threads_are_not_there() -> None:
    assert processes.parse("2 (kthreadd) S 0 0 0", b"") is None


@pytest.mark.parametrize(("state", "stopped"), [("T", True), ("t", True), ("S", False)])
def test_a_suspended_process_is_known(state: str, *, stopped: bool) -> None:
    assert seen("x", state=state).stopped is stopped


@pytest.mark.parametrize(
    "arguments",
    [
        ("/v/bin/python", "/v/bin/gunicorn", "--config", f"{HOME}/gunicorn.conf.py"),
        (f"gunicorn: master [{HOME}/]",),
        (f"gunicorn: worker [{HOME}/]",),
    ],
)
def test_gunicorn_is_found_before_and_after_it_renames_itself(
    arguments: tuple[str, ...],
) -> None:
    found = seen(*arguments)
    assert found.runs("gunicorn")
    assert found.mentions(HOME)


def test_an_editor_that_has_a_file_of_the_lab_open_is_no_service() -> None:
    editor = seen("/usr/bin/vim", f"{HOME}/gunicorn.conf.py")
    assert editor.mentions(HOME)
    assert not editor.runs("gunicorn")


def test_the_service_of_another_checkout_is_not_ours() -> None:
    other = seen("/v/bin/gunicorn", "--config", f"{HOME}-2/gunicorn.conf.py")
    assert not other.mentions(HOME)


def test_a_service_is_started_found_and_ended(tmp_path: Path) -> None:
    program = tmp_path / "napper.py"
    program.write_text("import time\ntime.sleep(60)\n")
    with processes.spawn(
        [sys.executable, str(program)], env={}, cwd=tmp_path, log=tmp_path / "log"
    ) as started:
        # A program that has just begun has no arguments in /proc for a moment.
        wait_until(lambda: bool(processes.find("napper", tmp_path)), within_seconds=10)
        found = processes.find("napper", tmp_path)
        assert [each.pid for each in found] == [started.pid]
        assert processes.end("napper", tmp_path, grace_seconds=10)
        assert started.wait() == -signal.SIGTERM
    assert processes.find("napper", tmp_path) == []


def test_a_service_that_ignores_being_asked_is_killed(tmp_path: Path) -> None:
    program = tmp_path / "stubborn.py"
    program.write_text(
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('deaf', flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, str(program)], stdout=subprocess.PIPE
    ) as started:
        assert started.stdout is not None
        started.stdout.readline()
        assert processes.end("stubborn", tmp_path, grace_seconds=0.1)
        assert started.wait() == -signal.SIGKILL


def test_all_unrelated_processes_are_asked_not_only_the_first(tmp_path: Path) -> None:
    program = tmp_path / "guest.py"
    program.write_text("import time\nprint('up', flush=True)\ntime.sleep(60)\n")
    argv = [sys.executable, str(program)]
    pipe = subprocess.PIPE
    with (
        subprocess.Popen(argv, stdout=pipe) as one,
        subprocess.Popen(argv, stdout=pipe) as other,
    ):
        for started in (one, other):
            assert started.stdout is not None
            started.stdout.readline()
        assert processes.end("guest", tmp_path, grace_seconds=10)
        assert {one.wait(), other.wait()} == {-signal.SIGTERM}
