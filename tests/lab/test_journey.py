"""An image in another store becomes guests at this site; checked from outside."""

import hashlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from cowpath import open_site
from cowpath.core.events import BaseFound, CopyAsked, CopyFinished, DiskMade, Event
from tests.lab.bench import EDGE, Bench, noise, tool

pytestmark = pytest.mark.lab

_MIB = 2**20
_MEMORY = "192M"
_DOMAIN = """
<domain type="qemu">
  <name>{name}</name>
  <memory unit="MiB">192</memory>
  <os><type arch="x86_64">hvm</type></os>
  <features><acpi/></features>
  <on_poweroff>destroy</on_poweroff>
  <devices>
    {disk}
    <serial type="file"><source path="{console}"/></serial>
  </devices>
</domain>
"""


@pytest.fixture(scope="module")
def guest_image(bench: Bench, lab: dict[str, Any]) -> str:
    """Publish the guest as qcow2; Glance keeps it raw, in store central only."""
    image = bench.convert(Path(lab["guest"]["qcow2"]))
    told = bench.show(image)
    assert (told["disk_format"], told["stores"]) == ("raw", "central")
    return image


def _proves_itself(console: str, lab: dict[str, Any]) -> None:
    guest = lab["guest"]
    assert f"{guest['marker']} {guest['uuid']}" in console
    assert re.search(rf"GUEST-DATA-MD5 \S+ {guest['data_md5']}", console)


def _chain(disk: Path) -> list[dict[str, Any]]:
    words = ("qemu-img", "info", "-U", "--backing-chain", "--output=json", disk)
    found: list[dict[str, Any]] = json.loads(tool(*words))
    return found


def test_two_guests_from_one_copy(
    bench: Bench, lab: dict[str, Any], guest_image: str
) -> None:
    assert not bench.glance_file(guest_image).exists()
    names = bench.name(), bench.name()
    words = ("is not in edge1: asked Glance to copy it from central", "no copy needed")
    for name, said in zip(names, words, strict=True):
        boot = ("boot", guest_image, "--memory", _MEMORY, "--console", "--name", name)
        ran = bench.run(*boot)
        assert ran.code == 0, ran
        assert said in ran.err
        _proves_itself(ran.out, lab)
        _powers_off(bench, name)
    assert bench.copies(guest_image) == 1
    assert bench.stores(guest_image) == {"central", EDGE}
    _share_one_base(bench, guest_image, names)
    _leave_glance_its_file(bench, guest_image, names)


def _powers_off(bench: Bench, name: str) -> None:
    bench.wait(lambda: "shut off" in bench.virsh("domstate", name), "the power-off")


def _share_one_base(bench: Bench, image: str, names: tuple[str, ...]) -> None:
    """The base is Glance's own file, below every disk, with the bytes uploaded."""
    base, told = bench.base(image), bench.show(image)
    assert base.samefile(bench.glance_file(image))
    assert base.stat().st_nlink == 2
    digest = hashlib.new(told["os_hash_algo"], base.read_bytes()).hexdigest()
    assert digest == told["os_hash_value"]
    for name in names:
        disk = bench.disks() / f"{name}.qcow2"
        top, below = _chain(disk)
        assert (top["format"], below["format"]) == ("qcow2", "raw")
        assert top["full-backing-filename"] == str(base)
        assert disk.stat().st_blocks * 512 < 4 * _MIB


def _leave_glance_its_file(bench: Bench, image: str, names: tuple[str, ...]) -> None:
    """The base's link goes with its last disk; what Glance has stays."""
    content = bench.glance_file(image).read_bytes()
    for name in names:
        assert bench.base(image).exists()
        bench.virsh("undefine", name)
        assert bench.run("disk", "delete", name).code == 0
        assert not (bench.disks() / f"{name}.qcow2").exists()
    assert not bench.base(image).exists()
    assert bench.glance_file(image).read_bytes() == content


