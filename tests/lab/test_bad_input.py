"""Bad input on the real Glance: its exit code, its words, and nothing changed."""

import json
import os
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from uuid import uuid4

import pytest

from tests.doors.canned import TOKEN, CannedGlance
from tests.lab.bench import EDGE, Bench, noise, tool

pytestmark = pytest.mark.lab

_MIB = 2**20
_TWINS = f"bench-twins-{uuid4().hex[:6]}"
_QCOW2 = b"QFI\xfb"


@pytest.fixture(scope="module")
def away(bench: Bench) -> str:
    """Publish an image that only store central has."""
    return bench.upload(noise(2))


@pytest.fixture(scope="module")
def here(bench: Bench) -> str:
    """Publish an image that this site's store has."""
    return bench.upload(noise(2), store=EDGE)


@contextmanager
def _nothing_changes(bench: Bench) -> Iterator[None]:
    state, asked = bench.state(), bench.copy_requests()
    yield
    assert bench.state() == state
    assert bench.copy_requests() == asked


def _fails(
    bench: Bench,
    *words: str | bytes,
    code: int,
    says: tuple[str, ...],
    conf: str = "",
    cloud: str = "lab-admin",
    **more: str,
) -> None:
    """Run a command that must be refused with these words."""
    ran = bench.run(*words, "--json", conf=conf, cloud=cloud, **more)
    assert ran.code == code, ran
    told = ran.document["error"]["message"]
    assert [word for word in says if word not in told] == [], told
    assert "Traceback" not in ran.err


def _queued(bench: Bench) -> str:
    return bench.announce()


def _deactivated(bench: Bench) -> str:
    image = bench.upload(noise(1))
    bench.ask("POST", f"/v2/images/{image}/actions/deactivate")
    return image


def _deleted(bench: Bench) -> str:
    image = bench.upload(noise(1))
    bench.delete(image)
    return image


def _not_raw(bench: Bench) -> str:
    file = Path(bench.lab["guest"]["qcow2"])
    return bench.upload(file.read_bytes(), disk_format="qcow2")


def _empty(bench: Bench) -> str:
    return bench.upload([])


def _twins(bench: Bench) -> str:
    bench.announce(_TWINS)
    bench.announce(_TWINS)
    return _TWINS


_IMAGES: list[tuple[Callable[[Bench], str], int, tuple[str, ...]]] = [
    (lambda _: str(uuid4()), 3, ("cowpath image list",)),
    (lambda _: "no image has this name", 3, ("cowpath image list",)),
    (_twins, 13, (_TWINS, "2 images", "use the id")),
    (_queued, 4, ("is queued", "upload its data")),
    (_deactivated, 4, ("is deactivated", "openstack image set --activate")),
    (_deleted, 3, ("cowpath image list",)),
    (_not_raw, 4, ("is qcow2, not raw", "qemu-img convert -O raw")),
    (_empty, 4, ("no bytes", "upload it again")),
]
_IDS = ["id", "name", "twins", "queued", "deactivated", "deleted", "qcow2", "empty"]


@pytest.mark.parametrize(("make", "code", "says"), _IMAGES, ids=_IDS)
def test_an_image_of_which_no_disk_can_be_made(
    bench: Bench, make: Callable[[Bench], str], code: int, says: tuple[str, ...]
) -> None:
    image, name = make(bench), bench.name()
    with _nothing_changes(bench):
        _fails(bench, "disk", "create", image, name, code=code, says=(*says, image))
        _fails(bench, "image", "place", image, code=code, says=says)
        boot = ("boot", image, "--name", name)
        _fails(bench, *boot, code=code, says=says)
    assert name not in bench.virsh("list", "--all", "--name")


@pytest.mark.parametrize(
    ("size", "code", "says"),
    [
        ("1M", 4, ("at least 2097152 bytes", "ask for more")),
        ("many", 2, ("'many' is not a size", "20G")),
        ("0", 2, ("'0' is not a size",)),
        ("-1", 2, ("'-1' is not a size",)),
    ],
)
def test_a_size(
    bench: Bench, away: str, size: str, code: int, says: tuple[str, ...]
) -> None:
    words = ("disk", "create", away, bench.name(), f"--size={size}")
    with _nothing_changes(bench):
        _fails(bench, *words, code=code, says=says)


@pytest.mark.parametrize(
    "name", ["a/b", "a@b", "a b", "..", "v" * 300, b"vm\xff"], ids=ascii
)
def test_a_disk_name_that_cannot_be(bench: Bench, away: str, name: str | bytes) -> None:
    with _nothing_changes(bench):
        words = ("disk", "create", away, name)
        _fails(bench, *words, code=2, says=("is not a disk name", "1 to 200 letters"))


def _of_another_image(bench: Bench, name: str, here: str) -> Path:
    del here
    other = bench.upload(noise(1), store=EDGE)
    assert bench.run("disk", "create", other, name).code == 0
    return bench.disks() / f"{name}.qcow2"


