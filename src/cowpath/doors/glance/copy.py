"""One copy of an image to some stores, under Glance's lock and as Glance's task."""

from collections.abc import Mapping
from typing import Any

from glance.common import exception
from oslo_db import exception as db_exception
from oslo_log import log as logging

from cowpath.core.errors import (
    BusyError,
    CopyAbandonedError,
    CowpathError,
    UnavailableError,
)
from cowpath.core.model import Image, Location, StoreName
from cowpath.doors.glance.drafts import Kept
from cowpath.doors.glance.here import Here
from cowpath.doors.glance.later import Aftercare, mark_as_listed
from cowpath.doors.glance.ledger import GoneError, Ledger, as_image, has_location
from cowpath.doors.glance.notices import Notices
from cowpath.doors.glance.progress import Progress, SuspendedError
from cowpath.doors.glance.records import Held, Order

LOG = logging.getLogger(__name__)

_BUSY_SECONDS = 20
"""More than the lease of a process that died."""
_BUSY_PAUSE_SECONDS = 1

_NOT_KEPT = CopyAbandonedError("a copy of the same request failed")
"""What was listed before an interruption; nobody reads its words."""

_DRAFT_MAY_STAY = (UnavailableError, CopyAbandonedError, GoneError)

Outcome = Mapping[StoreName, Location | CowpathError]


