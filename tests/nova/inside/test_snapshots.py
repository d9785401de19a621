"""Snapshots: direct ones for every disk at this site, and labelled as what they are."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from nova import exception
from nova.compute import power_state
from nova.virt import images as nova_images
from nova.virt.libvirt import utils as libvirt_utils

from cowpath.core.model import ImageId
from cowpath.testing.glance_scripts import Verb
from tests.nova.inside.cluster import RBD, SNAP, Volume
from tests.nova.inside.world import FSIDS, GIB, Compute


class Snapshots:
    """Has Nova's driver make snapshots of disks of running guests."""

    def __init__(self, compute: Compute, patch: pytest.MonkeyPatch) -> None:
        self._compute = compute
        self._patch = patch
        self.log: list[str] = []
        libvirt = compute.libvirt
        guest = SimpleNamespace(get_power_state=lambda _host: power_state.RUNNING)
        libvirt._host = SimpleNamespace(
            get_guest=lambda _server: guest, has_min_version=lambda **_kwargs: True
        )
        libvirt._suspend_guest_for_snapshot = self._suspend
        libvirt._resume_guest_after_snapshot = lambda *_args: None
        patch.setattr(nova_images, "convert_image", self._convert)

    def _suspend(self, _context: Any, live: Any, *_args: Any) -> None:
        if not live:
            self.log.append("suspended")

    def _convert(self, _path: str, out: str, *_args: Any, **_kwargs: Any) -> None:
        self.log.append("converted")
        Path(out).touch()

    def make(self, server: Any) -> ImageId:
        """Snapshot a server's root disk; return the new image's id."""
        image = self._compute.world.glance.announce("snapshot").id
        path = f"rbd:vms/{server.uuid}_disk"
        self._patch.setattr(libvirt_utils, "find_disk", lambda _guest: (path, "raw"))
        self._compute.libvirt.snapshot(
            self._compute.world.context(), server, image, lambda **_kwargs: None
        )
        return image

    def patched(self, path: str) -> list[Any]:
        """Return what was set at a path of images."""
        patches: list[Any] = self._compute.world.http.patches
        return [each["value"] for each in patches if each["path"] == path]


@pytest.fixture
def snapshots(compute: Compute, monkeypatch: pytest.MonkeyPatch) -> Snapshots:
    """Return what makes snapshots at `compute`."""
    return Snapshots(compute, monkeypatch)


def flat(compute: Compute) -> Any:
    """Return a server whose disk was downloaded, of an image that is not here."""
    server = compute.instance(compute.world.upload().id)
    name = f"{server.uuid}_disk"
    compute.world.edge.put("vms", name, GIB, written=GIB)
    return server


def test_a_clone_s_snapshot_is_direct(compute: Compute, snapshots: Snapshots) -> None:
    server = compute.instance(compute.world.upload().id)
    disk = compute.boot(server.image_ref, instance=server)
    made = snapshots.make(server)
    volume = compute.world.edge.pools["images"][made]
    assert volume.snaps == {SNAP: True}
    assert volume.parent is None
    assert compute.world.edge.pools["vms"][disk].snaps == {}
    url = f"rbd://{FSIDS['edge1']}/images/{made}/snap"
    assert snapshots.patched("/locations/-") == [{"url": url, "metadata": {}}]
    assert snapshots.log == []


