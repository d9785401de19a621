"""How copies go on inside a simulated Glance: tasks, locks, flags and bytes in time.

The order in which things show follows what Glance 33 was seen to do: the 202 comes
with the lock; some time later the importing flag shows and an old failure is cleared;
nothing shows while the image is staged; bytes arrive in the store; then `stores` and
`importing` change together, and a little later the lock is gone.
"""

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cowpath.core.model import Bytes, Image, ImageId, Location, Seconds, StoreName
from cowpath.testing.glance_scripts import (
    Fate,
    Pace,
    Stage,
    StagingDies,
    StoreBreaks,
    Stored,
    WorkerDies,
)

LOCK_EXPIRY: Seconds = 3600
"""Glance hands a lock over this long after its task's last sign of life."""

PENDING_LOCK_EXPIRY: Seconds = 7200
"""The same for a task that never began."""

Sink = Callable[[ImageId, StoreName, Bytes], None]
"""Is told how many bytes of an image a store holds, each time that changes."""

Locate = Callable[[ImageId, StoreName], str]
"""Makes the URL of an image in a store."""


@dataclass(slots=True)
class Record:
    """An image, whose it is, and where partial bytes of it lie."""

    image: Image
    owner: str
    deleted: bool = False
    leftovers: set[StoreName] = field(default_factory=set)

    def set(self, **facts: Any) -> None:
        """Change facts of the image."""
        self.image = replace(self.image, **facts)


@dataclass(slots=True)
class _Task:
    """An import: it holds its image's lock and writes to its stores in turn."""

    ident: str
    record: Record
    left: deque[StoreName]
    sign: Seconds
    fates: dict[StoreName, Fate] = field(default_factory=dict)
    stage: Stage = Stage.PENDING
    began: Seconds = 0
    alive: bool = True

    @property
    def fate(self) -> Fate:
        """What is planned for the store that the task is at."""
        return self.fates[self.left[0]] if self.left else Stored()

    def set(self, **facts: Any) -> None:
        """Change facts of the image, unless another task has its lock by now."""
        if self.record.image.lock in {None, self.ident}:
            self.record.set(**facts)