class Copy:
    """A copy that Glance was asked for, from its first byte to the lock's return.

    Attributes:
        notices: Tells others of it.
    """

    def __init__(self, held: Held, ledger: Ledger, tasks: Any, here: Here) -> None:
        """Know what to do; nothing is done yet.

        Args:
            held: The order, which this process has.
            ledger: What Glance knows of the image and the task.
            tasks: Glance's repository of tasks.
            here: This glance-api's stores.
        """
        self._held = held
        self._ledger = ledger
        self._tasks = tasks
        self._here = here
        self.notices = Notices(held.order.image)
        self._registered: dict[StoreName, Location] = {}

    @property
    def order(self) -> Order:
        """Return what is to be done."""
        return self._held.order

    def run(self) -> None:
        """Copy, and bring the task and the image's properties to their end.

        Nothing is raised: to Glance's engine the flow is over either way, so that
        nothing has to be scheduled when its executor may not take anything more.
        """
        order = self._held.order
        try:
            self._check_going_on()
            self._held.count(order.tries + 1)
            LOG.info(
                "Task %s: copying image %s to %s",
                *(order.task, order.image, ", ".join(order.stores)),
            )
            self._end(self._copied())
        except SuspendedError:
            # It was no death of a process.
            self._held.count(order.tries)
            self.suspend()
        except Exception:
            # Whatever it was, glance-api's next look at its records finds it.
            self._held.leave()
            LOG.exception(
                "Task %s: the copy of image %s could not be brought to its end yet",
                *(order.task, order.image),
            )

    def suspend(self) -> None:
        """Leave the copy to the next start of a glance-api on this host."""
        order = self._held.order
        self._held.leave()
        LOG.warning(
            "Task %s: this process ends; its next start goes on with the copy of "
            "image %s to %s",
            *(order.task, order.image, ", ".join(order.stores)),
        )

    def _check_going_on(self) -> None:
        if self._here.is_stopping():
            raise SuspendedError

    def _copied(self) -> Outcome:
        order = self._held.order
        targets = [StoreName(each) for each in order.stores]
        try:
            self._ledger.check_lock()
            row = self._ledger.row()
            targets = [each for each in targets if not has_location(row, each)]
            return self._transferred(targets) if targets else {}
        except CowpathError as error:
            return dict.fromkeys(targets, error)
        except db_exception.DBError as error:
            if self._held.is_noted:
                raise  # it may be listed: the next look sees whether it is
            return dict.fromkeys(targets, self._unexpected(error))
        except Exception as error:
            if self._here.is_stopping():
                raise SuspendedError from error
            failed = dict.fromkeys(targets, self._unexpected(error))
            self.forget()
            return failed

    def _unexpected(self, error: Exception) -> CowpathError:
        order = self._held.order
        LOG.error(
            "Task %s: image %s was not copied", order.task, order.image, exc_info=error
        )
        return unexpected(error)

    def forget(self) -> None:
        """Remove what the copy left in the stores that Glance does not list it in."""
        order = self._held.order
        image = self._ledger.last_known()
        if image is None or self._ledger.is_scheduled_for_deletion():
            return
        for store in map(StoreName, order.stores):
            self._forget(image, store)

    def _forget(self, image: Image, store: StoreName) -> None:
        try:
            self._here.copying.forget(image, store)
        except CowpathError as error:
            self._here.drafts.note(Kept(image.id, store, image.size or 0))
            LOG.warning(
                "Image %s: what its copy left in store %s is still there: %s",
                *(image.id, store, error),
            )

    def _transferred(self, targets: list[StoreName]) -> Outcome:
        """Copy, again and again where somebody is still at a store.

        Such as a process that was killed, whose lease lasts a while, or a copy whose
        lock was taken over, which notices that with its next message.
        """
        for store in targets:
            self.notices.copying(store)
        clock = self._here.clock
        until = clock.now() + _BUSY_SECONDS
        outcome = dict(self._transferred_once(targets))
        while _is_busy(outcome) and clock.now() < until:
            clock.sleep(_BUSY_PAUSE_SECONDS)
            self._check_going_on()
            left = [store for store, each in outcome.items() if _is_error(each)]
            outcome |= self._transferred_once(left)
        return outcome

    def _transferred_once(self, targets: list[StoreName]) -> Outcome:
        order = self._held.order
        progress = Progress(self._ledger.say, self._here.clock)
        with self._here.watch.following(order.image, progress):
            return self._here.copying.transfer.copy(
                as_image(self._ledger.row()),
                targets,
                all_or_none=order.all_or_none,
                register=self._register,
                unregister=self._unregister,
                confirm=self._ledger.check_wanted,
            )

    def _register(self, store: StoreName, location: Location) -> None:
        # Noted first: what is taken back after a kill is never too little.
        self._held.note_listed([*self._held.order.listed, store])
        self._ledger.add(store, location)
        self._registered[store] = location
        self.notices.copied()

    def _unregister(self, store: StoreName, _location: Location) -> None:
        self._ledger.drop(store)
        self._note_dropped(store)

    def _note_dropped(self, store: StoreName) -> None:
        self._registered.pop(store, None)
        listed = self._held.order.listed
        self._held.note_listed(each for each in listed if each != store)

    def refuse(self, error: CowpathError) -> None:
        """Bring a copy to its end that must not begin."""
        stores = [StoreName(each) for each in self._held.order.stores]
        self._end(dict.fromkeys(stores, error))

    def end_as_it_is(self, error: CowpathError) -> None:
        """Bring a copy to its end with what Glance lists; the rest has `error`."""
        row, stores = self._ledger.row(), map(StoreName, self._held.order.stores)
        self._end({each: error for each in stores if not has_location(row, each)})

    def leave(self) -> None:
        """Let whoever looks next bring it to its end."""
        self._held.leave()

    def _end(self, outcome: Outcome) -> None:
        order = self._held.order
        errors = {
            store: each
            for store, each in outcome.items()
            if isinstance(each, CowpathError)
        }
        try:
            if self._ledger.holder() == order.task:
                errors |= self._taken_back(errors)
            if self._ledger.holder() in {order.task, ""}:
                self._ledger.settle(order.stores, culprits(errors))
            self._mark_as_listed(errors)
        except GoneError as error:
            # That is why they failed, whatever they found missing.
            errors = {StoreName(each): error for each in order.stores}
        self._note_drafts(errors)
        self._notify(errors)
        self._finish_task(errors)
        self._ledger.unlock()
        self._held.done()
        care = Aftercare(self._ledger, order, self._registered, self._here.copying)
        care.begin()

    def _taken_back(
        self, errors: Mapping[StoreName, CowpathError]
    ) -> dict[StoreName, CowpathError]:
        """Take back what was listed before an interruption, if all or none are asked.

        What this process had listed, the verb itself has taken back.
        """
        order = self._held.order
        if not (errors and order.all_or_none):
            return {}
        # Where the verb could not, the store knows the copy as listed.
        earlier = {*map(StoreName, order.listed)} - self._registered.keys()
        for store in earlier:
            # In this order: what Glance lists is there.
            self._ledger.drop(store)
            self._forget(as_image(self._ledger.row()), store)
            self._note_dropped(store)
        return dict.fromkeys(earlier - errors.keys(), _NOT_KEPT)

    def _mark_as_listed(self, errors: Mapping[StoreName, CowpathError]) -> None:
        """Have the stores know that Glance lists what an earlier process published."""
        image = as_image(self._ledger.row())
        told = {*map(StoreName, self._held.order.stores)} & image.stores
        others = told - {*errors, *self._registered}
        mark_as_listed(self._here.copying, image, others)

    def _note_drafts(self, errors: Mapping[StoreName, CowpathError]) -> None:
        """Note where drafts may stay, for the next copy or until the image is gone."""
        order, drafts = self._held.order, self._here.drafts
        image = self._ledger.last_known()
        for store in map(StoreName, order.stores):
            if image and isinstance(errors.get(store), _DRAFT_MAY_STAY):
                drafts.note(Kept(order.image, store, image.size or 0))
            elif store not in errors:
                drafts.drop(order.image, store)

    def _notify(self, errors: Mapping[StoreName, CowpathError]) -> None:
        for store in sorted(culprits(errors)):
            self.notices.failed(str(errors[StoreName(store)]))
        if errors:
            self.notices.updated()

    def _finish_task(self, errors: Mapping[StoreName, CowpathError]) -> None:
        order = self._held.order
        message = summary(order.stores, errors)
        try:
            task = self._tasks.get(order.task)
            if errors and (order.all_or_none or self._is_lost(errors)):
                task.fail(message)
            else:
                task.message = message
                task.succeed({"image_id": order.image})
            self._tasks.save(task)
        except (exception.NotFound, exception.InvalidTaskStatusTransition) as error:
            LOG.warning("Task %s cannot be ended: %s", order.task, error)
        log = LOG.warning if errors else LOG.info
        log("Task %s: image %s: %s", order.task, order.image, message)

    @staticmethod
    def _is_lost(errors: Mapping[StoreName, CowpathError]) -> bool:
        return any(isinstance(each, GoneError) for each in errors.values())


