"""Connections to the cluster: few, replaced when lost, not shut down under others."""

import os
import threading
from collections.abc import Callable
from typing import Any

import pytest
from nova import exception
from nova.storage import rbd_utils

from cowpath.doors.nova import threads
from tests.nova.inside.cluster import (
    Client,
    ClientShutOutError,
    ConnectionShutdownError,
    ObjectNotFoundError,
    RadosError,
)
from tests.nova.inside.world import GIB, Compute

LOST = (ClientShutOutError, ConnectionShutdownError)
"""What who was blocklisted gets, of an object and of an image."""


@pytest.fixture
def driver(ours: Compute) -> Any:
    """Return Nova's driver with our connections, and one disk to look at."""
    ours.world.edge.put("vms", "disk", GIB)
    return ours.disk().driver


def clients(compute: Compute) -> list[Client]:
    """Return everybody who ever connected to our site's cluster."""
    return compute.world.edge.clients


def test_one_connection_for_all_calls(ours: Compute, driver: Any) -> None:
    for _ in range(3):
        driver.get_fsid()
        driver.size("disk")
        assert driver.exists("disk", pool="images") is False
    ours.disk().exists()
    assert len(clients(ours)) == 1
    assert not clients(ours)[0].down


def test_nova_s_driver_connects_for_each(compute: Compute) -> None:
    compute.world.edge.put("vms", "disk", GIB)
    for _ in range(3):
        compute.disk().driver.size("disk")
    assert len(clients(compute)) == (1 if compute.ours else 3)


def test_each_cluster_and_user_has_its_own(ours: Compute, driver: Any) -> None:
    driver.get_fsid()
    other = rbd_utils.RBDDriver(user="glance")
    assert other.get_fsid() == driver.get_fsid()
    assert len(clients(ours)) == 2
    central = rbd_utils.RBDDriver(ceph_conf="central.conf")
    assert central.get_fsid() != driver.get_fsid()
    assert len(ours.world.clusters["central"].clients) == 1


def test_a_pool_that_is_not_there_costs_no_connection(
    ours: Compute, driver: Any
) -> None:
    for _ in range(2):
        with pytest.raises(ObjectNotFoundError):
            driver.exists("disk", pool="nowhere")
    assert driver.size("disk") == GIB
    assert len(clients(ours)) == 1


def test_a_refused_connection_is_tried_again(ours: Compute, driver: Any) -> None:
    ours.world.edge.refusal = RadosError("timed out")
    for _ in range(2):
        with pytest.raises(RadosError):
            driver.get_fsid()
    ours.world.edge.refusal = None
    assert driver.size("disk") == GIB
    assert len(clients(ours)) == 1


def test_an_error_of_one_call_ends_no_connection(ours: Compute, driver: Any) -> None:
    with pytest.raises(exception.ImageUnacceptable):
        driver.parent_info("disk")
    with pytest.raises(rbd_utils.rbd.ImageNotFound):
        driver.size("another")
    assert driver.size("disk") == GIB
    assert len(clients(ours)) == 1


def test_a_blocklisted_connection_is_replaced(ours: Compute, driver: Any) -> None:
    driver.size("disk")
    (lost,) = clients(ours)
    lost.blocklisted = True
    with pytest.raises(LOST):
        driver.resize("disk", 2 * GIB)
    assert [client.down for client in clients(ours)] == [True]
    driver.resize("disk", 2 * GIB)
    assert driver.size("disk") == 2 * GIB
    assert len(clients(ours)) == 2


def test_a_lost_connection_is_shut_down_by_its_last_user(
    ours: Compute, driver: Any
) -> None:
    with rbd_utils.RADOSClient(driver) as first:
        (lost,) = clients(ours)
        lost.blocklisted = True
        with pytest.raises(LOST):
            driver.size("disk")
        assert not lost.down, "the first one still uses it"
        assert driver.size("disk") == GIB, "whoever comes now has a new one"
        assert first.cluster.get_fsid() == ours.world.edge.fsid
    assert [client.down for client in clients(ours)] == [True, False]


def test_two_that_lose_one_connection_shut_it_down_once(
    ours: Compute, driver: Any
) -> None:
    def lose() -> None:
        with rbd_utils.RADOSClient(driver) as mine:
            clients(ours)[0].blocklisted = True
            with pytest.raises(LOST):
                driver.size("disk")
            assert mine.ioctx.volumes, "this one too"

    with pytest.raises(LOST):
        lose()
    assert driver.size("disk") == GIB
    assert [client.down for client in clients(ours)] == [True, False]


