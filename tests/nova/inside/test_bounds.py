"""Options out of bounds, and what is said of the configuration when it is read."""

import logging

import pytest
from nova import exception

from cowpath.doors.nova.here import here
from cowpath.testing.glance_scripts import Pace, StoreStalls, Verb
from tests.nova.inside.world import Compute, NeverEndsError


@pytest.mark.parametrize("timeout", [0, -1])
def test_30_a_copy_without_a_time_limit_still_ends(
    compute: Compute, timeout: int
) -> None:
    compute.set(images_rbd_glance_copy_timeout=timeout)
    compute.world.until = 10_000
    image = compute.world.upload()
    compute.world.glance.plan("edge1", StoreStalls(seconds=10**6))
    if compute.ours:
        with pytest.raises(exception.ImageUnacceptable, match="stopped"):
            compute.boot(image.id)
        assert compute.world.clock.now() < 1_000
    else:
        with pytest.raises(NeverEndsError):
            compute.boot(image.id)


@pytest.mark.parametrize("interval", [0, -15])
def test_30_no_interval_is_a_second(
    compute: Compute, interval: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        compute.set(images_rbd_glance_copy_poll_interval=interval)
    compute.world.glance.pace = Pace(staging=30, storing=60)
    image = compute.world.upload()
    if compute.ours:
        assert compute.is_clone(compute.boot(image.id), image.id)
        assert compute.world.count(Verb.GET) < 120
        told = f"copy_poll_interval is {interval}: taken for 1"
        assert told in caplog.text
    else:
        with pytest.raises(NeverEndsError):
            compute.boot(image.id)
        assert compute.world.count(Verb.GET) > 900
        assert compute.world.clock.now() < 10


def test_30_a_store_that_glance_does_not_have_is_told(compute: Compute) -> None:
    compute.set(images_rbd_glance_store_name="edgy")
    image = compute.world.upload()
    with pytest.raises(exception.ImageUnacceptable) as caught:
        compute.boot(image.id)
    assert "edgy" in str(caught.value)
    known = "central, edge1" in str(caught.value)
    assert known is compute.ours
    assert compute.disks == []


def test_30_a_name_that_cannot_be_a_store_s_is_refused_at_the_start(
    compute: Compute,
) -> None:
    if compute.ours:
        with pytest.raises(exception.InvalidConfiguration, match="edge1,edge2"):
            compute.set(images_rbd_glance_store_name="edge1,edge2")
    else:
        compute.set(images_rbd_glance_store_name="edge1,edge2")


def test_what_is_unknown_in_our_group_is_refused_at_the_start(ours: Compute) -> None:
    with pytest.raises(exception.InvalidConfiguration, match="evacuate_rebuild"):
        ours.configure("[cowpath]\nevacuate_rebuild = true\n")


def test_what_the_command_line_s_file_says_of_another_kind_is_passed_over(
    ours: Compute,
) -> None:
    ours.configure("[cowpath]\nstore_kind = file\nimages_dir = /i\ndisks_dir = /d\n")
    image = ours.world.upload()
    assert ours.is_clone(ours.boot(image.id), image.id)


def test_one_pool_for_images_and_disks_is_nova_s_choice(ours: Compute) -> None:
    ours.configure("[cowpath]\nimages_pool = vms\n")


def test_the_queue_is_as_long_as_the_copy_may_take(ours: Compute) -> None:
    ours.set(images_rbd_glance_copy_timeout=700)
    assert here().config.patience.queue == 700
    ours.configure("[cowpath]\ncopy_queue_timeout = 1800\n")
    assert here().config.patience.queue == 1800


def test_where_images_are_not_on_rbd_nothing_is_ours(
    ours: Compute, caplog: pytest.LogCaptureFixture
) -> None:
    ours.set(images_type="qcow2")
    assert "changes nothing here" in caplog.text
    image = ours.world.upload()
    assert ours.libvirt.cache_image(ours.world.context(), image.id) is True
    assert ours.world.downloads == [image.id]
    assert ours.world.count(Verb.COPY) == 0


def test_without_a_store_that_is_said(
    ours: Compute, caplog: pytest.LogCaptureFixture
) -> None:
    ours.set(images_rbd_glance_store_name="")
    assert "images_rbd_glance_store_name is not set" in caplog.text


def test_the_store_is_named_at_the_start(
    ours: Compute, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        ours.set(images_rbd_glance_copy_timeout=0)
    assert "brings images to store edge1" in caplog.text
    assert "copies are followed for ever" in caplog.text