def test_the_printed_xml_boots(
    bench: Bench, lab: dict[str, Any], guest_image: str, tmp_path: Path
) -> None:
    name, console = bench.name(), tmp_path / "console"
    made = bench.run("disk", "create", guest_image, name, "--size", "64M", "--xml")
    assert made.code == 0, made
    assert made.out == bench.run("disk", "show", name, "--xml").out
    described = tmp_path / "domain.xml"
    described.write_text(_DOMAIN.format(name=name, disk=made.out, console=console))
    console.touch()
    # --validate holds it against libvirt's own schema.
    bench.virsh("create", str(described), "--validate")
    bench.wait(lambda: name not in bench.virsh("list", "--name"), "the power-off")
    _proves_itself(console.read_text(errors="replace"), lab)


def test_the_library(
    bench: Bench, lab: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Diary:
        def __init__(self) -> None:
            self.events: list[Event] = []

        def tell(self, event: Event) -> None:
            self.events.append(event)

    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", lab["clouds_yaml"])
    image, diary = bench.upload(noise(3)), Diary()
    site = open_site([lab["sites"]["edge2"]], cloud="lab-admin", observer=diary)
    assert site.image(image).base is None
    disk = site.create_disk(image, bench.name("edge2"), "4M")
    steps = (CopyAsked, CopyFinished, BaseFound, DiskMade)
    kinds = [type(event) for event in diary.events if isinstance(event, steps)]
    assert kinds == [*steps]
    assert (disk.size, disk.image, disk.marked) == (4 * _MIB, image, True)
    assert disk.base == str(bench.base(image, "edge2"))
    assert site.grow_disk(disk.name, "1G").size == 2**30
    assert (
        _chain(bench.disks("edge2") / f"{disk.name}.qcow2")[0]["virtual-size"] == 2**30
    )
    assert disk.name in {each.name for each in site.disks()}
    assert "<disk" in site.disk_xml(disk)
    assert set(lab["stores"]) == {*site.stores()}
    assert site.image(image).base is not None
    site.delete_disk(disk.name)
    assert disk.name not in {each.name for each in site.disks()}


def test_placing_at_another_site(bench: Bench) -> None:
    image = bench.upload(noise(2))
    ran = bench.run("image", "place", image, "--store", "edge2", "--json")
    assert ran.code == 0, ran
    assert ran.document["placed"]["edge2"]["size"] == 2 * _MIB
    assert bench.stores(image) == {"central", "edge2"}
    # There it is at hand; here it is as far away as before.
    assert (
        bench.run("disk", "create", image, bench.name("edge2"), site="edge2").code == 0
    )
    assert bench.copies(image) == 1
    assert not bench.glance_file(image).exists()
    again = bench.run(
        "image", "place", image, "--store", "edge2", "--no-wait", "--json"
    )
    assert again.document["answers"] == {"edge2": "present"}
    assert bench.copies(image) == 1


def test_growing(bench: Bench) -> None:
    image, name = bench.upload(noise(1), store=EDGE), bench.name()
    assert bench.run("disk", "create", image, name, "--size", "5M").code == 0
    assert bench.run("disk", "grow", name, "7M").code == 0
    assert _chain(bench.disks() / f"{name}.qcow2")[0]["virtual-size"] == 7 * _MIB
    ran = bench.run("disk", "grow", name, "6M")
    assert ran.code == 2
    assert "never shrinks" in ran.err


def test_everybody_asks_at_once(bench: Bench) -> None:
    image = bench.upload(noise(24))
    sites = [EDGE, EDGE, "edge2", "edge2"]

    def make(site: str) -> int:
        ran = bench.run("disk", "create", image, bench.name(site), site=site)
        return ran.code

    with ThreadPoolExecutor(len(sites)) as pool:
        assert [*pool.map(make, sites)] == [0, 0, 0, 0]
    assert bench.copies(image) == 2  # one for each store
    assert bench.stores(image) == {"central", EDGE, "edge2"}
    for site in (EDGE, "edge2"):
        assert bench.base(image, site).samefile(bench.glance_file(image, site))


def test_hidden_locations_are_not_needed(bench: Bench) -> None:
    image = bench.upload(noise(1))
    hide = "DEFAULT.show_multiple_locations=False"
    try:
        bench.service(
            "glance",
            "start",
            "--set",
            hide,
            "--set",
            "DEFAULT.show_image_direct_url=False",
        )
        assert "locations" not in bench.show(image)
        ran = bench.run("disk", "create", image, bench.name())
        assert ran.code == 0, ran
        assert bench.base(image).samefile(bench.glance_file(image))
    finally:
        bench.service("glance", "start")
