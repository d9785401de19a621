"""Copies by the lab's own Glance, with our door in it: users see Glance's own API."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.lab.bench import Bench, noise, tool
from tests.lab.glance_door import SLOW, TO_COME, Door

pytestmark = pytest.mark.lab

_MIB = 2**20


@contextmanager
def _full(store: Path) -> Iterator[None]:
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small tmpfs over a store")
    tool("mount", "-t", "tmpfs", "-o", "size=3m,mode=755", "tmpfs", store)
    try:
        yield
    finally:
        tool("umount", "--lazy", store)


def _content(bench: Bench, image: str, site: str) -> bytes:
    return bench.glance_file(image, site).read_bytes()


def _sparse() -> list[bytes]:
    return [*noise(4), bytes(60 * _MIB), *noise(1)]


def test_a_copy_is_the_image_and_takes_no_more_room(door: Door) -> None:
    bench, content = door.bench, _sparse()
    image = bench.upload(content)
    task = door.copied(image, "edge1")
    assert (task["status"], task["message"]) == ("success", "Copied to edge1.")
    assert task["result"] == {"image_id": image}
    assert bench.stores(image) == {"central", "edge1"}
    assert _content(bench, image, "edge1") == b"".join(content)
    assert bench.glance_file(image).stat().st_blocks * 512 < 8 * _MIB
    told = bench.show(image)
    assert told["os_glance_importing_to_stores"] == ""
    assert told["os_glance_failed_import"] == ""
    assert not bench.staged(image).exists()
    assert door.records == []


def test_several_stores_and_all_of_them(door: Door) -> None:
    bench = door.bench
    image = bench.upload(noise(3))
    assert door.copied(image, "edge1", "edge10")["status"] == "success"
    assert bench.stores(image) == {"central", "edge1", "edge10"}
    assert door.copied(image)["status"] == "success"
    assert bench.stores(image) == {"central", "edge1", "edge10", "edge2"}
    assert len({_content(bench, image, site) for site in bench.lab["stores"]}) == 1


@pytest.mark.parametrize(
    ("must", "status", "there"),
    [(True, "failure", {"central"}), (False, "success", {"central", "edge1"})],
)
def test_a_full_store(door: Door, must: bool, status: str, there: set[str]) -> None:  # noqa: FBT001
    bench = door.bench
    image = bench.upload(noise(8))
    with _full(Path(bench.lab["stores"]["edge2"])):
        task = door.copied(image, "edge1", "edge2", all_stores_must_succeed=must)
        assert door.files(image, "edge2") == []
    assert task["status"] == status
    assert "Not copied to edge2: " in task["message"]
    assert bench.stores(image) == there
    told = bench.show(image)
    assert told["os_glance_importing_to_stores"] == ""
    assert told["os_glance_failed_import"] == "edge2"
    assert bench.glance_file(image, "edge1").exists() == ("edge1" in there)
    assert door.copied(image, "edge2")["status"] == "success"
    assert bench.show(image)["os_glance_failed_import"] == ""


def test_what_users_change_meanwhile_stays(slow: Door) -> None:
    bench = slow.bench
    image = bench.upload(noise(TO_COME), visibility="public")
    task = slow.ask(image, "edge1")
    slow.begun(task)
    bench.patch(
        image,
        [
            {"op": "replace", "path": "/name", "value": "renamed"},
            {"op": "replace", "path": "/visibility", "value": "private"},
            {"op": "replace", "path": "/protected", "value": True},
            {"op": "replace", "path": "/tags", "value": ["mine"]},
            {"op": "add", "path": "/os_distro", "value": "debian"},
        ],
    )
    assert slow.is_locked(image), "too quick to show anything"
    assert slow.ended(image, task)["status"] == "success"
    told = bench.show(image)
    bench.patch(image, [{"op": "replace", "path": "/protected", "value": False}])
    assert (told["name"], told["visibility"], told["protected"]) == (
        "renamed",
        "private",
        True,
    )
    assert (told["tags"], told["os_distro"]) == (["mine"], "debian")
    assert bench.stores(image) == {"central", "edge1"}


def test_an_image_that_is_deleted_meanwhile_leaves_nothing(slow: Door) -> None:
    bench = slow.bench
    image = bench.upload(noise(TO_COME))
    task = slow.ask(image, "edge1")
    slow.begun(task)
    bench.delete(image)
    bench.wait(lambda: slow.task(task)["status"] == "failure", "the task's end")
    assert "was deleted" in slow.task(task)["message"]
    bench.wait(lambda: slow.records == [], "the record's end")
    assert slow.files(image, "edge1") == []


def test_a_deactivated_image_stays_so(slow: Door) -> None:
    bench = slow.bench
    image = bench.upload(noise(TO_COME))
    task = slow.ask(image, "edge1")
    slow.begun(task)
    bench.ask("POST", f"/v2/images/{image}/actions/deactivate")
    assert slow.ended(image, task)["status"] == "success"
    assert bench.show(image)["status"] == "deactivated"
    assert bench.stores(image) == {"central", "edge1"}


@pytest.mark.parametrize("way", ["kill", "stop"])
def test_a_copy_outlives_its_glance(slow: Door, way: str) -> None:
    """Under the same task; `stop` is what a service manager does."""
    bench, content = slow.bench, noise(TO_COME)
    image = bench.upload(content)
    task = slow.ask(image, "edge1")
    slow.begun(task)
    bench.service("glance", way)
    slow.start(SLOW)
    assert slow.ended(image, task)["status"] == "success"
    assert bench.tasks(image) == [(task, "success")]
    assert bench.stores(image) == {"central", "edge1"}
    assert _content(bench, image, "edge1") == b"".join(content)
    assert slow.files(image, "edge1") == [image]


def test_what_waits_for_a_thread_outlives_its_glance(slow: Door) -> None:
    """A copy is noted when it is asked for, not when it begins."""
    bench, settings = slow.bench, (SLOW, "wsgi.task_pool_threads=1")
    slow.start(*settings)
    images = [bench.upload(noise(TO_COME)) for _ in range(2)]
    tasks = {image: slow.ask(image, "edge1") for image in images}
    slow.begun(tasks[images[0]])
    assert slow.task(tasks[images[1]])["status"] == "pending"
    assert len(slow.records) == 2
    bench.service("glance", "kill")
    slow.start(*settings)
    for image, task in tasks.items():
        assert slow.ended(image, task)["status"] == "success"
        assert bench.tasks(image) == [(task, "success")]
        assert bench.stores(image) == {"central", "edge1"}
    bench.wait(lambda: slow.records == [], "the records' end")


def test_a_gunicorn_that_preloads_goes_on_in_its_worker(slow: Door) -> None:
    """Its threads do not come along with a fork; those of the master are of no use."""
    bench = slow.bench
    image = bench.upload(noise(TO_COME))
    task = slow.ask(image, "edge1")
    slow.begun(task)
    bench.service("glance", "kill")
    with _preloading(bench) as master:
        bench.wait(lambda: _answers(bench), "its first answer")
        bench.wait(lambda: _was_forked(bench, master), "the worker's own look")
        bench.wait(lambda: bool(_at_it(slow.records[0])), "whoever goes on")
        assert master not in _at_it(slow.records[0])
        assert slow.ended(image, task)["status"] == "success"
        assert bench.tasks(image) == [(task, "success")]


@contextmanager
def _preloading(bench: Bench) -> Iterator[int]:
    """Serve as the lab does, but load the application before the worker is forked."""
    checkout = Path(__file__).parents[2]
    home = Path(bench.lab["glance"]["config_dir"]).parent
    config, gunicorn = home / "gunicorn.conf.py", "lab/run/cache/glance-venv/bin"
    with (home / "gunicorn.log").open("a") as log:
        master = subprocess.Popen(
            [checkout / gunicorn / "gunicorn", "--config", config, "--preload"],
            cwd=home,
            env={
                **os.environ,
                "OS_GLANCE_CONFIG_DIR": str(home / "etc"),
                "PYTHONPATH": str(checkout / "lab/glance_site"),
            },
            stdout=log,
            stderr=log,
        )
    try:
        yield master.pid
    finally:
        bench.service("glance", "kill")
        master.wait()


def _answers(bench: Bench) -> bool:
    with suppress(OSError):
        return bool(bench.ask("GET", "/v2/images?limit=1"))
    return False


def _was_forked(bench: Bench, master: int) -> bool:
    log = Path(bench.lab["glance"]["log"]).read_text()
    return f"was loaded by process {master}, from which this one was forked" in log


def _at_it(record: Path) -> set[int]:
    """Return the processes that have a copy's record open."""
    found = set()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if link.readlink() == record:
                found.add(int(link.parts[2]))
    return found