def _written(bench: Bench, name: str, here: str) -> Path:
    assert bench.run("disk", "create", here, name).code == 0
    path = bench.disks() / f"{name}.qcow2"
    tool("qemu-io", "-f", "qcow2", "-c", "write 0 64k", path)
    return path


def _foreign(bench: Bench, name: str, here: str) -> Path:
    del here
    path = bench.disks() / f"{name}.qcow2"
    path.write_bytes(b"somebody's own")
    return path


@pytest.mark.parametrize(
    ("take", "says"),
    [
        (_of_another_image, "is a disk of image"),
        (_written, "has been written to"),
        (_foreign, "is no qcow2 file"),
    ],
)
def test_a_name_that_is_taken(
    bench: Bench, here: str, take: Callable[[Bench, str, str], Path], says: str
) -> None:
    name = bench.name()
    path = take(bench, name, here)
    before = path.read_bytes()
    with _nothing_changes(bench):
        words = ("disk", "create", here, name)
        _fails(bench, *words, code=5, says=(says, name, "another name"))
    assert path.read_bytes() == before
    if take is _foreign:
        path.unlink()


def test_a_taken_name_is_refused_before_a_copy_is_asked_for(
    bench: Bench, away: str
) -> None:
    name = bench.name()
    path = _foreign(bench, name, away)
    with _nothing_changes(bench):
        _fails(bench, "disk", "create", away, name, code=5, says=(name,))
        boot = ("boot", away, "--name", name)
        _fails(bench, *boot, code=5, says=(name,))
    path.unlink()


def _conf(bench: Bench, folder: Path, *changes: tuple[str, str]) -> str:
    """Write the site's configuration with some text in another's place."""
    text = Path(bench.lab["sites"][EDGE]).read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "site.conf").write_text(text)
    return str(folder / "site.conf")


def test_a_store_that_glance_does_not_have(
    bench: Bench, away: str, tmp_path: Path
) -> None:
    conf = _conf(bench, tmp_path, ("name = edge1", "name = edge9"))
    state = bench.state()
    says = ("no store edge9", "central", EDGE, "images_rbd_glance_store_name")
    _fails(bench, "disk", "create", away, bench.name(), code=3, says=says, conf=conf)
    place = ("image", "place", away, "--store", "edge9")
    _fails(bench, *place, code=3, says=says)
    assert bench.state() == state


def _endpoint(bench: Bench, folder: Path, url: str) -> str:
    return _conf(bench, folder, ("[cowpath]", f"[cowpath]\nendpoint_override = {url}"))


