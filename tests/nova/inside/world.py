"""A Glance, two sites' clusters and a nova-compute at one of them, in made-up time."""

import inspect
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nova.conf
import nova.image.glance
import nova.privsep.path
import nova.service
import nova.storage.rbd_utils
import nova.virt.libvirt
import pytest
from nova import context as nova_context
from nova import objects
from nova.virt import images as nova_images
from nova.virt.libvirt import driver as nova_driver
from nova.virt.libvirt import imagebackend

from cowpath import wiring
from cowpath.core.model import Bytes, Image, ImageId, StoreName
from cowpath.doors.nova import ceph, here, places
from cowpath.testing.clock import FakeClock
from cowpath.testing.glance_scripts import Rules, Verb
from cowpath.testing.glance_simulator import GlanceSimulator
from tests.nova.inside.cluster import RBD, Cluster, mon_dump, rados_of
from tests.nova.inside.glance_http import GlanceHttp
from tests.nova.inside.stand_in import StandIn

GIB = 2**30
CENTRAL, EDGE = StoreName("central"), StoreName("edge1")
FSIDS = {
    "central": "11111111-0000-4000-8000-000000000000",
    "edge1": "22222222-0000-4000-8000-000000000000",
}
CONF = nova.conf.CONF
_MANY = 1000


class NeverEndsError(Exception):
    """Somebody asked so often that it would go on for ever."""


class World:
    """What is outside nova-compute."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = FakeClock()
        self.clusters = {
            name: Cluster(fsid, "images", "vms") for name, fsid in FSIDS.items()
        }
        self.glance = GlanceSimulator(
            self.clock, sink=self._arrive, locate=self._locate
        )
        self.glance.rules = Rules(admins_only=False)
        self.http = GlanceHttp(self.glance)
        self.stores: list[StandIn] = []
        self.commands: list[tuple[str, ...]] = []
        self.downloads: list[str] = []
        self.until = 10**9
        """The time at which waiting is given up."""

    @property
    def edge(self) -> Cluster:
        """The cluster of the site that our host is at."""
        return self.clusters["edge1"]

    def upload(self, **facts: Any) -> Image:
        """Return a new image that only central has."""
        size = facts.pop("size", GIB)
        image = self.glance.upload("debian", size=size)
        if facts:
            self.glance.change(image.id, **facts)
        self.glance.requests.clear()
        return image

    def count(self, verb: Verb) -> int:
        """Return how many such requests Glance got."""
        return self.glance.count(verb)

    def sleep(self, seconds: float) -> None:
        """Wait as Nova does, without waiting.

        Raises:
            NeverEndsError: That was too often, or for too long.
        """
        self.clock.sleep(max(seconds, 1e-6))
        often = len(self.clock.slept) > _MANY
        if often or self.clock.now() > self.until:
            raise NeverEndsError(f"{len(self.clock.slept)} sleeps")

    def execute(self, *command: str, **_kwargs: Any) -> tuple[str, str]:
        """Run what Nova runs as a process."""
        self.commands.append(command)
        match command:
            case ("ceph", "mon", "dump", *_):
                return mon_dump(self.edge), ""
            case ("rbd", "import", "--pool", pool, base, name, *_):
                size = Path(base).stat().st_size
                self.edge.put(pool, name, size, written=size)
                return "", ""
            case _:
                raise AssertionError(f"nobody has a program for {command}")

    def fetch(self, _context: Any, image: str, target: str, *_more: Any) -> None:
        """Download an image as Nova does, over the way between the sites."""
        self.downloads.append(image)
        with Path(target).open("wb") as file:
            file.truncate(self.glance._records[ImageId(image)].image.size or 0)

    def context(self, project: str = "member", *, admin: bool = False) -> Any:
        """Return the context of a user's request."""
        return nova_context.RequestContext(
            f"user-of-{project}",
            project,
            is_admin=admin,
            auth_token="of-the-user",  # noqa: S106  # opens nothing
            service_catalog=[],
        )

    def _arrive(self, image: ImageId, store: StoreName, present: Bytes | None) -> None:
        cluster = self.clusters.get(store)
        if cluster is not None:
            size = self.glance._records[image].image.size or 0
            cluster.arrive(image, size, present)

    def _locate(self, image: ImageId, store: StoreName) -> str:
        fsid = FSIDS.get(store, "33333333-0000-4000-8000-000000000000")
        return f"rbd://{fsid}/images/{image}/snap"