def test_two_processes_share_a_host(slow: Door) -> None:
    bench = slow.bench
    slow.start(SLOW, "lab.workers=2")
    images = [bench.upload(noise(24)) for _ in range(4)]
    tasks = {image: slow.ask(image, "edge1", "edge2") for image in images}
    for image, task in tasks.items():
        assert slow.ended(image, task)["status"] == "success"
        assert bench.stores(image) == {"central", "edge1", "edge2"}
        assert len(bench.tasks(image)) == 1


def test_twelve_copies_at_once(door: Door) -> None:
    bench = door.bench
    images = [bench.upload(noise(2)) for _ in range(12)]
    tasks = {image: door.ask(image, "edge1") for image in images}
    assert {door.ended(image, task)["status"] for image, task in tasks.items()} == {
        "success"
    }
    assert all(bench.stores(image) == {"central", "edge1"} for image in images)
    assert door.records == []


def test_one_copy_of_an_image_at_a_time_as_ever(slow: Door) -> None:
    bench = slow.bench
    image = bench.upload(noise(TO_COME))
    task = slow.ask(image, "edge1")
    with pytest.raises(AssertionError, match="409"):
        slow.ask(image, "edge2")
    assert slow.ended(image, task)["status"] == "success"


def test_a_flipped_byte_at_the_source_is_refused(door: Door) -> None:
    bench = door.bench
    image = bench.upload(noise(4))
    with bench.glance_file(image, "central").open("r+b") as source:
        source.seek(_MIB)
        first = source.read(1)
        source.seek(_MIB)
        source.write(bytes([first[0] ^ 1]))
    task = door.copied(image, "edge1")
    assert task["status"] == "failure"
    for words in (f"/central/store/{image}", f"has other bytes of image {image}"):
        assert words in task["message"]
    assert bench.stores(image) == {"central"}
    assert bench.show(image)["os_glance_failed_import"] == "edge1"
    assert door.files(image, "edge1") == []


