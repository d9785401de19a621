"""Rescues and moves: refused before anything is lost, or copied before it must be."""

import pytest
from nova import exception, objects
from nova.compute import utils as compute_utils
from nova.virt.libvirt import driver

from cowpath.testing.glance_scripts import StoreBreaks, Verb
from tests.nova.inside.managed import Managed, Mappings, disk_elsewhere
from tests.nova.inside.world import FSIDS, GIB, Compute

FAULT_BYTES = 255
"""What Nova keeps of a fault."""


def test_19_a_rescue_image_comes_while_the_guest_runs(
    compute: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = compute.world.upload()
    managed = Managed(compute, monkeypatch)
    server = compute.instance(image.id)
    managed.rescue(server, image.id)
    assert compute.disks == [f"{server.uuid}_disk.rescue"]
    assert compute.is_clone(f"{server.uuid}_disk.rescue", image.id)
    copies = int(compute.ours)
    assert managed.log == [f"powered off after {copies} copies"]
    assert compute.world.count(Verb.COPY) == 1


def test_19_a_rescue_whose_image_does_not_come_leaves_the_guest_alone(
    compute: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = compute.world.upload()
    compute.world.glance.plan("edge1", StoreBreaks())
    managed = Managed(compute, monkeypatch)
    with pytest.raises(exception.InstanceNotRescuable) as caught:
        managed.rescue(compute.instance(image.id), image.id)
    if compute.ours:
        assert managed.log == []
        assert "failed to copy" in str(caught.value)
        assert "was left as it was" in str(caught.value)
    else:
        assert managed.log == ["powered off after 0 copies", "server set to ERROR"]
    assert compute.disks == []


def test_19_a_rescue_image_that_is_here_is_not_copied(
    compute: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = compute.world.upload()
    compute.boot(image.id)
    managed = Managed(compute, monkeypatch)
    managed.rescue(compute.instance(image.id), image.id)
    assert compute.world.count(Verb.COPY) == 1


def test_19_a_rescue_image_that_may_be_downloaded_may_be(
    ours: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours.set(never_download_image_if_on_rbd=False)
    image = ours.world.upload(disk_format="qcow2")
    managed = Managed(ours, monkeypatch)
    with pytest.raises(exception.InstanceNotRescuable, match="Driver Error"):
        # The stand-in for Nova's rescue does not download.
        managed.rescue(ours.instance(image.id), image.id)
    assert managed.log[0] == "powered off after 0 copies"


def test_20_evacuating_from_another_cluster_is_refused(compute: Compute) -> None:
    image = compute.world.upload()
    server = compute.instance(image.id)
    disk_elsewhere(compute, server)
    if compute.ours:
        with pytest.raises(exception.InstanceFaultRollback) as caught:
            compute.libvirt.instance_on_disk(server)
        refused = caught.value.inner_exception
        assert isinstance(refused, exception.InvalidSharedStorage)
        assert (
            "evacuate_rebuilds" in compute_utils.exception_to_dict(refused)["message"]
        )
        assert len(refused.format_message()) <= FAULT_BYTES
        assert compute.disks == []
        return
    # `existing disk` is what Nova's manager says then, and has this made:
    assert compute.libvirt.instance_on_disk(server) is True
    made = compute.world.edge.pools["vms"][compute.boot(image.id, instance=server)]
    assert made.written == 0, "what the guest had written is not there"


def test_20_evacuating_within_a_cluster_is_as_ever(compute: Compute) -> None:
    image = compute.world.upload()
    server = compute.instance(image.id)
    compute.boot(image.id, instance=server)
    assert compute.libvirt.instance_on_disk(server) is True


@pytest.mark.parametrize("image", ["", "00000000-0000-4000-8000-000000000009"])
def test_20_a_server_on_volumes_may_go_anywhere(
    image: str, compute: Compute, mappings: Mappings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of an image of such a server has that image's id, and no disk of its own."""
    mappings.root = "volume"
    server = compute.instance(image)
    assert compute.libvirt.instance_on_disk(server) is True
    Managed(compute, monkeypatch).prep_resize(server)


@pytest.mark.parametrize("by_flavor", [True, False])
def test_20_a_server_on_volumes_with_an_ephemeral_disk_may_not(
    by_flavor: bool,  # noqa: FBT001
    compute: Compute,
    mappings: Mappings,
) -> None:
    mappings.root, mappings.blank = "volume", 0 if by_flavor else 1
    server = compute.instance("")
    server.flavor.ephemeral_gb = 1
    if not compute.ours:
        assert compute.libvirt.instance_on_disk(server) is True
        return
    with pytest.raises(exception.InstanceFaultRollback):
        compute.libvirt.instance_on_disk(server)
    disk = "disk.local" if by_flavor else "disk.eph0"
    compute.world.edge.put("vms", f"{server.uuid}_{disk}", GIB)
    assert compute.libvirt.instance_on_disk(server) is True


def test_20_evacuating_may_rebuild_where_the_operator_says_so(
    ours: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects.Instance, "save", lambda _self: None)
    ours.configure("[cowpath]\nevacuate_rebuilds = true\n")
    image = ours.world.upload()
    server = ours.instance(image.id)
    disk_elsewhere(ours, server)
    assert ours.libvirt.instance_on_disk(server) is False
    assert ours.is_clone(ours.boot(image.id, instance=server), image.id)
    # Not before it runs: the build may still fail, and it lives where it was.
    assert "cowpath_cluster" not in server.system_metadata
    monkeypatch.setattr(driver.LibvirtDriver, "spawn", lambda *_args: None)
    ours.libvirt.spawn(None, server)
    assert server.system_metadata["cowpath_cluster"] == FSIDS["edge1"]
    assert ours.libvirt.instance_on_disk(server) is True


def test_20_what_a_server_left_behind_is_not_taken_for_its_disk(
    ours: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nova keeps the disk of a server that was evacuated to another cluster."""
    monkeypatch.setattr(objects.Instance, "save", lambda _self: None)
    ours.configure("[cowpath]\nevacuate_rebuilds = true\n")
    server = ours.instance(ours.world.upload().id)
    ours.boot(server.image_ref, instance=server)
    server.system_metadata["cowpath_cluster"] = FSIDS["central"]
    with pytest.raises(exception.MigrationPreCheckError, match="is old"):
        ours.libvirt.check_can_live_migrate_destination(None, server, {}, {})
    with pytest.raises(exception.InstanceFaultRollback):
        ours.libvirt.instance_on_disk(server)


def test_20_a_server_that_was_never_started_has_nothing_to_lose(ours: Compute) -> None:
    server = ours.instance(ours.world.upload().id, launched_at=None)
    assert ours.libvirt.instance_on_disk(server) is True


def test_20_a_resize_to_another_cluster_is_refused_before_it_begins(
    compute: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = compute.instance(compute.world.upload().id)
    disk_elsewhere(compute, server)
    managed = Managed(compute, monkeypatch)
    if compute.ours:
        with pytest.raises(exception.InstanceFaultRollback) as caught:
            managed.prep_resize(server)
        assert isinstance(
            caught.value.inner_exception, exception.MigrationPreCheckError
        )
        assert "another Ceph cluster" in str(caught.value.inner_exception)
    else:
        managed.prep_resize(server)
    # With the claim the other host is told to power the guest off, and to send it.
    assert managed.log == ([] if compute.ours else ["claimed"])


def test_20_a_resize_within_a_cluster_begins(
    compute: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = compute.instance(compute.world.upload().id)
    compute.boot(server.image_ref, instance=server)
    managed = Managed(compute, monkeypatch)
    managed.prep_resize(server)
    assert managed.log == ["claimed"]


def test_20_a_live_migration_to_another_cluster_is_refused(compute: Compute) -> None:
    server = compute.instance(compute.world.upload().id)
    disk_elsewhere(compute, server)
    if compute.ours:
        with pytest.raises(
            exception.MigrationPreCheckError, match="another Ceph cluster"
        ):
            compute.libvirt.check_can_live_migrate_destination(None, server, {}, {})
    else:
        data = objects.LibvirtLiveMigrateData(image_type="rbd")
        assert compute.libvirt._is_shared_block_storage(server, data) is True


def test_20_a_cluster_that_does_not_answer_is_no_other_cluster(ours: Compute) -> None:
    server = ours.instance(ours.world.upload().id)
    ours.world.edge.put("vms", f"{server.uuid}_disk", GIB)
    refusal = ours.world.edge.refusal = ConnectionRefusedError("no route")
    with pytest.raises(ConnectionRefusedError) as caught:
        ours.libvirt.instance_on_disk(server)
    assert caught.value is refusal