@dataclass(slots=True)
class Compute:
    """A nova-compute, Nova's own or with our door in it.

    Attributes:
        ours: Whether it is with our door.
        libvirt: The driver.
        log: What became of guests.
    """

    world: World
    ours: bool
    _pytest: pytest.MonkeyPatch
    libvirt: Any = None
    log: list[str] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def start(self) -> "Compute":
        """Start it: classes are put in place, options are read."""
        if self.ours:
            assert places.install() == []
        self.libvirt = nova.virt.libvirt.LibvirtDriver(None)
        self.libvirt.image_backend.BACKEND.setdefault("rbd", imagebackend.Rbd)
        return self

    def set(self, **options: Any) -> None:
        """Set options of [libvirt], and read them all again."""
        for name, value in options.items():
            group = "workarounds" if name.startswith("never") else "libvirt"
            CONF.set_override(name, value, group=group)
        self._pytest.setattr(here, "_known", {})
        if self.libvirt is not None:
            self.libvirt = nova.virt.libvirt.LibvirtDriver(None)

    def configure(self, text: str) -> None:
        """Have a nova.conf with these lines."""
        path = self.world.folder / "nova.conf"
        path.write_text(text)
        CONF([], project="nova", default_config_files=[str(path)])
        self.set()

    def instance(self, image: str, **facts: Any) -> Any:
        """Return a new server of an image."""
        flavor = objects.Flavor(root_gb=2, ephemeral_gb=0, extra_specs={})
        uuid = f"aaaaaaaa-0000-4000-8000-{next(self.numbers):012x}"
        told = {
            "uuid": uuid,
            "flavor": flavor,
            "image_ref": image,
            "task_state": None,
            "vm_state": "building",
            "trusted_certs": None,
            "migration_context": None,
            "system_metadata": {"image_disk_format": "raw"},
            "host": "edge-host",
            "project_id": "member",
            "user_id": "user-of-member",
            "kernel_id": "",
            "ramdisk_id": "",
            "os_type": None,
            "architecture": None,
            "numa_topology": None,
            "display_name": "server",
            "config_drive": "True",
            "launched_at": datetime(2026, 1, 1, tzinfo=UTC),
        }
        return objects.Instance(**{**told, **facts})

    def disk(self, instance: Any = None, name: str = "disk", path: str = "") -> Any:
        """Return the image backend of a disk."""
        kind = self.libvirt.image_backend.backend("rbd")
        mapping = {"bus": "virtio", "dev": "vda", "type": "disk"}
        if path:
            return kind(path=path)
        if instance is None:
            instance = self.instance("")
        return kind(instance=instance, disk_name=name, disk_info_mapping=mapping)

    def boot(self, image: str, *, context: Any = None, instance: Any = None) -> str:
        """Make a server's root disk as Nova's driver does; return its name."""
        server = instance or self.instance(image)
        self.libvirt._create_and_inject_local_root(
            context or self.world.context(),
            server,
            {"disk": {"bus": "virtio", "dev": "vda", "type": "disk"}},
            False,  # noqa: FBT003  # Nova's
            "",
            {"image_id": image},
            None,
            None,
        )
        return f"{server.uuid}_disk"

    def is_clone(self, disk: str, image: str) -> bool:
        """Tell whether a disk is a clone of the image in this site's store."""
        volume = self.world.edge.pools["vms"].get(disk)
        return volume is not None and volume.parent == ("images", image, "snap")

    @property
    def disks(self) -> list[str]:
        """Return the disks at this site."""
        return self.world.edge.names("vms")


