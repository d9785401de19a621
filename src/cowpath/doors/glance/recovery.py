"""Copies that a killed glance-api of this host left: they are gone on with.

Their tasks, and Glance's lock, are as they were; nobody else would touch them for an
hour. Looked for at the start and, for those of other processes, every minute.
"""

from collections.abc import Callable
from typing import Any

from glance import context, gateway
from glance.api import common
from glance.common import exception
from oslo_log import log as logging

from cowpath.clock import SystemClock
from cowpath.core.errors import CopyError, CowpathError
from cowpath.doors.glance.admission import admit
from cowpath.doors.glance.copy import Copy
from cowpath.doors.glance.drafts import forget_unowned
from cowpath.doors.glance.here import Here, here
from cowpath.doors.glance.ledger import GoneError, Ledger
from cowpath.doors.glance.records import Held

LOG = logging.getLogger(__name__)

_EVERY_SECONDS = 60
_TAKEN = CopyError(
    "glance-api was killed during the copy, and somebody else ended its task or took "
    "its lock since: ask for the copy again"
)
_RUNNING = {"pending", "processing"}
_ENDED = {"success", "failure"}
_MOST_TRIES = 3

_GIVEN_UP = CopyError(
    f"glance-api was killed {_MOST_TRIES + 1} times during this copy: read its log and "
    f"the kernel's, then ask for the copy again"
)


def look_on() -> None:
    """Look for such copies from now on, until this process ends."""
    clock = SystemClock()
    while not Here.is_stopping():
        try:
            take_up(here(), _spawn)
        except Exception:
            LOG.exception("Copies that were interrupted could not be looked for")
        clock.sleep(_EVERY_SECONDS)


def _spawn(work: Callable[[], None]) -> None:
    # Where Glance's own imports run: its servers wait for them when they stop.
    common.get_thread_pool("tasks_pool").spawn(work)


def take_up(site: Here, spawn: Callable[[Callable[[], None]], None]) -> None:
    """Go on with what nobody is at, or bring it to an end."""
    _release_ended(site)
    tasks = None
    for held in site.records.left_behind():
        tasks = tasks or gateway.Gateway().get_task_repo(context.get_admin_context())
        _Interrupted(held, tasks, site).take_up(spawn)
    forget_unowned(site.drafts, site.copying)


def _release_ended(site: Here) -> None:
    """Let go of what waited for a thread of Glance's, and was ended before our turn."""
    for held in site.records.accepted():
        status = Ledger(held.order.image, held.order.task).task_status()
        # One that is not there yet is about to be: its request is not over.
        if status in _ENDED:
            site.records.release(held.order)


class _Interrupted:
    """One copy that nobody is at."""

    def __init__(self, held: Held, tasks: Any, site: Here) -> None:
        self._held = held
        self._tasks = tasks
        self._site = site
        self._ledger = Ledger(held.order.image, held.order.task)
        self._copy = Copy(held, self._ledger, tasks, site)

    def take_up(self, spawn: Callable[[Callable[[], None]], None]) -> None:
        try:
            self._take_up(spawn)
        except Exception:
            self._held.leave()
            LOG.exception("Task %s was not taken up", self._held.order.task)

    def _take_up(self, spawn: Callable[[Callable[[], None]], None]) -> None:
        order = self._held.order
        try:
            status, holder = self._ledger.task_status(), self._ledger.holder()
        except GoneError as error:
            self._copy.forget()
            self._copy.refuse(error)
            return
        running = status in _RUNNING
        if holder != order.task and not running:
            self._held.done()
        elif holder != order.task or not running:
            # It was over but for its last steps, or somebody else took the lock.
            self._copy.end_as_it_is(_TAKEN)
        elif order.tries > _MOST_TRIES:
            self._copy.forget()
            self._copy.end_as_it_is(_GIVEN_UP)
        else:
            self._go_on(status, spawn)

    def _go_on(self, status: str, spawn: Callable[[Callable[[], None]], None]) -> None:
        order = self._held.order
        task = self._tasks.get(order.task)
        if status == "pending":
            task.begin_processing()
            self._tasks.save(task)
        if not order.tries and not self._is_admitted(task.owner):
            return
        LOG.warning(
            "Task %s: going on with the copy of image %s to %s, which was interrupted",
            *(order.task, order.image, ", ".join(order.stores)),
        )
        spawn(self._copy.run)

    def _is_admitted(self, project: str) -> bool:
        """Ask for what was not asked for yet: it may have waited for a thread."""
        try:
            admit(self._copy, self._ledger, context.get_admin_context(), project)
        except (CowpathError, exception.LimitExceeded):
            return False
        return True
