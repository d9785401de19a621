"""Glance with our door, and what may happen while it copies between two clusters.

From `central` to `edge` it copies as fast as it can, the other way slowly.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.lab.bench import noise
from tests.lab.ceph.ceph_bench import IMAGES, CephBench
from tests.lab.ceph.cluster import service, without
from tests.lab.ceph.door_bench import CENTRAL, EDGE, Copying, DoorBench, Step
from tests.lab.ceph.other_host import another_host

pytestmark = pytest.mark.ceph


@pytest.fixture(scope="module")
def door(bench: CephBench) -> Iterator[DoorBench]:
    """Have Glance serve our door."""
    # One that runs already may run another state of this checkout.
    service("glance", "stop")
    made = DoorBench(bench)
    made.serve()
    try:
        yield made
    finally:
        made.close()
        bench.clear()
        service("glance", "start")


def _fast(door: DoorBench, mib: int = 48) -> Copying:
    """Ask for a copy at full speed."""
    return door.copy(door.bench.upload(noise(mib), store=CENTRAL), EDGE)


def _slow(door: DoorBench, mib: int = 24) -> Copying:
    """Ask for a copy of some seconds."""
    return door.copy(door.bench.upload(noise(mib), store=EDGE), CENTRAL)


@pytest.mark.parametrize("moment", ["noted", "leased", "begun"])
def test_killed_at_a_moment(door: DoorBench, moment: str) -> None:
    """The next process of Glance goes on with it, at whatever moment."""
    copying = _fast(door)
    copying.kill_when(getattr(copying, moment))
    copying.succeeds()


def test_killed_when_all_of_it_has_arrived(door: DoorBench) -> None:
    """It is not proved yet."""
    copying = _slow(door)
    copying.kill_when(partial(copying.arrived, 1))
    copying.succeeds()


def test_killed_while_librbd_copies(door: DoorBench) -> None:
    copying = _fast(door, 96)
    copying.kill_when(partial(copying.arrived, 0.3))
    copying.succeeds()


@pytest.mark.parametrize(
    ("step", "moment"),
    [(Step.LIST, "published"), (Step.SETTLE, "listed"), (Step.UNLOCK, "settled")],
    ids=lambda each: str(getattr(each, "name", "")),
)
def test_killed_before_a_step_of_glance(
    door: DoorBench, step: Step, moment: str
) -> None:
    """Its bytes are proved and have their name already."""
    image = door.bench.upload(noise(48), store=CENTRAL)
    with door.refusing(step, image):
        copying = door.copy(image, EDGE)
        door.bench.wait(getattr(copying, moment), moment, every=0.01)
        copying.kill()
    copying.succeeds()


@pytest.mark.soak
def test_killed_three_times(door: DoorBench) -> None:
    """As often as it is taken up again; nothing is copied twice."""
    copying = _slow(door, 32)
    for part in (0.25, 0.5, 0.75):
        copying.kill_when(partial(copying.arrived, part))
    copying.succeeds()


@pytest.mark.parametrize("site", [CENTRAL, EDGE])
def test_an_osd_is_away_for_a_while(door: DoorBench, site: str) -> None:
    """The target's, then the source's; the task goes on to say that it lives."""
    copying = _slow(door)
    door.bench.wait(partial(copying.arrived, 0.25), "a part")
    with without(door.bench.clusters[site], f"{site}-osd", "pause"):
        copying.says_something(3)
    copying.succeeds()


@pytest.mark.soak
def test_an_osd_does_not_come_back(door: DoorBench) -> None:
    """One copy has its source there, and the other its target."""
    source = door.bench.upload(noise(96), store=CENTRAL)
    to = _slow(door, 64)
    door.bench.wait(to.begun, "the first bytes")
    of = door.copy(source, EDGE)
    with ExitStack() as stack:
        # To kill the OSD takes longer than to copy.
        with door.bench.glance_held(lambda: to.begun() and of.begun(), "both"):
            stack.enter_context(
                without(door.bench.clusters[CENTRAL], "central-osd", "kill")
            )
        for copying in (to, of):
            copying.ends_badly(within=240)
    # What has arrived is kept for the next one.
    for copying in (to, of):
        again = door.copy(copying.image, copying.target)
        again.succeeds()


def test_the_target_is_full(door: DoorBench) -> None:
    copying = _fast(door, 8)
    copying.succeeds()
    with door.bench.clusters[EDGE].full(IMAGES):
        _fast(door).fails("full")
    _fast(door).succeeds()


@pytest.mark.soak
def test_the_target_becomes_full(door: DoorBench) -> None:
    copying = _slow(door, 48)
    door.bench.wait(partial(copying.arrived, 0.15), "a part")
    with door.bench.clusters[CENTRAL].full(IMAGES):
        copying.fails("full")
    door.copy(copying.image, CENTRAL).succeeds()


@pytest.mark.parametrize("again", [False, True], ids=["removed", "replaced"])
def test_the_source_is_no_longer_what_it_was(door: DoorBench, *, again: bool) -> None:
    """What was removed reads as zeros; only the snapshot tells."""
    copying = _slow(door)
    door.bench.wait(partial(copying.arrived, 0.5), "a part")
    door.change_behind_its_back(copying.image, EDGE, again=again)
    copying.fails(copying.image)


def test_a_byte_is_wrong_at_the_source(door: DoorBench) -> None:
    image = door.bench.upload(noise(24), store=CENTRAL)
    there = door.pools[CENTRAL]
    with there.flipped(image, 3 * 2**20):
        told = door.copy(image, EDGE).fails("sha512")
    assert "os_hash_value" in told
    door.copy(image, EDGE).succeeds()


def test_what_users_change_meanwhile_is_kept(door: DoorBench) -> None:
    bench = door.bench
    image = bench.upload(
        noise(24), store=EDGE, visibility="public", tags=["old"], colour="red", less="1"
    )
    copying = door.copy(image, CENTRAL)
    bench.wait(partial(copying.arrived, 0.25), "a part")
    changed = {
        "name": "other",
        "visibility": "private",
        "protected": True,
        "tags": ["new", "newer"],
        "colour": "blue",
        "more": "2",
    }
    changes = [
        {"op": "add", "path": f"/{key}", "value": value}
        for key, value in changed.items()
    ]
    bench.patch(image, [*changes, {"op": "remove", "path": "/less"}])
    bench.ask("POST", f"/v2/images/{image}/actions/deactivate")
    ended = copying.over()
    assert bench.show(image)["status"] == "deactivated"
    bench.ask("POST", f"/v2/images/{image}/actions/reactivate")
    assert ended.status == "success", ended
    copying.succeeds()
    told = bench.show(image)
    told["tags"].sort()
    assert {key: told[key] for key in changed} == changed
    assert "less" not in told
    bench.patch(image, [{"op": "replace", "path": "/protected", "value": False}])


def test_deleted_meanwhile(door: DoorBench) -> None:
    copying, bench = _slow(door), door.bench
    bench.wait(partial(copying.arrived, 0.25), "a part")
    bench.delete(copying.image)
    told = copying.over()
    assert told.status == "failure", told
    assert "deleted" in told.message
    copying.leaves_nothing()
    for pool in door.pools.values():
        assert not pool.id_of(copying.image)


def test_two_ask_at_once(door: DoorBench) -> None:
    """One of them copies, whichever process it came to.

    Glance takes its lock before it saves the task, and whoever looks in between takes
    the lock for a forgotten one's: then two are accepted, and the first one fails.
    """
    image = door.bench.upload(noise(8), store=CENTRAL)

    def ask(_: int) -> Copying | str:
        try:
            return door.copy(image, EDGE)
        except AssertionError as error:
            return str(error)

    with ThreadPoolExecutor(8) as pool:
        asked = [*pool.map(ask, range(8))]
    assert all(" 409, " in each for each in asked if isinstance(each, str)), asked
    accepted = {each.task: each for each in asked if isinstance(each, Copying)}
    ended = {task: each.over().status for task, each in accepted.items()}
    [task] = [task for task, status in ended.items() if status == "success"]
    accepted[task].succeeds()


def test_another_process_lets_a_living_copy_be(door: DoorBench) -> None:
    copying, bench = _slow(door, 192), door.bench
    bench.wait(partial(copying.arrived, 0.05), "a part")
    worker = copying.worker()
    door.replace_workers(but=worker)
    assert copying.worker() == worker
    taken_up = [line for line in door.log().splitlines() if _TAKEN_UP in line]
    assert not [line for line in taken_up if copying.image in line]
    # It would be at it for some time.
    bench.delete(copying.image)
    copying.over()
    copying.leaves_nothing()


@pytest.mark.soak
def test_a_host_dies_and_another_one_takes_over(
    door: DoorBench, tmp_path: Path
) -> None:
    """Glance passes the lock after an hour; then the first host comes back."""
    copying = _slow(door)
    door.bench.wait(partial(copying.arrived, 0.3), "a part")
    service("glance", "kill")
    with another_host(door.bench, tmp_path, door.answers):
        door.bench.age(copying.image)
        again = door.copy(copying.image, CENTRAL)
        assert again.over().status == "success"
        door.serve()
        copying.leaves_nothing()
    assert copying.over().status == "failure"
    again.succeeds()


_TAKEN_UP = "going on with"


def test_twelve_at_once(door: DoorBench) -> None:
    bench = door.bench
    images = [bench.upload(noise(8), store=CENTRAL) for _ in range(12)]
    with ThreadPoolExecutor(12) as pool:
        copying = [*pool.map(lambda image: door.copy(image, EDGE), images)]
    for each in copying:
        each.over()
    for each in copying:
        each.succeeds()


def test_memory(door: DoorBench, capsys: pytest.CaptureFixture[str]) -> None:
    image = door.make(CENTRAL, size=2**30, data=128 * 2**20)
    # What has copied before has more memory than it uses.
    door.replace_workers()
    idle = {worker: door.peak(worker, anew=True) for worker in door.workers()}
    copying = door.copy(image, EDGE)
    assert copying.over().status == "success"
    grown = max(door.peak(worker) - before for worker, before in idle.items())
    with capsys.disabled():
        print(f"\n{grown >> 20} MiB more for a copy of 1 GiB")  # noqa: T201
    assert grown <= 256 * 2**20


def test_progress_is_seen_from_outside(door: DoorBench, tmp_path: Path) -> None:
    bench = door.bench
    # Looks are seconds apart, and more on a busy machine.
    image = bench.upload(noise(64), store=EDGE)
    begun = bench.begin(tmp_path, "image", "place", image, site=CENTRAL)
    ran = begun.end()
    assert ran.code == 0, ran
    present = [each["present"] for each in ran.told("CopyProgress")]
    assert present == sorted(present)
    seen = {each for each in present if 0 < each < 64 * 2**20}
    assert len(seen) > 2, ran.events
    door.is_whole(image, CENTRAL)
