"""Glance stopped, killed and started again under a copy; what it leaves is mended."""

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from tests.lab.bench import EDGE, Bench, Ran, finished, follow, noise, size_of
from tests.lab.proxy import Proxy

pytestmark = pytest.mark.lab

_MIB = 2**20
_LARGE = 24
_JSON = {"COWPATH_PROGRESS": "json"}


@pytest.fixture(autouse=True)
def _started(bench: Bench) -> Iterator[None]:
    """Start Glance again where a test left it dead."""
    yield
    bench.service("glance", "start")


def _partial(path: Path) -> bool:
    return 0 < size_of(path) < _LARGE * _MIB


@contextmanager
def _placing(bench: Bench, image: str, conf: str = "") -> Iterator[list[Ran]]:
    """Bring an image here meanwhile; give what became of that when it is over."""
    ended: list[Ran] = []
    words = ("image", "place", image)
    with bench.start(*words, conf=conf, **_JSON) as placing:
        # Somebody reads what it says, or it would wait for that one day.
        reading = Thread(target=lambda: ended.append(finished(placing)))
        reading.start()
        try:
            yield ended
            reading.join()
        finally:
            placing.kill()


def _dead_in(bench: Bench, image: str, part: Path, conf: str) -> Ran:
    """Kill Glance while `part` of a copy is written; return what its follower said."""
    with _placing(bench, image, conf) as ended:
        with bench.glance_held(lambda: _partial(part), f"a part of {part}"):
            bench.kill_glance()
        assert _partial(part)
    (ran,) = ended
    return ran


def _impatient(bench: Bench, folder: Path, site: str = EDGE, **more: str | int) -> str:
    usual: dict[str, str | int] = {
        "images_rbd_glance_copy_poll_interval": 1,
        "images_rbd_glance_copy_timeout": 60,
        "copy_stall": 2,
        "copy_queue_timeout": 2,
    }
    chosen = usual | more
    return bench.conf(folder, site=site, **chosen)


def _is_whole(bench: Bench, image: str, content: bytes) -> None:
    told = bench.show(image)
    assert told["stores"] == f"central,{EDGE}"
    assert "os_glance_import_task" not in told
    assert bench.glance_file(image).read_bytes() == content


def test_stopped_and_started_again_under_a_copy(bench: Bench, tmp_path: Path) -> None:
    """Every look that was not answered was told, and none ended it."""
    content = b"".join(noise(_LARGE))
    image = bench.upload(content)
    part, proxy = bench.glance_file(image), Proxy(bench.lab["proxy"]["url"])
    conf = proxy.site(bench.lab["sites"][EDGE], tmp_path)
    # Looks at the copy wait, or one might show its end before Glance is gone.
    wait = {"method": "GET", "path": f"{image}$", "after": 1, "delay_seconds": 60}
    with (
        proxy.faulty(wait),
        bench.start("image", "place", image, conf=conf, **_JSON) as placing,
    ):
        assert placing.stderr
        with bench.glance_held(lambda: _partial(part), "a part of the copy"):
            bench.terminate_glance()
        bench.service("glance", "stop")
        proxy.clear()
        for _ in range(3):
            follow(placing.stderr, "LookFailed")
        bench.service("glance", "start")
        ran = finished(placing)
    assert ran.code == 0, ran
    assert len(ran.told("CopyFinished")) == 1
    assert bench.copies(image) == 1
    _is_whole(bench, image, content)


def test_killed_while_staging(bench: Bench, tmp_path: Path) -> None:
    content = b"".join(noise(_LARGE))
    image = bench.upload(content)
    # It may pass a dead lock, and this one is fresh: it does not ask.
    conf = _impatient(
        bench, tmp_path, images_rbd_glance_copy_timeout=10, pass_dead_lock_after=3600
    )
    ran = _dead_in(bench, image, bench.staged(image), conf)
    ((task, state),) = bench.tasks(image)
    assert (ran.code, state) == (8, "processing"), ran
    assert f"task {task} holds the lock" in ran.err
    assert "pass_dead_lock_after" in ran.err
    assert not bench.glance_file(image).exists()
    # Another site cannot have it either, and knows why.
    elsewhere = _impatient(bench, tmp_path, site="edge2")
    queued = bench.run("image", "place", image, conf=elsewhere, site="edge2")
    assert queued.code == 8, queued
    assert f"task {task}" in queued.err
    assert "was never asked for" in queued.err
    assert bench.copies(image) == 1
    _lock_is_passed_when_old(bench, image, tmp_path)
    _is_whole(bench, image, content)


