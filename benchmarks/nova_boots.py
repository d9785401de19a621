"""Faults inside Nova in which a server or an image is asked for."""

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import requests

from benchmarks.nova_stage import MIB, SLOW, Play, Told, slow, told_of
from tests.lab.openstack.cloud import CENTRAL, EDGE, FILES, IMAGES, MEMBER, SITES

_READER = f"profile rbd-read-only pool={IMAGES}"
_IMAGE_FORMAT = "disk_format"
_SECTOR = 2048
# What Glance takes for an ISO 9660 filesystem: its descriptors, and no file.
_ISO = bytes(16 * _SECTOR) + b"".join(
    (bytes([kind]) + b"CD001\1").ljust(_SECTOR, b"\0") for kind in (1, 255)
).ljust(MIB, b"\0")


def cold(play: Play) -> Told:
    """Boot at edge of an image that only central has."""
    play.stage.image = play.cloud.upload(store=CENTRAL)
    end = play.boot(play.stage.image)
    if end.state == "ACTIVE":
        play.stage.server = end.server
        play.keep(end.server)
    return told_of(end)


def warm(play: Play) -> Told:
    """Boot of the same image again."""
    return told_of(play.boot(play.stage.image))


def copy_fails(play: Play) -> Told:
    """Glance may not write to edge's pool: it tells so in the image."""
    cloud = play.cloud
    image = cloud.upload(store=CENTRAL)
    with cloud.clusters[EDGE].may("glance", osd=_READER):
        ending = play.begin(image, EDGE)
        failed = "os_glance_failed_import"
        cloud.wait(lambda: cloud.image(image).get(failed) == EDGE, "the failure")
    play.alone.set()
    return told_of(ending.result())


def member(play: Play) -> Told:
    """Glance's default policy refuses the user; either site could build the server."""
    cloud = play.cloud
    image = cloud.upload(store=FILES)
    wish = {
        "name": "bench-member",
        "imageRef": image,
        "flavorRef": "lab.tiny",
        "networks": "none",
    }
    begun = cloud.now()
    told = cloud.compute("POST", "/servers", {"server": wish}, user=MEMBER)
    server = cloud.adopt(str(told["server"]["id"]))
    play.servers.append(server)
    end = play.watch(server, begun).result()
    logs = (play.stage.computes.log(site) for site in SITES)
    mark = f"[instance: {server}] Claim successful"
    tried = sum(log.count(mark) for log in logs)
    return f"{end.outcome} ({tried} host(s) tried)", end.seconds, end.told


def two_sites(play: Play) -> Told:
    """Both sites ask for one cold image at the same moment."""
    cloud = play.cloud
    image = cloud.upload(store=FILES)
    with slow(cloud, SITES, 8 * MIB):
        endings = {site: play.begin(image, site) for site in SITES}
        ends = {site: ending.result() for site, ending in endings.items()}
    told = "; ".join(
        f"{site} {end.outcome} ({end.seconds:.1f} s)" for site, end in ends.items()
    )
    whole = " | ".join(end.told for end in ends.values() if end.told)
    return told, max(end.seconds for end in ends.values()), whole


def iso(play: Play) -> Told:
    """An image labelled iso."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "empty.iso")
        file.write_bytes(_ISO)
        image = play.cloud.upload(file, store=CENTRAL, disk_format="iso")
    return told_of(play.boot(image))


def caching(play: Play) -> Told:
    """Pre-cache an image for edge's aggregate."""
    cloud, lab = play.cloud, play.cloud.lab
    image = cloud.upload(store=CENTRAL)
    folder = Path(lab["sites"][EDGE]["instances_path"], "_base")
    had = {*folder.glob("*")}
    size = Path(lab["guest_stay"]["raw"]).stat().st_size
    every = cloud.compute("GET", "/os-aggregates")["aggregates"]
    [number] = [each["id"] for each in every if each["name"] == EDGE]
    begun = cloud.now()

    def files() -> list[Path]:
        return [*({*folder.glob("*")} - had)]

    def is_done() -> bool:
        here = [file for file in files() if file.suffix != ".part"]
        in_file = any(file.stat().st_size >= size for file in here)
        return cloud.is_placed(image, EDGE) or in_file

    wish = {"cache": [{"id": image}]}
    cloud.compute("POST", f"/os-aggregates/{number}/images", wish)
    cloud.wait(is_done, "the cached image")
    seconds = cloud.now() - begun
    placed = cloud.is_placed(image, EDGE)
    where = "in edge's store" if placed else "not in edge's store"
    also = "; a file in _base" if files() else ""
    for file in files():
        file.unlink()
    return where + also, seconds, ""


def one_500(play: Play) -> Told:
    """Glance answers 500 once while the copy is waited for."""
    cloud, faults = play.cloud, f"{play.stage.proxy}/_faults"
    image = cloud.upload(store=CENTRAL)
    with slow(cloud, [EDGE], SLOW):
        ending = play.begin(image, EDGE)
        cloud.wait(lambda: cloud.copies(image) == 1, "the request for a copy")
        play.storing(image)
        once: Any = {"method": "GET", "path": image, "status": 500, "times": 1}
        requests.put(faults, json=[once], timeout=10).raise_for_status()
        end = ending.result()
    seen = requests.get(faults, timeout=10).text
    requests.delete(faults, timeout=10).raise_for_status()
    if not re.search(r'"done": ?1', seen):
        raise AssertionError(f"nobody met the 500: {seen}")
    return told_of(end)


def snapshot(play: Play) -> Told:
    """snapshot_image_format is qcow2: what is the snapshot labelled, does it boot?"""
    cloud = play.cloud
    name = f"bench-snapshot-{play.stage.side}"
    cloud.act(play.stage.server, "createImage", {"name": name})
    cloud.active(play.stage.server)
    [taken] = cloud.glance("GET", f"/images?name={name}")["images"]
    image = cloud.adopt_image(taken["id"])
    cloud.wait(lambda: cloud.image(image)["status"] == "active", "the snapshot")
    end = play.boot(image)
    label = cloud.image(image)[_IMAGE_FORMAT]
    return f"labelled {label}; a server of it: {end.outcome}", end.seconds, end.told