def _bare(self: Any, *_args: Any, **_kwargs: Any) -> None:
    """Make Nova's libvirt driver without a libvirt."""
    self.image_backend = imagebackend.Backend(CONF.use_cow_images)
    self._image_api = nova.image.glance.API()


@contextmanager
def computing(
    folder: Path, patch: pytest.MonkeyPatch, *, ours: bool
) -> Iterator[Compute]:
    """Yield a nova-compute at edge1 that was not started yet."""
    world = World(folder)
    CONF([], project="nova", default_config_files=[])
    _options(world)
    _novas_seams(world, patch)
    _our_seams(world, patch)
    yield Compute(world, ours, patch)
    CONF.reset()
    CONF.clear()


def _options(world: World) -> None:
    told: Sequence[tuple[str | None, dict[str, Any]]] = (
        (
            "libvirt",
            {
                "images_type": "rbd",
                "images_rbd_pool": "vms",
                "images_rbd_ceph_conf": "edge1.conf",
                "images_rbd_glance_store_name": "edge1",
                "rbd_user": "nova",
            },
        ),
        ("glance", {"api_servers": ["http://glance"]}),
        ("workarounds", {"never_download_image_if_on_rbd": True}),
        (None, {"instances_path": str(world.folder), "host": "edge-host"}),
    )
    for group, options in told:
        for name, value in options.items():
            CONF.set_override(name, value, group=group)


def _novas_seams(world: World, patch: pytest.MonkeyPatch) -> None:
    utils = nova.storage.rbd_utils
    confs = {f"{name}.conf": cluster for name, cluster in world.clusters.items()}
    failed = utils.processutils.ProcessExecutionError
    programs = SimpleNamespace(execute=world.execute, ProcessExecutionError=failed)
    patch.setattr(utils, "rados", rados_of(confs))
    patch.setattr(utils, "rbd", RBD)
    patch.setattr(utils, "processutils", programs)
    patch.setattr(nova_images, "fetch_to_raw", world.fetch)
    raw = SimpleNamespace(file_format="raw", virtual_size=GIB)
    patch.setattr(nova_images, "qemu_img_info", lambda _path: raw)
    patch.setattr(nova.privsep.path, "utime", lambda _path: None)
    patch.setattr(nova_driver.LibvirtDriver, "__init__", _bare)
    patch.setattr(
        nova.image.glance,
        "_glanceclient_from_endpoint",
        lambda context, _endpoint, _version: world.http.client(context),
    )
    patch.setattr(nova.image.glance, "time", SimpleNamespace(sleep=world.sleep))
    _sleepless(world, patch, utils.loopingcall)
    for module, name in (
        (utils, "RBDDriver"),
        (utils, "RBDVolumeProxy"),
        (nova.virt.libvirt, "LibvirtDriver"),
    ):
        patch.setattr(module, name, getattr(module, name))
    managers = nova.service.SERVICE_MANAGERS
    patch.setitem(managers, "nova-compute", managers["nova-compute"])


def _sleepless(world: World, patch: pytest.MonkeyPatch, loopingcall: Any) -> None:
    """Let Nova's timers wait in made-up time."""
    # What they have in common, whichever way Nova runs threads, is where this is.
    parts = inspect.getmodule(loopingcall.LoopingCallDone)
    patch.setattr(parts, "time", SimpleNamespace(time=world.clock.now))
    for kind in (
        loopingcall.FixedIntervalLoopingCall,
        loopingcall.FixedIntervalWithTimeoutLoopingCall,
    ):
        patch.setattr(kind, "_sleep", lambda _self, seconds: world.sleep(seconds))


def _our_seams(world: World, patch: pytest.MonkeyPatch) -> None:
    def make(config: Any, _clock: Any = None) -> StandIn:
        store = StandIn(config, world.edge)
        world.stores.append(store)
        return store

    patch.setattr(wiring, "STORES", {"rbd": SimpleNamespace(make=make)})
    patch.setattr(wiring, "SystemClock", lambda: world.clock)
    patch.setattr(here, "_known", {})
    patch.setattr(ceph, "CONNECTIONS", ceph.Connections())