def test_glance_that_is_down(bench: Bench, here: str, tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    conf = _endpoint(bench, tmp_path, url)
    with _nothing_changes(bench):
        words = ("disk", "create", here, bench.name())
        _fails(bench, *words, code=9, says=(url, "that the service runs"), conf=conf)


def test_something_that_is_not_glance(bench: Bench, here: str, tmp_path: Path) -> None:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Keep stderr for the tests."""

    server = HTTPServer(("127.0.0.1", 0), Quiet)
    threading.Thread(target=server.serve_forever, args=(0.01,)).start()
    url = f"http://127.0.0.1:{server.server_port}"
    conf = _endpoint(bench, tmp_path, url)
    try:
        with _nothing_changes(bench):
            words = ("disk", "create", here, bench.name())
            _fails(bench, *words, code=9, says=(url, "is not Glance"), conf=conf)
    finally:
        server.shutdown()
        server.server_close()


def test_a_token_that_is_refused(bench: Bench, here: str, tmp_path: Path) -> None:
    clouds = tmp_path / "clouds.yaml"
    told = Path(bench.lab["clouds_yaml"]).read_text()
    clouds.write_text(told.replace("admin:admin-project:admin", "expired"))
    with _nothing_changes(bench):
        words = ("disk", "create", here, bench.name())
        given = {"OS_CLIENT_CONFIG_FILE": str(clouds)}
        _fails(bench, *words, code=14, says=("401", "OS_CLOUD"), **given)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (("disks_dir", "disk_dir"), ("unknown key disk_dir", "did you mean disks_dir")),
        (("timeout = 600", "timeout = soon"), ("images_rbd_glance_copy_timeout",)),
        (("interval = 15", "interval = 0"), ("images_rbd_glance_copy_poll_interval",)),
    ],
)
def test_a_configuration_that_is_wrong(
    bench: Bench,
    away: str,
    tmp_path: Path,
    changes: tuple[str, str],
    says: tuple[str, ...],
) -> None:
    conf = _conf(bench, tmp_path, changes)
    with _nothing_changes(bench):
        words = ("disk", "create", away, bench.name())
        _fails(bench, *words, code=10, says=says, conf=conf)


@pytest.mark.parametrize("kind", ["elsewhere", "another image"])
def test_a_location_that_is_not_ours(bench: Bench, here: str, kind: str) -> None:
    image = bench.upload(noise(1), store=EDGE)
    url = (
        "file:///etc/passwd"
        if kind == "elsewhere"
        else f"file://{bench.glance_file(here)}"
    )
    with _location(bench, image, url), _nothing_changes(bench):
        words = ("disk", "create", image, bench.name())
        _fails(bench, *words, code=11, says=(image, url, "who may set locations"))


@contextmanager
def _location(bench: Bench, image: str, url: str) -> Iterator[None]:
    """Have Glance show another location: what its API would not take from us."""
    own = f"file://{bench.glance_file(image)}"
    _relocate(bench, image, url)
    assert bench.show(image)["locations"][0]["url"] == url
    yield
    # Else deleting the image would delete what the location names.
    _relocate(bench, image, own)
    assert bench.show(image)["locations"][0]["url"] == own


def _relocate(bench: Bench, image: str, url: str) -> None:
    with closing(sqlite3.connect(bench.lab["glance"]["database"], timeout=30)) as db:
        change = "UPDATE image_locations SET value = ? WHERE image_id = ?"
        assert db.execute(change, (url, image)).rowcount == 1
        db.commit()


def test_a_raw_image_that_begins_like_a_qcow2(bench: Bench) -> None:
    # Glance 33 looks into what it is given and refuses it: change the file later.
    image = bench.upload(noise(1), store=EDGE)
    with bench.glance_file(image).open("r+b") as file:
        file.write(_QCOW2)
    with _nothing_changes(bench):
        words = ("disk", "create", image, bench.name())
        _fails(bench, *words, code=4, says=(image, "qcow2 header", "labelled raw"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small filesystem")
def test_a_full_disk(bench: Bench, tmp_path: Path) -> None:
    image, glance = str(uuid4()), CannedGlance()
    tool("mount", "-t", "tmpfs", "-o", "size=2m", "none", tmp_path)
    try:
        disks, images = tmp_path / "disks", tmp_path / "store"
        disks.mkdir()
        images.mkdir()
        (images / image).write_bytes(b"".join(noise(1)))
        glance.add(image, stores=EDGE)
        conf = tmp_path / "site.conf"
        conf.write_text(
            "[libvirt]\nimages_rbd_glance_store_name = edge1\n"
            "[cowpath]\nstore_kind = file\n"
            f"images_dir = {images}\ndisks_dir = {disks}\nauth_type = admin_token\n"
            f"endpoint = {glance.url}\nendpoint_override = {glance.url}\n"
            f"token = {TOKEN}\n"
        )
        room = os.statvfs(tmp_path)
        ballast = tmp_path / "ballast"
        ballast.write_bytes(bytes((room.f_bavail - 20) * room.f_frsize))
        words = ("disk", "create", image, "vm1")
        says = ("no space left", str(disks), "delete disks")
        _fails(bench, *words, code=12, says=says, conf=str(conf))
        assert list(disks.glob("*.qcow2")) == []
        assert list((disks / "bases").iterdir()) == []
        # And with room again, it works.
        ballast.unlink()
        assert bench.run(*words, conf=str(conf)).code == 0
    finally:
        tool("umount", tmp_path)
        glance.close()


def test_a_member_may_not_copy(bench: Bench, away: str) -> None:
    image = bench.upload(noise(1), visibility="public")
    state, asked = bench.state(), bench.copy_requests()
    says = (image, EDGE, "copy_image", "policy.yaml")
    words = ("disk", "create", image, bench.name())
    _fails(bench, *words, code=6, says=says, cloud="lab-member")
    assert bench.copy_requests() == asked + 1
    assert bench.state() == state
    # What is not public is not there at all.
    words = ("disk", "create", away, bench.name())
    _fails(bench, *words, code=3, says=(away, "not ours to see"), cloud="lab-member")
    assert bench.copy_requests() == asked + 1


def test_copying_that_glance_has_not_enabled(bench: Bench, away: str) -> None:
    only = "DEFAULT.enabled_import_methods=[glance-direct]"
    state = bench.state()
    bench.service("glance", "start", "--set", only)
    try:
        words = ("disk", "create", away, bench.name())
        says = (away, "copy-image", "enabled_import_methods")
        _fails(bench, *words, code=4, says=says)
    finally:
        bench.service("glance", "start")
    assert bench.state() == state


def test_a_guest_that_qemu_refuses(bench: Bench, here: str) -> None:
    name = bench.name()
    with _nothing_changes(bench):
        words = ("boot", here, "--name", name, "--memory", "900T")
        _fails(bench, *words, code=16, says=(f"starting guest {name}", "libvirt"))
    assert name not in bench.virsh("list", "--all", "--name")


def test_listing_is_for_people_and_programs_alike(bench: Bench, here: str) -> None:
    told = bench.run("image", "list", "--json")
    assert (told.code, told.err) == (0, "")
    found = {each["id"]: each for each in json.loads(told.out)["images"]}
    assert found[here]["here"]["base"]["size"] == 2 * _MIB
    table = bench.run("image", "list").out
    line = next(line for line in table.splitlines() if line.startswith(here))
    assert line.split()[-2:] == [EDGE, "here"]