def test_18_a_flat_disk_s_snapshot_is_direct_too(
    compute: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    if compute.ours:
        # Where Glance keeps images has to be known: a guess may be another Glance's.
        compute.configure("[cowpath]\nimages_pool = images\n")
    snapshots = Snapshots(compute, monkeypatch)
    made = snapshots.make(flat(compute))
    if compute.ours:
        assert compute.world.edge.pools["images"][made].snaps == {SNAP: True}
        assert snapshots.log == []
        assert compute.world.http.uploads == []
    else:
        assert snapshots.log == ["suspended", "converted"]
        assert compute.world.http.uploads == [made]
        assert compute.world.edge.names("images") == []


def test_18_where_nobody_said_where_images_lie_nova_s_way_is_taken(
    ours: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots = Snapshots(ours, monkeypatch)
    made = snapshots.make(flat(ours))
    assert snapshots.log == ["suspended", "converted"]
    assert ours.world.http.uploads == [made]


def test_18_a_snapshot_lies_where_the_operator_has_images(
    ours: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours.configure("[cowpath]\nimages_pool = glance\n")
    ours.world.edge.pools["glance"] = {}
    made = Snapshots(ours, monkeypatch).make(flat(ours))
    assert ours.world.edge.names("glance") == [made]


def test_18_without_a_store_a_flat_disk_is_nova_s_business(
    ours: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours.set(images_rbd_glance_store_name="")
    made = Snapshots(ours, monkeypatch).make(flat(ours))
    assert ours.world.http.uploads == [made]


@pytest.mark.parametrize("option", [None, "raw", "qcow2", "vmdk"])
def test_33_a_direct_snapshot_is_raw(
    compute: Compute, monkeypatch: pytest.MonkeyPatch, option: str | None
) -> None:
    compute.set(snapshot_image_format=option)
    snapshots = Snapshots(compute, monkeypatch)
    server = compute.instance(compute.world.upload().id)
    compute.boot(server.image_ref, instance=server)
    snapshots.make(server)
    expected = "raw" if compute.ours or option is None else option
    assert snapshots.patched("/disk_format") == [expected]


def test_33_an_upload_is_what_was_asked_for(
    compute: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute.set(snapshot_image_format="qcow2", images_rbd_glance_store_name="")
    snapshots = Snapshots(compute, monkeypatch)
    snapshots.make(flat(compute))
    assert snapshots.patched("/disk_format") == ["qcow2"]
    assert snapshots.log == ["suspended", "converted"]


def test_a_snapshot_that_may_not_be_written_is_uploaded(
    compute: Compute, snapshots: Snapshots
) -> None:
    """As Nova has it: the pool of images is read-only to its user."""
    server = compute.instance(compute.world.upload().id)
    disk = compute.boot(server.image_ref, instance=server)
    compute.world.edge.read_only.add("images")
    made = snapshots.make(server)
    assert compute.world.http.uploads == [made]
    assert snapshots.log == ["suspended", "converted"]
    assert compute.world.edge.pools["vms"][disk].snaps == {}


def test_12_a_snapshot_s_own_image_is_booted_from_here(
    compute: Compute, snapshots: Snapshots
) -> None:
    server = compute.instance(compute.world.upload().id)
    compute.boot(server.image_ref, instance=server)
    made = snapshots.make(server)
    compute.world.glance.change(made, status="active", disk_format="raw", size=2 * GIB)
    compute.world.http.foreign[made] = [
        str(each["url"]) for each in snapshots.patched("/locations/-")
    ]
    compute.world.glance.requests.clear()
    assert compute.is_clone(compute.boot(made), made)
    assert compute.world.count(Verb.COPY) == 0


def volume(compute: Compute, **snaps: bool) -> Volume:
    """Return an image `disk` with snapshots, and whether they are protected."""
    made = compute.world.edge.put("vms", "disk", GIB)
    made.snaps.update(snaps)
    return made


def test_32_a_protected_snapshot_is_passed_over(compute: Compute) -> None:
    made = volume(compute, kept=True)
    disk = compute.disk(path="rbd:vms/disk")
    if compute.ours:
        disk.remove_snap("kept", ignore_errors=True)
    else:
        with pytest.raises(RBD.ImageBusy):
            disk.remove_snap("kept", ignore_errors=True)
    disk.remove_snap("kept")
    assert made.snaps == {"kept": True}
    disk.driver.remove_snap("disk", "kept", force=True)
    assert made.snaps == {}


def test_a_snapshot_is_made_removed_and_rolled_back_to(compute: Compute) -> None:
    made = volume(compute)
    disk = compute.disk(path="rbd:vms/disk")
    disk.create_snap("nova-resize")
    made.written = GIB
    disk.rollback_to_snap("nova-resize")
    assert made.written == 0
    disk.remove_snap("nova-resize")
    disk.remove_snap("nova-resize", ignore_errors=True)
    assert made.snaps == {}
    with pytest.raises(exception.SnapshotNotFound):
        disk.rollback_to_snap("nova-resize")


def test_a_cleanup_of_nothing_does_nothing(compute: Compute) -> None:
    disk = compute.disk(path="rbd:vms/disk")
    disk.cleanup_direct_snapshot(None, also_destroy_volume=True, ignore_errors=True)
    assert compute.world.edge.clients == []


def test_a_server_s_disks_are_removed_with_their_snapshot(compute: Compute) -> None:
    volume(compute, **{"nova-resize": False})
    compute.world.edge.put("vms", "other", GIB)
    compute.disk(path="rbd:vms/disk").driver.cleanup_volumes(
        lambda name: name.startswith("disk")
    )
    assert compute.disks == ["other"]


def test_a_disk_that_stays_in_use_is_tried_for_a_minute(compute: Compute) -> None:
    volume(compute)
    compute.world.edge.busy.add("disk")
    driver = compute.disk(path="rbd:vms/disk").driver
    driver.cleanup_volumes(lambda name: name.startswith("disk"))
    assert len(compute.world.clock.slept) == 11
    assert compute.disks == ["disk"]
