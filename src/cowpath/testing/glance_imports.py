"""How copies go on inside a simulated Glance: tasks, locks, flags and bytes in time.

The order in which things show follows what Glance 33 was seen to do: the 202 comes
with the lock; some time later the importing flag shows and an old failure is cleared;
nothing shows while the image is staged; bytes arrive in the store; then `stores` and
`importing` change together, and a little later the lock is gone. Each step loads the
image when it begins and saves it when it ends. Where it may not save, or where all
stores must succeed and one did not, everything is undone that was done.
"""

from collections import deque
from collections.abc import Callable, Sequence

from cowpath.core.model import ImageId, Seconds, StoreName
from cowpath.testing.glance_agenda import Agenda
from cowpath.testing.glance_records import STAGING_STORE, Record, Shelves
from cowpath.testing.glance_scripts import (
    Fate,
    Pace,
    Rules,
    Stage,
    StagingDies,
    StoreBreaks,
    Stored,
    StoreStalls,
    WorkerDies,
    WrongHash,
)
from cowpath.testing.glance_tasks import LOCK_EXPIRY, PENDING_LOCK_EXPIRY, Task


class Imports:
    """The copies of one Glance. Its owner keeps threads apart and tells the time."""

    def __init__(self, agenda: Agenda, shelves: Shelves) -> None:
        """Begin with no task.

        Args:
            agenda: Takes the steps of copies, and knows the time.
            shelves: Shows what the stores hold.
        """
        self.pace = Pace()
        self.rules = Rules()
        self._agenda = agenda
        self._shelves = shelves
        self._tasks: dict[str, Task] = {}
        self._fates: dict[StoreName, deque[Fate]] = {}

    def plan(self, store: StoreName, fates: Sequence[Fate]) -> None:
        """Let the next copies to `store` end like this."""
        self._fates.setdefault(store, deque()).extend(fates)

    def show_progress(self) -> None:
        """Let the bytes show that were written until now."""
        for task in self._tasks.values():
            if task.storing:
                self._show_written(task)

    def busy(self, image: ImageId) -> bool:
        """Tell whether a living copy of the image has its lock."""
        return any(
            task.alive and task.has_lock and task.record.image.id == image
            for task in self._tasks.values()
        )

    def adopt_lock(self, record: Record) -> None:
        """Let the lock that the image bears belong to a task that does nothing."""
        ident = record.image.lock
        if ident:
            stores = tuple(sorted(record.image.importing))
            task = Task(ident, record, stores, record.touched)
            task.stage, task.alive = Stage.STAGING, False
            self._tasks[ident] = task

    def lock_holds(self, record: Record) -> bool:
        """Tell whether the image's lock still keeps everybody from copying it.

        Not where its task was silent for long enough, or is known to nobody: operators
        purge old tasks from the database.
        """
        task = self._tasks.get(record.image.lock or "")
        if task is None:
            return False
        pending = task.stage is Stage.PENDING
        expiry = PENDING_LOCK_EXPIRY if pending else LOCK_EXPIRY
        return self._now - task.last_sign(self._now) < expiry

    def bust_lock(self, record: Record) -> Task | None:
        """Take a lock that does not hold; return its task where that is known.

        Whoever asks for a copy does this, whether or not the copy is accepted then.
        """
        task = self._tasks.get(record.image.lock or "")
        record.set(lock=None)
        return task

    def accept(
        self,
        record: Record,
        stores: Sequence[StoreName],
        *,
        robbed: Task | None = None,
        all_must_succeed: bool = False,
    ) -> None:
        """Begin a copy of the image to `stores`.

        Args:
            record: The image.
            stores: Where to.
            robbed: Whose lock was taken for this: its flags go too. Those of a task
                that nobody knows stay.
            all_must_succeed: One store that fails undoes the others.
        """
        ident = f"task-{self._agenda.number()}"
        task = Task(ident, record, tuple(stores), self._now, all_must_succeed)
        task.fates = {store: self._next_fate(store) for store in stores}
        task.left = deque(stores)
        self._tasks[ident] = task
        record.set(lock=ident)
        if robbed:
            image = record.image
            stale = {*robbed.stores}
            record.save(
                self._now,
                importing=image.importing - stale,
                failed=image.failed - stale,
            )
        if isinstance(task.fate, WorkerDies) and task.fate.stage is Stage.PENDING:
            task.alive = False
        else:
            self._after(self.pace.spawn, task, self._begin)

    # A copy's steps. Each one puts the next on the agenda.

    def _begin(self, task: Task) -> None:
        image, stores = task.record.image, {*task.stores}
        if not task.has_lock:
            self._end(task)
            return
        task.sign = self._now
        task.enter(Stage.STAGING, self._now, 0)
        task.save(
            self._now,
            importing=image.importing | stores,
            failed=image.failed - stores,
        )
        if len(stores) < len(task.stores):
            # Glance breaks on stores named twice and keeps the lock.
            task.alive = False
        elif not self.rules.staging_quota_left:
            self._drop_flags(task)
            self._end(task)
        else:
            self._stage(task)

    def _stage(self, task: Task) -> None:
        span = 0 if task.record.staged else self.pace.staging
        task.enter(Stage.STAGING, self._now, span)
        match task.fate:
            case StagingDies(at, _):
                self._after(span * at, task, self._die_in_staging)
            case WorkerDies(Stage.STAGING, at):
                self._after(span * at, task, self._die)
            case _:
                self._after(span, task, self._staged)

    def _staged(self, task: Task) -> None:
        task.record.staged |= task.has_lock
        if task.save(self._now):
            self._store(task)
        else:
            self._revert(task)

    def _store(self, task: Task) -> None:
        if not task.left:
            self._after(self.pace.unlock, task, self._verify)
            return
        task.enter(Stage.STORING, self._now, self.pace.storing)
        store = task.left[0]
        if store == STAGING_STORE or store in task.record.lying:
            self._give_up_store(task)
            return
        task.record.lying.add(store)
        # Both kinds of store make the file, or the image, before they read a byte.
        self._shelves.show(task.record.image, store, 0)
        match task.fate:
            case StoreBreaks(at, _):
                self._after(task.span * at, task, self._break)
            case WorkerDies(Stage.STORING, at):
                self._after(task.span * at, task, self._die)
            case StoreStalls(_, seconds):
                self._after(task.span + seconds, task, self._stored)
            case _:
                self._after(task.span, task, self._stored)

    def _stored(self, task: Task) -> None:
        record, store = task.record, task.left[0]
        if not task.has_lock and not record.deleted:
            # Robbed while its store stalled: the first bytes after that found out.
            self._shelves.show(record.image, store, None)
            record.lying.discard(store)
            self._end(task)
            return
        task.sign = task.last_sign(self._now)
        self._shelves.show(record.image, store, record.image.size or 0)
        if isinstance(task.fate, WrongHash):
            self._give_up_store(task)
            return
        loaded = task.loaded or record.image
        if not task.save(
            self._now,
            stores=loaded.stores | {store},
            importing=loaded.importing - {store},
            locations=loaded.locations + self._shelves.located(loaded.id, store),
        ):
            self._revert(task, broken=store)
            return
        record.lying.discard(store)
        task.done.append(task.left.popleft())
        self._store(task)

    def _break(self, task: Task) -> None:
        if isinstance(task.fate, StoreBreaks) and task.fate.leftover:
            self._show_written(task)
        else:
            self._shelves.show(task.record.image, task.left[0], None)
            task.record.lying.discard(task.left[0])
        self._give_up_store(task)

    def _give_up_store(self, task: Task) -> None:
        loaded, store = task.loaded or task.record.image, task.left[0]
        facts = {
            "importing": loaded.importing - {store},
            "failed": loaded.failed | {store},
        }
        if task.all_must_succeed or not task.save(self._now, **facts):
            self._revert(task, broken=store)
            return
        task.left.popleft()
        self._store(task)

    def _verify(self, task: Task) -> None:
        if task.has_lock:
            task.record.staged = False
            if task.record.image.status != "active":
                self._revert(task)
                return
            task.record.touched = self._now
        self._end(task)

    def _revert(self, task: Task, *, broken: StoreName | None = None) -> None:
        if broken and task.has_lock:
            image = task.record.image
            task.record.save(
                self._now,
                importing=image.importing - {broken},
                failed=image.failed | {broken},
            )
        self._after(self.pace.unlock if task.done else 0, task, self._undo)

    def _undo(self, task: Task) -> None:
        record, done = task.record, {*task.done}
        if task.has_lock and done:
            record.save(
                self._now,
                stores=record.image.stores - done,
                importing=record.image.importing - done,
                locations=tuple(
                    place for place in record.image.locations if place.store not in done
                ),
            )
            for store in sorted(done):
                self._shelves.show(record.image, store, None)
        self._end(task)

    def _die_in_staging(self, task: Task) -> None:
        if isinstance(task.fate, StagingDies) and not task.fate.flag_stays:
            self._drop_flags(task)
        self._end(task)

    def _die(self, task: Task) -> None:
        if task.stage is Stage.STORING:
            task.sign = task.last_sign(self._now)
            self._show_written(task)
        task.alive = False

    def _end(self, task: Task) -> None:
        task.alive, task.stage = False, Stage.OVER
        if task.has_lock:
            task.record.set(lock=None)

    # Small things.

    @property
    def _now(self) -> Seconds:
        return self._agenda.now

    def _drop_flags(self, task: Task) -> None:
        if task.has_lock:
            importing = task.record.image.importing - {*task.stores}
            task.record.save(self._now, importing=importing)

    def _after(
        self, seconds: Seconds, task: Task, step: Callable[[Task], None]
    ) -> None:
        self._agenda.at(self._now + seconds, lambda: step(task) if task.alive else None)

    def _next_fate(self, store: StoreName) -> Fate:
        planned = self._fates.get(store)
        return planned.popleft() if planned else Stored()

    def _show_written(self, task: Task) -> None:
        store = task.left[0]
        self._shelves.show(task.record.image, store, task.written(self._now))