@pytest.mark.parametrize("policy", ["stock", "refuse"])
def test_an_unknown_glance(door: Door, policy: str, tmp_path: Path) -> None:
    """It says so in its log, and is Glance's own or does not start."""
    ran = _serving(door.bench, tmp_path, policy)
    # Glance's log goes where no file is named.
    said = ran.stdout + ran.stderr
    assert "Cowpath does not know this Glance: it is release" in said
    assert (ran.returncode == 0) == (policy == "stock"), said
    assert ("\nserved: stock\n" in said) == (policy == "stock"), said
    assert (" ERROR cowpath." in said) == (policy == "stock"), said


def _serving(
    bench: Bench, folder: Path, policy: str
) -> "subprocess.CompletedProcess[str]":
    home = Path(bench.lab["glance"]["config_dir"])
    conf = (home / "glance-api.conf").read_text().replace("log_file", "#log_file")
    more = f"\n[cowpath]\nunknown_glance = {policy}\n"
    (folder / "glance-api.conf").write_text(conf + more)
    code = (
        "import sys; sys.argv[1:] = []\n"
        "from cowpath.doors.glance import seams\n"
        "seams.KNOWN = (1,)\n"
        "from cowpath.doors.glance import wsgi\n"
        "from glance.async_.flows import api_image_import as flows\n"
        "own = flows.get_flow.__module__ == flows.__name__\n"
        "print('served: stock' if own else 'served: ours')\n"
    )
    venv = Path(__file__).parents[2] / "lab/run/cache/glance-venv/bin/python"
    site = Path(__file__).parents[2] / "lab/glance_site"
    return subprocess.run(
        [venv, "-c", code],
        env={
            **os.environ,
            "OS_GLANCE_CONFIG_DIR": str(folder),
            "PYTHONPATH": str(site),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