def _lock_is_passed_when_old(bench: Bench, image: str, folder: Path) -> None:
    allowed = _impatient(bench, folder, pass_dead_lock_after=3600)
    bench.age(image)
    ran = bench.run("image", "place", image, conf=allowed, **_JSON)
    assert ran.code == 0, ran
    warned = [each["text"] for each in ran.told("Warned")]
    assert sum("[cowpath] pass_dead_lock_after" in text for text in warned) == 1
    assert bench.copies(image) == 2
    assert [state for _, state in bench.tasks(image)] == ["failure", "success"]


def test_killed_while_storing(bench: Bench, tmp_path: Path) -> None:
    """Step by step: the lock is passed, and then the leftover is set aside."""
    content = b"".join(noise(_LARGE))
    image = bench.upload(content)
    ran = _dead_in(bench, image, bench.glance_file(image), _impatient(bench, tmp_path))
    assert ran.code == 19, ran
    ((task, _),) = bench.tasks(image)
    assert f"lock remains (task {task})" in ran.err
    assert "pass_dead_lock_after" in ran.err
    left = bench.glance_file(image).read_bytes()
    assert f"{len(left)} of {len(content)} bytes there" in ran.err
    bench.age(image)
    passing = _impatient(bench, tmp_path, pass_dead_lock_after=3600)
    failed = bench.run("image", "place", image, conf=passing)
    assert (failed.code, bench.copies(image)) == (7, 2), failed
    assert f"{len(left)} bytes that a broken copy left" in failed.err
    assert bench.glance_file(image).read_bytes() == left
    mending = _impatient(bench, tmp_path, set_aside_leftovers="true")
    _set_aside(bench, image, mending, left)
    assert bench.copies(image) == 3
    _is_whole(bench, image, content)


def _set_aside(bench: Bench, image: str, conf: str, left: bytes) -> None:
    ran = bench.run("image", "place", image, "--json", conf=conf, **_JSON)
    assert ran.code == 0, ran
    (moved,) = ran.told("LeftoverSetAside")
    assert moved["leftover"]["present"] == len(left)
    (kept,) = (bench.disks() / "leftovers").glob(f"{image}*")
    assert str(kept) in moved["kept"]
    assert kept.read_bytes() == left
    kept.unlink()


def test_lock_and_leftover_in_one_call(bench: Bench, tmp_path: Path) -> None:
    content = b"".join(noise(_LARGE))
    image = bench.upload(content)
    ran = _dead_in(bench, image, bench.glance_file(image), _impatient(bench, tmp_path))
    assert ran.code == 19, ran
    left = bench.glance_file(image).read_bytes()
    bench.age(image)
    allowed = _impatient(
        bench, tmp_path, pass_dead_lock_after=3600, set_aside_leftovers="true"
    )
    _set_aside(bench, image, allowed, left)
    # One took the lock over and met the leftover; the next made the copy.
    assert bench.copies(image) == 3
    _is_whole(bench, image, content)


@pytest.mark.parametrize("allowed", [False, True], ids=["by hand", "allowed"])
def test_refused_for_its_hash(bench: Bench, tmp_path: Path, *, allowed: bool) -> None:
    """Glance takes what it finds staged by its size; at the end it is not the image."""
    content, wrong = (os.urandom(4 * _MIB) for _ in range(2))
    image = bench.upload(content)
    bench.staged(image).write_bytes(wrong)
    conf = bench.conf(tmp_path, set_aside_leftovers=str(allowed))
    if allowed:
        _set_aside(bench, image, conf, wrong)
    else:
        _by_hand(bench, image, wrong)
    assert bench.copies(image) == 2
    _is_whole(bench, image, content)


def _by_hand(bench: Bench, image: str, wrong: bytes) -> None:
    ran = bench.run("image", "place", image)
    assert ran.code == 7, ran
    assert f"{len(wrong)} bytes that a broken copy left" in ran.err
    assert bench.glance_file(image).read_bytes() == wrong
    blocked = bench.run("image", "place", image, **_JSON)
    assert (blocked.code, bench.copies(image)) == (20, 1), blocked
    said = blocked.told("Error")[0]["error"]["message"]
    cure = re.search(r"mkdir -p \S+ && mv -n \S+ \S+", said)
    assert cure, said
    for command in cure[0].rstrip(".").split(" && "):
        subprocess.run(shlex.split(command), check=True)
    (kept,) = (bench.disks() / "leftovers").glob(f"{image}*")
    assert kept.read_bytes() == wrong
    kept.unlink()
    again = bench.run("image", "place", image)
    assert again.code == 0, again
