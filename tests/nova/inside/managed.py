"""Nova's compute manager around a driver: real decisions, nobody to tell of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from inspect import unwrap
from types import SimpleNamespace
from typing import Any, Self

import nova.service
import pytest
from nova import objects
from nova.compute import power_state
from nova.compute import utils as compute_utils

from tests.nova.inside.world import GIB, Compute

_MUTED = (
    "notify_about_instance_create",
    "notify_about_instance_rescue_action",
    "notify_usage_exists",
)
_NOTHING = (None,) * 7
"""Files, password, networks, security groups, volumes, node and limits."""


class Anybody:
    """Does nothing, whatever it is asked, and says so by its own kind."""

    def __call__(self, *_args: Any, **_kwargs: Any) -> "Anybody":
        return self

    def __getattr__(self, name: str) -> "Anybody":
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_args: object) -> None:
        return None


class Mappings:
    """The block devices of every server: its root on this cluster, no more."""

    def __init__(self) -> None:
        self.root = "local"
        self.blank = 0

    def __call__(self, *_args: Any, **_kwargs: Any) -> Any:
        source = {"local": "image", "volume": "volume"}[self.root]
        root = objects.BlockDeviceMapping(
            source_type=source, destination_type=self.root, boot_index=0
        )
        blank = [
            objects.BlockDeviceMapping(
                source_type="blank",
                destination_type="local",
                boot_index=-1,
                guest_format=None,
            )
            for _ in range(self.blank)
        ]
        return objects.BlockDeviceMappingList(objects=[root, *blank])


class Managed:
    """A compute manager whose driver is a `Compute`'s."""

    def __init__(self, compute: Compute, patch: pytest.MonkeyPatch) -> None:
        self._compute = compute
        self.log: list[str] = []
        room, _, name = nova.service.SERVICE_MANAGERS["nova-compute"].rpartition(".")
        kind: Any = getattr(import_module(room), name)
        self.manager: Any = object.__new__(kind)
        self._staff()
        for muted in _MUTED:
            patch.setattr(compute_utils, muted, Anybody())
        patch.setattr(objects.Instance, "save", Anybody())
        # Rescue is an administrator's errand to Nova; our contexts know no policy.
        elevated = compute.world.context(admin=True)
        self.context = compute.world.context()
        patch.setattr(type(self.context), "elevated", lambda _self: elevated)

    def _staff(self) -> None:
        nobody = Anybody()
        for name in (
            "_build_resources_cleanup",
            "_check_device_tagging",
            "_get_instance_block_device_info",
            "_notify_about_instance_usage",
            "_update_instance_after_spawn",
            "_update_scheduler_instance_info",
            "_validate_instance_group_policy",
            "compute_rpcapi",
            "network_api",
            "notifier",
            "reportclient",
            "share_manager",
        ):
            setattr(self.manager, name, nobody)
        self.manager.driver = self._compute.libvirt
        self.manager.host = "edge-host"
        self.manager.image_api = nova.image.glance.API()
        self.manager.rt = SimpleNamespace(
            instance_claim=nobody, resize_claim=self._claim
        )
        self.manager._build_resources = self._resources
        self.manager._get_power_state = lambda _instance: power_state.RUNNING
        self.manager._power_off_instance = self._power_off
        self.manager._set_instance_obj_error_state = self._error

    @contextmanager
    def _resources(self, *_args: Any) -> Iterator[dict[str, None]]:
        yield {"block_device_info": None, "network_info": None, "accel_info": None}

    def _claim(self, *_args: Any, **_kwargs: Any) -> Anybody:
        self.log.append("claimed")
        return Anybody()

    def _power_off(self, *_args: Any) -> None:
        copied = len(self._compute.world.glance._imports._tasks)
        self.log.append(f"powered off after {copied} copies")

    def _error(self, *_args: Any) -> None:
        self.log.append("server set to ERROR")

    def build(self, image: str) -> str:
        """Build a server as for a user; return its disk.

        Raises:
            BuildAbortException: It is in ERROR.
            RescheduledException: The next host may try.
        """
        server, disk = self._compute.instance(image), [""]

        def spawn(context: Any, instance: Any, *_args: Any, **_kwargs: Any) -> None:
            disk[0] = self._compute.boot(image, context=context, instance=instance)

        self.manager.driver = _With(self._compute.libvirt, spawn=spawn)
        self.manager._build_and_run_instance(
            self.context,
            server,
            {"name": "debian", "properties": {}},
            *_NOTHING,
            filter_properties={},
            request_spec=objects.RequestSpec(requested_resources=[]),
        )
        return disk[0]

    def rescue(self, server: Any, image: str) -> None:
        """Rescue a server with an image.

        Raises:
            InstanceNotRescuable: It was not.
        """

        def rescue(context: Any, instance: Any, *_args: Any) -> None:
            self._compute.disk(instance, "disk.rescue").clone(context, image)

        self.manager.driver = _With(self._compute.libvirt, rescue=rescue)
        plain = unwrap(type(self.manager).rescue_instance)
        plain(self.manager, self.context, server, "password", image, True)  # noqa: FBT003  # Nova's

    def prep_resize(self, server: Any) -> None:
        """Begin to move a server to our host.

        Raises:
            InstanceFaultRollback: It stays where it is.
        """
        server.host = "the-host-that-it-leaves"
        flavor = objects.Flavor(id=2, root_gb=2)
        spec = objects.RequestSpec(requested_resources=[])
        self.manager._prep_resize(
            self.context, Anybody(), server, flavor, {}, "node", None, spec
        )


class _With:
    """A driver, with some methods of its own."""

    def __init__(self, libvirt: Any, **methods: Any) -> None:
        self._libvirt = libvirt
        self.capabilities = {"supports_evacuate": True}
        vars(self).update(methods)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._libvirt, name)


def disk_elsewhere(compute: Compute, server: Any) -> None:
    """Have a server's disk, with data, in the other site's cluster only."""
    central = compute.world.clusters["central"]
    central.put("vms", f"{server.uuid}_disk", GIB, written=GIB)
