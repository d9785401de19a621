"""Many boots of one image at once, in one process."""

import threading
from collections.abc import Callable

import pytest
from nova import exception

from cowpath.core.model import Image
from cowpath.provision import inflight
from cowpath.testing.glance_scripts import StoreBreaks, Verb
from tests.nova.inside.world import Compute

_BOOTS = 20


class Together:
    """Boots at once, and holds the copy until everybody waits for it."""

    def __init__(
        self, compute: Compute, patch: pytest.MonkeyPatch, *, followers: int
    ) -> None:
        self._compute = compute
        self._followers = followers
        self._waiting = threading.Semaphore(0)
        self._lock = threading.Lock()
        self.errors: list[Exception] = []
        self.disks: list[str] = []
        waiting = self._waiting

        class Flight(inflight._Flight[object]):
            def __init__(self) -> None:
                super().__init__()
                self.over = _Told(waiting.release)

        patch.setattr(inflight, "_Flight", Flight)
        self._held = False
        compute.world.clock.watch(self._hold)

    def _hold(self) -> None:
        """Keep the first who sleeps from going on, until all the others wait."""
        with self._lock:
            if self._held:
                return
            self._held = True
            for _ in range(_BOOTS - self._followers):
                assert self._waiting.acquire(timeout=30)

    def boot(self, image: Image, projects: tuple[str, ...]) -> None:
        """Boot, each project as often as the others."""

        def work(project: str) -> Callable[[], None]:
            def boot() -> None:
                context = self._compute.world.context(project)
                try:
                    self.disks.append(self._compute.boot(image.id, context=context))
                except Exception as error:  # noqa: BLE001  # a test looks at all
                    self.errors.append(error)

            return boot

        every = [
            threading.Thread(target=work(projects[number % len(projects)]))
            for number in range(_BOOTS)
        ]
        for each in every:
            each.start()
        for each in every:
            each.join(60)
            assert not each.is_alive()


class _Told(threading.Event):
    """Tells when somebody begins to wait."""

    def __init__(self, tell: Callable[[], None]) -> None:
        super().__init__()
        self._tell = tell

    def wait(self, timeout: float | None = None) -> bool:
        self._tell()
        return super().wait(timeout)


def test_one_request_and_one_follower(
    ours: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = ours.world.upload()
    together = Together(ours, monkeypatch, followers=1)
    together.boot(image, ("member",))
    assert together.errors == []
    assert len(set(together.disks)) == _BOOTS
    assert all(ours.is_clone(disk, image.id) for disk in together.disks)
    assert ours.world.count(Verb.COPY) == 1
    # Each boot's own look before and after, and those of one follower.
    assert ours.world.count(Verb.GET) <= 2 * _BOOTS + 15
    assert len(ours.world.edge.open) <= 4


def test_one_follower_for_each_project(
    ours: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one may see and do is no answer for another."""
    image = ours.world.upload()
    together = Together(ours, monkeypatch, followers=2)
    together.boot(image, ("one", "two"))
    assert together.errors == []
    assert len(set(together.disks)) == _BOOTS
    assert len(ours.world.glance._imports._tasks) == 1
    assert ours.world.count(Verb.COPY) <= 2


def test_a_failed_copy_fails_all_of_them_at_once(
    ours: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = ours.world.upload()
    ours.world.glance.plan("edge1", StoreBreaks())
    together = Together(ours, monkeypatch, followers=1)
    together.boot(image, ("member",))
    assert len(together.errors) == _BOOTS
    for error in together.errors:
        assert isinstance(error, exception.ImageUnacceptable)
    assert ours.world.count(Verb.COPY) == 1
    assert ours.world.clock.now() < 60


def test_nova_s_own_wait_in_turn(compute: Compute) -> None:
    """Each for the whole time that it takes to see nothing of the failure."""
    image = compute.world.upload()
    compute.world.glance.plan("edge1", *[StoreBreaks()] * 2)
    for _ in range(2):
        with pytest.raises(exception.ImageUnacceptable):
            compute.boot(image.id)
    assert (compute.world.clock.now() >= 1200) is not compute.ours