def test_somebody_else_s_loss_is_not_this_connection_s(
    ours: Compute, driver: Any
) -> None:
    """Nova works on while it handles what another call met."""

    def another() -> None:
        raise ConnectionShutdownError("of something else")

    try:
        another()
    except ConnectionShutdownError:
        with rbd_utils.RADOSClient(driver) as one:
            assert driver.size("disk") == GIB
            assert one.cluster.get_fsid() == ours.world.edge.fsid
    assert driver.size("disk") == GIB
    assert len(ours.world.edge.open) == 1


def test_a_process_that_was_forked_connects_anew(
    ours: Compute, driver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.size("disk")
    ours_pid = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: ours_pid + 1)
    driver.size("disk")
    assert len(clients(ours)) == 2
    assert ours.world.edge.open == clients(ours), "the parent goes on with its own"


def test_no_two_threads_use_one_at_once(ours: Compute, driver: Any) -> None:
    """librbd 16.2 aborts the process where they do."""
    meet = threading.Barrier(2, timeout=20)
    found: list[Any] = []

    def work() -> None:
        with rbd_utils.RADOSClient(driver) as one:
            meet.wait()
            found.append((one.cluster, driver.size("disk")))
            meet.wait()

    run(work, 2)
    assert [size for _, size in found] == [GIB, GIB]
    assert found[0][0] is not found[1][0]
    assert len(clients(ours)) == 2
    assert driver.size("disk") == GIB
    assert len(clients(ours)) == 2, "what a thread had is the next one's"


def test_calls_within_calls_use_one(ours: Compute, driver: Any) -> None:
    with rbd_utils.RADOSClient(driver) as one, rbd_utils.RADOSClient(driver) as two:
        assert one.cluster is two.cluster
        assert driver.size("disk") == GIB
    assert len(clients(ours)) == 1


def test_few_are_kept_after_many_at_once(ours: Compute, driver: Any) -> None:
    meet = threading.Barrier(8, timeout=20)

    def work() -> None:
        with rbd_utils.RADOSClient(driver):
            meet.wait()

    run(work, 8)
    assert len(clients(ours)) == 8
    assert len(ours.world.edge.open) == 4


def test_with_one_lost_the_idle_ones_are_lost(ours: Compute, driver: Any) -> None:
    meet = threading.Barrier(3, timeout=20)

    def work() -> None:
        with rbd_utils.RADOSClient(driver):
            meet.wait()

    run(work, 3)
    for each in clients(ours):
        each.blocklisted = True
    with pytest.raises(LOST):
        driver.size("disk")
    assert ours.world.edge.open == []
    assert driver.size("disk") == GIB


def run(work: Callable[[], None], times: int) -> None:
    """Run something in threads of its own, at once."""
    every = [threading.Thread(target=work) for _ in range(times)]
    for each in every:
        each.start()
    for each in every:
        each.join(30)
        assert not each.is_alive()


def test_where_nova_is_green_librados_runs_in_native_threads(
    ours: Compute, driver: Any
) -> None:
    """It would stop every green thread until the monitors answer."""
    driver.size("disk")
    (one,) = clients(ours)
    here = (threads.native() or threading).get_ident()
    assert (one.thread != here) is threads.are_green()


def test_where_nova_is_green_another_works_on_meanwhile(
    ours: Compute, driver: Any
) -> None:
    """Two boots, one of which has to connect to a cluster that takes its time."""
    native = threads.native() or threading
    answered, log = native.Event(), list[str]()
    ours.world.edge.connecting = lambda: log.append(str(answered.wait(20)))

    def connect() -> None:
        log.append(f"{driver.size('disk')}")

    one = threading.Thread(target=connect)
    one.start()
    log.append("works on")
    answered.set()
    one.join(30)
    assert log == ["works on", "True", str(GIB)]


def test_a_blocklisted_host_s_next_boot_is_like_any(ours: Compute) -> None:
    """Nova connects for each call, so it never meets what became of the last one."""
    ours.set(images_rbd_glance_store_name="")
    image = ours.world.upload()
    ours.world.glance.copy_elsewhere(image.id, "edge1")
    ours.world.clock.sleep(60)
    assert ours.is_clone(ours.boot(image.id), image.id)
    clients(ours)[0].blocklisted = True
    assert ours.is_clone(ours.boot(image.id), image.id)


def test_the_mode_is_the_one_that_was_asked_for() -> None:
    told = os.environ.get("OS_NOVA_DISABLE_EVENTLET_PATCHING", "")
    assert threads.are_green() is (told not in {"1", "true", "yes"})
