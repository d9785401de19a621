"""A copy of two minutes: when its end is noticed, and what that costs Glance."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Thread

import pytest

from cowpath.clock import SystemClock
from cowpath.core.model import Seconds
from tests.lab.bench import noise
from tests.lab.ceph.ceph_bench import EDGE, IMAGES, CephBench, phases
from tests.lab.ceph.cluster import Ceph, service

pytestmark = pytest.mark.ceph

_MIB = 2**20
_SIZE_MIB = 118
_POLL: Seconds = 15
_LISTED = (
    "SELECT count(*) FROM image_locations WHERE image_id = ? AND deleted = 0 "
    "AND meta_data LIKE '%edge%'"
)
_LOCKED = (
    "SELECT count(*) FROM image_properties WHERE image_id = ? AND deleted = 0 "
    "AND name = 'os_glance_import_task'"
)


class _Patient(Thread):
    """Looks at an image as nova-compute does: at once, then every 15 s."""

    def __init__(self, bench: CephBench, image: str) -> None:
        super().__init__(daemon=True)
        self._bench = bench
        self._image = image
        self.looks = 0
        self.ended: Seconds | None = None

    def run(self) -> None:
        clock = SystemClock()
        begun = clock.now()
        while True:
            told = self._bench.show(self._image)
            self.looks += 1
            importing = told.get("os_glance_importing_to_stores", "").split(",")
            if EDGE in told["stores"].split(",") and EDGE not in importing:
                self.ended = clock.now()
                return
            clock.sleep(begun + self.looks * _POLL - clock.now())


class _Witness(Thread):
    """Sees in Glance's database when it lists the store, and asks it nothing."""

    def __init__(self, bench: CephBench, image: str) -> None:
        super().__init__(daemon=True)
        self._bench = bench
        self._image = image
        self.listed: Seconds | None = None
        self.free: Seconds | None = None

    def run(self) -> None:
        clock = SystemClock()
        with closing(self._bench._database()) as database:

            def count(words: str) -> int:
                return int(database.execute(words, (self._image,)).fetchone()[0])

            while not count(_LISTED):
                clock.sleep(0.02)
            self.listed = clock.now()
            while count(_LOCKED):
                clock.sleep(0.02)
            self.free = clock.now()


@pytest.fixture
def small_steps() -> Iterator[None]:
    """Have Glance write 1 MiB at a time, as the limit lets through in a second."""
    try:
        service("glance", "start", "--set", "edge.rbd_store_chunk_size=1")
        yield
    finally:
        service("glance", "start")


@pytest.fixture
def image(bench: CephBench) -> Iterator[str]:
    made = bench.upload(noise(_SIZE_MIB), store="central")
    yield made
    bench.delete(made)


@pytest.mark.soak
@pytest.mark.usefixtures("small_steps")
def test_the_end_is_noticed_and_glance_is_asked_seldom(
    bench: CephBench,
    edge: Ceph,
    image: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = SystemClock()
    with edge.throttled(IMAGES, _MIB):
        begun = bench.begin(tmp_path, "image", "place", image)
        bench.until(begun, event="CopyAsked")
        start = clock.now()
        others = _Patient(bench, image), _Witness(bench, image)
        for each in others:
            each.start()
        bench.wait(
            lambda: bool(begun.tell_of(event="CopyFinished")), "the end", within=240
        )
        noticed = clock.now()
        ran = begun.end()
        for each in others:
            each.join(60)
    patient, witness = others
    assert ran.code == 0, ran
    assert phases(ran) == ["staging", "storing", "finishing"]
    present = [each["present"] for each in ran.told("CopyProgress")]
    assert present == sorted(present)
    assert bench.copies(image) == 1
    assert patient.ended
    assert witness.listed
    assert witness.free
    line = f"GET /images/{image} 200 "
    looks = sum(each.startswith(line) for each in bench.log()) - patient.looks - 1
    figures = {
        "copy_seconds": round(witness.free - start, 1),
        "noticed_after_listed_seconds": round(noticed - witness.listed, 2),
        "noticed_after_lock_was_gone_seconds": round(noticed - witness.free, 2),
        "fixed_poll_noticed_after_listed_seconds": round(
            patient.ended - witness.listed, 2
        ),
        "looks": looks,
        "fixed_poll_looks": patient.looks,
    }
    with capsys.disabled():
        print(f"\n{json.dumps(figures)}")  # noqa: T201
    assert looks < patient.looks
