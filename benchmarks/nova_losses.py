"""Faults inside Nova in which a guest, a service or a host goes away."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from benchmarks.nova_stage import (
    LONG_SECONDS,
    MIB,
    SLOW,
    Play,
    Stage,
    Told,
    slow,
    told_of,
)
from tests.lab.openstack.cloud import CENTRAL, EDGE, SITES, VMS, Cloud, RefusedError
from tests.lab.openstack.computes import service

_RESTART_AFTER_SECONDS = 9


def rescue(play: Play) -> Told:
    """Rescue with an image that only central has; a copy of eleven seconds."""
    cloud, server = play.cloud, play.stage.server
    image = cloud.upload(store=CENTRAL)
    times: list[float] = []

    def is_over() -> bool:
        runs = _runs(cloud, server)
        if runs is bool(len(times) % 2):
            times.append(cloud.now())
        return bool(cloud.server(server)["status"] == "RESCUE") and runs

    with slow(cloud, [EDGE], 3 * MIB):
        begun = cloud.now()
        cloud.act(server, "rescue", {"rescue_image_ref": image})
        cloud.wait(is_over, "the rescue", within=LONG_SECONDS, every=0.02)
    off = sum(up - down for down, up in zip(times[::2], times[1::2], strict=True))
    total = cloud.now() - begun
    return f"rescued after {total:.0f} s; guest off for {off:.1f} s", off, ""


def _runs(cloud: Cloud, server: str) -> bool:
    with suppress(Exception):  # there is no such domain for a moment
        return cloud.domain(server, EDGE) == "running"
    return False


def glance_restarts(play: Play) -> Told:
    """Glance is stopped in the midst of a copy, ends it, and is started again."""
    cloud = play.cloud
    image = cloud.upload(store=CENTRAL)
    with slow(cloud, [EDGE], SLOW):
        begun = cloud.now()
        ending = play.begin(image, EDGE)
        play.storing(image)
        cloud.wait(lambda: cloud.now() - begun > _RESTART_AFTER_SECONDS, "the moment")
        service("glance", "stop")
        service("glance", "start")
        return told_of(ending.result())


def switched_off(play: Play) -> Told:
    """copy-image is not among Glance's enabled_import_methods."""
    image = play.cloud.upload(store=CENTRAL)
    service("glance", "stop")
    try:
        methods = "DEFAULT.enabled_import_methods=[glance-direct]"
        service("glance", "start", "--set", methods)
        return told_of(play.boot(image))
    finally:
        service("glance", "stop")
        service("glance", "start")


def evacuate(play: Play) -> Told:
    """Central's host is lost; its server is evacuated to edge, another cluster."""
    cloud = play.cloud
    image = cloud.upload(store=CENTRAL)
    cloud.place(image, EDGE)
    server = play.boot(image, CENTRAL, pinned=False).server
    cloud.lives(server, CENTRAL)
    cloud.act(server, "os-stop")
    cloud.until(server, "SHUTOFF")
    disk = f"{server}_disk"
    was = cloud.clusters[CENTRAL].digest(VMS, disk)
    with _lost(play.stage):
        begun = cloud.now()
        cloud.act(server, "evacuate", {"host": EDGE})
        told, seconds = _evacuated(play, server, begun)
        host = cloud.site_of(server)
        here = disk in cloud.clusters[host].names(VMS)
        same = here and cloud.clusters[host].digest(VMS, disk) == was
    data = "as it was" if same else "a new one of the image: what was written is gone"
    left = disk in cloud.clusters[CENTRAL].names(VMS)
    if host != CENTRAL and left:
        data += " (the old one is left at central)"
    cloud.delete(server)
    play.servers.remove(server)
    for site in SITES:
        cloud.clusters[site].drop(VMS, disk)
    how = "refused" if told else "done"
    return f"{how}; the server is at {host}, its disk is {data}", seconds, told


def _evacuated(play: Play, server: str, begun: float) -> tuple[str, float]:
    """Return why an evacuation failed, or nothing, and its seconds."""
    cloud = play.cloud
    ended: list[dict[str, Any]] = []

    def is_over() -> bool:
        ended[:] = _events(cloud, server)
        told = bool(ended) and all(each["result"] for each in ended)
        return told and not cloud.server(server)["OS-EXT-STS:task_state"]

    cloud.wait(is_over, "the evacuation", within=LONG_SECONDS)
    seconds = cloud.now() - begun
    failed = [each for each in ended if each["result"] == "Error"]
    return " ".join(str(each["details"]) for each in failed), seconds


def _events(cloud: Cloud, server: str) -> list[dict[str, Any]]:
    path = f"/servers/{server}/os-instance-actions"
    made = cloud.compute("GET", path)["instanceActions"]
    request = next(each for each in made if each["action"] == "evacuate")["request_id"]
    told = cloud.compute("GET", f"{path}/{request}")
    return list(told["instanceAction"]["events"])


@contextmanager
def _lost(stage: Stage) -> Iterator[None]:
    """Have central's host down, as its operator says; it is back afterwards."""
    cloud = stage.cloud
    query = f"/os-services?binary=nova-compute&host={CENTRAL}"
    [host] = cloud.compute("GET", query)["services"]
    path = f"/os-services/{host['id']}"
    stage.computes.kill(CENTRAL)
    cloud.compute("PUT", path, {"forced_down": True})
    try:
        yield
    finally:
        # Nova refuses to force a host up that has not seen to its evacuated servers
        # yet, and one that is forced down is not up for whoever waits for it.
        coming = stage.pool.submit(stage.restart, CENTRAL)
        cloud.wait(partial(_is_up_again, cloud, path), "the host of central")
        coming.result()


def _is_up_again(cloud: Cloud, path: str) -> bool:
    with suppress(RefusedError):
        cloud.compute("PUT", path, {"forced_down": False})
        return True
    return False
