"""A store that cannot take a copy: seen at Glance's first sign, and explained."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from cowpath import open_site
from cowpath.catalog.glance import GlanceCatalog
from cowpath.core.errors import CopyFailedError
from cowpath.core.model import Image, ImageId
from tests.lab.bench import EDGE, Bench, noise, tool

pytestmark = pytest.mark.lab

_MIB = 2**20
Illness = Callable[[Path], AbstractContextManager[None]]


def _need_root(what: str) -> None:
    if os.geteuid() != 0:
        pytest.skip(f"needs root, to {what}")


@contextmanager
def _mounted(store: Path, options: str) -> Iterator[None]:
    _need_root("mount a small tmpfs over a store")
    words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(store)]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"cannot mount a tmpfs here: {done.stderr.strip()}")
    try:
        yield
    finally:
        # Glance may have a file of it open still.
        tool("umount", "--lazy", store)


@contextmanager
def _full(store: Path) -> Iterator[None]:
    with _mounted(store, "size=3m,mode=755"):
        # Some room, or nothing would be asked for; not enough for the image.
        (store / "ballast").write_bytes(os.urandom(2 * _MIB))
        yield


@contextmanager
def _brimful(store: Path) -> Iterator[None]:
    with _mounted(store, "size=3m,mode=755"):
        (store / "ballast").write_bytes(os.urandom(3 * _MIB))
        yield


@contextmanager
def _read_only(store: Path) -> Iterator[None]:
    with _mounted(store, "ro,mode=755"):
        yield


@contextmanager
def _forbidden(store: Path) -> Iterator[None]:
    """Let not even root write there; where we are not root, let us not."""
    if os.geteuid() != 0:
        store.chmod(0o555)
        try:
            yield
        finally:
            store.chmod(0o755)
        return
    words = ["chattr", "+i", str(store)]
    if subprocess.run(words, check=False, capture_output=True).returncode:
        pytest.skip("no immutable directories on this filesystem")
    try:
        yield
    finally:
        tool("chattr", "-i", store)


@contextmanager
def _gone(store: Path) -> Iterator[None]:
    away = store.with_name("store.away")
    store.rename(away)
    try:
        yield
    finally:
        away.rename(store)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Image]:
    """Collect what the catalog of this process shows of images, look by look."""
    looks: list[Image] = []
    get = GlanceCatalog.get

    def noting(self: GlanceCatalog, image: ImageId) -> Image:
        looks.append(get(self, image))
        return looks[-1]

    monkeypatch.setattr(GlanceCatalog, "get", noting)
    return looks


@pytest.mark.parametrize(
    ("illness", "evidence"),
    [
        (_full, "bytes are free there, and the image has"),
        (_read_only, "is on a filesystem that is mounted read-only"),
        (_forbidden, "may write into it|cannot be written to, not even by root"),
    ],
    ids=["full", "read-only", "unwritable"],
)
def test_a_store_that_takes_nothing(
    bench: Bench,
    seen: list[Image],
    monkeypatch: pytest.MonkeyPatch,
    illness: Illness,
    evidence: str,
) -> None:
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", bench.lab["clouds_yaml"])
    image, name = bench.upload(noise(6)), bench.name()
    store = bench.glance_file(image).parent
    with open_site([bench.lab["sites"][EDGE]], cloud="lab-admin") as site:
        with illness(store), pytest.raises(CopyFailedError, match=evidence) as failed:
            site.create_disk(image, name)
        # The first look that showed the failure was the last one.
        assert [EDGE in each.failed for each in seen] == [False] * (len(seen) - 1) + [
            True
        ]
        assert f"image {image}" in str(failed.value)
        assert f"store {EDGE}" in str(failed.value)
        assert bench.copies(image) == 1
        assert not (bench.disks() / f"{name}.qcow2").exists()
        _works_now(bench, image, lambda: site.create_disk(image, name))


def _works_now(bench: Bench, image: str, make: Callable[[], object]) -> None:
    """The old failure is listed still, and does not fail the new copy."""
    assert bench.show(image)["os_glance_failed_import"] == EDGE
    assert make()
    assert bench.copies(image) == 2
    assert bench.stores(image) == {"central", EDGE}
    assert bench.base(image).samefile(bench.glance_file(image))


def test_a_full_store_on_the_command_line(bench: Bench) -> None:
    image = bench.upload(noise(6))
    words = ("image", "place", image, "--store", EDGE, "--store", "edge2", "--json")
    store = bench.glance_file(image).parent
    with _full(store):
        ran = bench.run(*words)
    # Each store has its own result.
    assert ran.code == 7, ran
    assert [*ran.document["placed"]] == ["edge2"]
    assert ran.document["failed"][EDGE]["class"] == "CopyFailedError"
    assert "bytes are free there" in ran.document["failed"][EDGE]["message"]
    assert bench.copies(image) == 1
    again = bench.run(*words)
    assert (again.code, [*again.document["placed"]]) == (0, [EDGE, "edge2"])
    assert bench.copies(image) == 2


@pytest.mark.parametrize(
    ("illness", "evidence"),
    [
        (_brimful, "is on a filesystem that is full: no bytes are free"),
        (_gone, "there is no directory"),
    ],
    ids=["brimful", "gone"],
)
def test_nothing_is_asked_for_a_store_without_any_room(
    bench: Bench, illness: Illness, evidence: str
) -> None:
    image = bench.upload(noise(6))
    before = bench.copy_requests()
    with illness(bench.glance_file(image).parent):
        ran = bench.run("image", "place", image)
    assert ran.code == 12, ran
    assert evidence in ran.err
    assert bench.copy_requests() == before
    assert bench.run("image", "place", image).code == 0


def test_room_that_is_to_stay_free(bench: Bench, tmp_path: Path) -> None:
    """`min_free`: the copy that would take it is not asked for."""
    image = bench.upload(noise(6))
    conf = bench.conf(tmp_path, min_free="4M")
    with _mounted(bench.glance_file(image).parent, "size=8m,mode=755"):
        before = bench.copy_requests()
        ran = bench.run("image", "place", image, conf=conf)
        assert ran.code == 12, ran
        assert "min_free" in ran.err
        assert bench.copy_requests() == before