def culprits(errors: Mapping[StoreName, CowpathError]) -> set[str]:
    """Return the stores that Glance lists as failed: not those that only went along."""
    own = {
        store
        for store, error in errors.items()
        if not isinstance(error, CopyAbandonedError)
    }
    return {*own} or {*errors}


def summary(stores: tuple[str, ...], errors: Mapping[StoreName, CowpathError]) -> str:
    """Return what became of a copy, for its task's message."""
    copied = [each for each in stores if each not in errors]
    said = [f"Copied to {', '.join(copied)}."] if copied else []
    reasons: dict[str, list[str]] = {}
    own = culprits(errors)
    for store in sorted(own):
        reasons.setdefault(str(errors[StoreName(store)]), []).append(store)
    said += [f"Not copied to {', '.join(to)}: {why}." for why, to in reasons.items()]
    others = ", ".join(sorted(errors.keys() - own))
    said += [f"Not kept in {others}: all stores were to get it, or none."] * bool(
        others
    )
    return " ".join(said)


def _is_error(each: Location | CowpathError) -> bool:
    return isinstance(each, CowpathError)


def _is_busy(outcome: Outcome) -> bool:
    return any(isinstance(each, BusyError) for each in outcome.values())


def unexpected(error: Exception) -> CowpathError:
    """Return what is said of an error that only the log can tell all of."""
    return CowpathError(
        f"an error came up that nobody expected ({type(error).__name__}): glance-api's "
        f"log has all of it"
    )
