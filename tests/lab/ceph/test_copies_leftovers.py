"""What broken copies leave in the pool blocks the next ones, until it is set aside."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.bench import Ran, noise, tool
from tests.lab.ceph.ceph_bench import IMAGES, VMS, CephBench, commands, kinds, why
from tests.lab.ceph.cluster import Ceph

pytestmark = pytest.mark.ceph

_CENTRAL = "central"
_REPAIR = "cowpath-repair"
_POLL = "images_rbd_glance_copy_poll_interval"
# It may make an image, and neither write into it nor remove it.
_HALF = ", ".join(
    [
        f"profile rbd-read-only pool={IMAGES}",
        *(
            f"allow rwx pool={IMAGES} object_prefix rbd_{kind}"
            for kind in ("id.", "directory", "header.", "object_map.")
        ),
    ]
)


@pytest.fixture
def image(bench: CephBench, edge: Ceph) -> Iterator[str]:
    """Publish an image, and remove all that is left of it at the end."""
    made = bench.upload(noise(2), store=_CENTRAL)
    yield made
    bench.delete(made)
    edge.drop(IMAGES, made)
    edge.empty_trash(IMAGES, made)


def _conf(bench: CephBench, folder: Path, **more: str) -> str:
    return bench.conf(folder, **{_POLL: "1"}, **more)


def _break(bench: CephBench, edge: Ceph, image: str, folder: Path) -> Ran:
    """Have Glance fail a copy so that it cannot clean up."""
    with edge.may("glance", osd=_HALF):
        ran = bench.tell("image", "place", image, conf=_conf(bench, folder))
    assert ran.code == 7, ran
    assert image in edge.names(IMAGES)
    return ran


def _check_good(bench: CephBench, edge: Ceph, image: str) -> None:
    """Check that a disk of it has the bytes that it has at central."""
    name = bench.name()
    bench.cowpath("disk", "create", image, name)
    there = bench.clusters[_CENTRAL].digest(IMAGES, image)
    assert edge.digest(VMS, name) == there
    # Else Glance, which is to delete the image, would move it to the trash.
    edge.drop(VMS, name)


def test_the_commands_of_the_message(
    bench: CephBench, edge: Ceph, image: str, tmp_path: Path
) -> None:
    """They are run as they stand, and the next call works."""
    broken = _break(bench, edge, image, tmp_path)
    conf = _conf(bench, tmp_path, repair_rbd_user=_REPAIR)
    ran = bench.tell("image", "place", image, conf=conf)
    assert ran.code == 20, ran
    assert kinds(ran) == ["CopyFailed", "Error"]
    assert bench.copies(image) == 1
    # The failure of the copy said so already, as it happened.
    assert f"{IMAGES}/{image} holds" in why(broken)
    move, restore = commands(why(ran))
    was = edge.digest(IMAGES, image)
    tool(*move)
    assert image not in edge.names(IMAGES)
    assert bench.tell("image", "place", image, conf=conf).code == 0
    assert bench.copies(image) == 2
    _check_good(bench, edge, image)
    _restored(edge, restore, image, was)


def _restored(edge: Ceph, restore: list[str], image: str, was: str) -> None:
    """Check that a command brings a leftover back, under another name."""
    other = f"{image}.restored"
    tool(*restore, "--image", other)
    try:
        assert edge.digest(IMAGES, other) == was
    finally:
        edge.drop(IMAGES, other)


def test_once_in_a_call(
    bench: CephBench, edge: Ceph, image: str, tmp_path: Path
) -> None:
    """Where every copy breaks, the trash does not fill with them."""
    conf = _conf(bench, tmp_path, repair_rbd_user=_REPAIR, set_aside_leftovers="true")
    with edge.may("glance", osd=_HALF):
        ran = bench.tell("image", "place", image, conf=conf)
    assert ran.code == 7, ran
    assert kinds(ran) == [
        "CopyAsked",
        "LeftoverSetAside",
        "CopyAsked",
        "CopyFailed",
        "Error",
    ]
    assert bench.copies(image) == 2
    assert image in edge.names(IMAGES)
    assert edge.run("rbd", "trash", "ls", IMAGES).count(image) == 1


def test_a_copy_that_the_hash_check_refused(
    bench: CephBench, edge: Ceph, image: str, tmp_path: Path
) -> None:
    """It is whole, and its snapshot is protected."""
    # Glance takes a staged file of the right size for what it has staged itself.
    wrong = b"".join(noise(2))
    bench.staged(image).write_bytes(wrong)
    ran = bench.tell("image", "place", image, conf=_conf(bench, tmp_path))
    assert ran.code == 7, ran
    with edge.opened(IMAGES, image) as seen:
        assert seen.is_protected_snap("snap")
    refused = bench.tell("image", "place", image, conf=_conf(bench, tmp_path))
    assert refused.code == 20, refused
    assert bench.copies(image) == 1
    conf = _conf(bench, tmp_path, repair_rbd_user=_REPAIR, set_aside_leftovers="true")
    ran = bench.tell("image", "place", image, conf=conf)
    assert ran.code == 0, ran
    assert bench.copies(image) == 2
    _check_good(bench, edge, image)
    assert kinds(ran)[:3] == ["LeftoverSetAside", "CopyAsked", "CopyFinished"]
    [told] = ran.told("LeftoverSetAside")
    assert told["image"] == image
    _, restore = commands(told["kept"])
    _restored(edge, restore, image, hashlib.sha256(wrong).hexdigest())


@pytest.mark.parametrize(
    ("user", "words"),
    [
        ("", ("client.cowpath ", "repair_rbd_user", "osd 'profile rbd-read-only")),
        ("nobody", ("client.nobody", "keyring", "repair_rbd_user")),
    ],
    ids=["none", "unknown"],
)
def test_a_user_who_may_not(
    bench: CephBench,
    edge: Ceph,
    image: str,
    tmp_path: Path,
    user: str,
    words: tuple[str, ...],
) -> None:
    """Told with what it takes; nothing is moved, and nothing is asked of Glance."""
    edge.run("rbd", "create", "--size", "2M", f"{IMAGES}/{image}")
    conf = _conf(bench, tmp_path, repair_rbd_user=user, set_aside_leftovers="true")
    ran = bench.tell("image", "place", image, conf=conf)
    assert ran.code == 6, ran
    for word in (f"{IMAGES}/{image}", *words):
        assert word in why(ran)
    assert image in edge.names(IMAGES)
    assert bench.copies(image) == 0