class Imports:
    """The copies of one Glance. Its owner keeps threads apart and tells the time."""

    def __init__(
        self, now: Seconds, *, sink: Sink | None = None, locate: Locate | None = None
    ) -> None:
        """Begin with no task at `now`.

        Args:
            now: The clock's time.
            sink: Is told of arriving bytes.
            locate: None hides locations.
        """
        self.pace = Pace()
        self.now = now
        self._sink = sink
        self._locate = locate
        self._shown: dict[tuple[ImageId, StoreName], int] = {}
        self._tasks: dict[str, _Task] = {}
        self._fates: dict[StoreName, deque[Fate]] = {}
        self._agenda: list[tuple[Seconds, int, Callable[[], object]]] = []
        self._numbers = 0
        self._advancing = False

    def number(self) -> int:
        """Return a number that was not used yet."""
        self._numbers += 1
        return self._numbers

    def at(self, when: Seconds, action: Callable[[], object]) -> None:
        """Do `action` once time has come to `when`."""
        heapq.heappush(self._agenda, (when, self.number(), action))

    def plan(self, store: StoreName, fates: Sequence[Fate]) -> None:
        """Let the next copies to `store` end like this."""
        self._fates.setdefault(store, deque()).extend(fates)

    def advance(self, until: Seconds) -> None:
        """Let everything happen that is due by `until`, in its order."""
        if self._advancing:  # an action of the agenda asks something itself
            return
        self._advancing = True
        try:
            self._catch_up(until)
        finally:
            self._advancing = False

    def busy(self, image: ImageId) -> bool:
        """Tell whether a living copy of the image runs."""
        return any(
            task.alive and task.record.image.id == image
            for task in self._tasks.values()
        )

    def adopt_lock(self, record: Record) -> None:
        """Let the lock that the image bears belong to a task that does nothing."""
        ident = record.image.lock
        if ident:
            left = deque(sorted(record.image.importing))
            task = _Task(ident, record, left, self.now, {}, Stage.STAGING)
            task.alive = False
            self._tasks[ident] = task

    def bust_lock(self, record: Record) -> bool:
        """Take the image's lock away if its task has been silent for long enough."""
        task = self._tasks[record.image.lock or ""]
        pending = task.stage is Stage.PENDING
        expiry = PENDING_LOCK_EXPIRY if pending else LOCK_EXPIRY
        if self.now - self._last_sign(task) < expiry:
            return False
        task.alive = False
        task.set(lock=None, importing=record.image.importing - {*task.left})
        return True

    def accept(self, record: Record, stores: Sequence[StoreName]) -> None:
        """Begin a copy of the image to `stores`."""
        ident = f"task-{self.number()}"
        fates = {store: self._next_fate(store) for store in stores}
        task = _Task(ident, record, deque(stores), self.now, fates)
        self._tasks[ident] = task
        task.set(lock=ident)
        if isinstance(task.fate, WorkerDies) and task.fate.stage is Stage.PENDING:
            task.alive = False
        else:
            self._after(self.pace.spawn, task, self._begin)

    def show(self, image: Image, store: StoreName, present: int) -> None:
        """Tell the sink what `store` holds of the image."""
        where = (image.id, store)
        if self._sink and self._shown.get(where) != present:
            self._shown[where] = present
            self._sink(image.id, store, Bytes(present))

    def located(self, image: ImageId, *stores: StoreName) -> tuple[Location, ...]:
        """Return the image's locations in `stores`, unless they are hidden."""
        if not self._locate:
            return ()
        return tuple(Location(self._locate(image, store), store) for store in stores)

    # A copy's steps. Each one puts the next on the agenda.

    def _begin(self, task: _Task) -> None:
        image, left = task.record.image, {*task.left}
        if task.record.deleted:
            self._end(task)
            return
        task.set(importing=image.importing | left, failed=image.failed - left)
        self._enter(task, Stage.STAGING)
        match task.fate:
            case StagingDies(at, _):
                self._after(self.pace.staging * at, task, self._die_in_staging)
            case WorkerDies(Stage.STAGING, at):
                self._after(self.pace.staging * at, task, self._die)
            case _:
                self._after(self.pace.staging, task, self._store)

    def _store(self, task: _Task) -> None:
        if not task.left or task.record.deleted:
            self._after(self.pace.unlock, task, self._end)
            return
        if task.left[0] in task.record.leftovers:
            self._give_up_store(task)
            return
        self._enter(task, Stage.STORING)
        match task.fate:
            case StoreBreaks(at, _):
                self._after(self.pace.storing * at, task, self._break)
            case WorkerDies(Stage.STORING, at):
                self._after(self.pace.storing * at, task, self._die)
            case _:
                self._after(self.pace.storing, task, self._stored)

    def _stored(self, task: _Task) -> None:
        image, store = task.record.image, task.left.popleft()
        self.show(image, store, image.size or 0)
        if image.status != "active":
            # The importing flag stays for ever, and so do the bytes.
            task.record.leftovers.add(store)
            self._end(task)
            return
        task.set(
            stores=image.stores | {store},
            importing=image.importing - {store},
            locations=image.locations + self.located(image.id, store),
        )
        self._store(task)

    def _break(self, task: _Task) -> None:
        if isinstance(task.fate, StoreBreaks) and task.fate.leftover:
            self._show_progress(task)
            task.record.leftovers.add(task.left[0])
        else:
            self.show(task.record.image, task.left[0], 0)
        self._give_up_store(task)

    def _give_up_store(self, task: _Task) -> None:
        image, store = task.record.image, task.left.popleft()
        task.set(importing=image.importing - {store}, failed=image.failed | {store})
        self._store(task)

    def _die_in_staging(self, task: _Task) -> None:
        if isinstance(task.fate, StagingDies) and not task.fate.flag_stays:
            task.set(importing=task.record.image.importing - {*task.left})
        self._end(task)

    def _die(self, task: _Task) -> None:
        if task.stage is Stage.STORING:
            self._show_progress(task)
            task.record.leftovers.add(task.left[0])
        task.alive, task.sign = False, self.now

    def _end(self, task: _Task) -> None:
        task.alive, task.stage = False, Stage.OVER
        task.set(lock=None)

    # Small things.

    def _enter(self, task: _Task, stage: Stage) -> None:
        task.stage, task.began, task.sign = stage, self.now, self.now

    def _after(
        self, seconds: Seconds, task: _Task, step: Callable[[_Task], None]
    ) -> None:
        self.at(self.now + seconds, lambda: step(task) if task.alive else None)

    def _next_fate(self, store: StoreName) -> Fate:
        planned = self._fates.get(store)
        return planned.popleft() if planned else Stored()

    def _last_sign(self, task: _Task) -> Seconds:
        # Only while it writes to a store does a living task report anything.
        reporting = task.alive and task.stage is Stage.STORING
        return self.now if reporting else task.sign

    def _catch_up(self, until: Seconds) -> None:
        while self._agenda and self._agenda[0][0] <= until:
            when, _, action = heapq.heappop(self._agenda)
            self.now = max(self.now, when)
            action()
        self.now = max(self.now, until)
        for task in self._tasks.values():
            if task.alive and task.stage is Stage.STORING and task.left:
                self._show_progress(task)

    def _show_progress(self, task: _Task) -> None:
        size = task.record.image.size or 0
        pace = self.pace.storing
        share = (self.now - task.began) / pace if pace else 1
        self.show(task.record.image, task.left[0], min(size, int(size * share)))
