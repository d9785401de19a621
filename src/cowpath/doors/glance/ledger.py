"""An image and a copy's task in Glance's database; no change touches anything else.

Glance's own copy saves the image as it was when a step began, and so takes back what
users changed meanwhile. Here a property is written alone, and a location is added.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeVar

import glance.db
from glance import context
from glance.common import crypt, exception
from oslo_config import cfg
from oslo_db import api as oslo_db_api
from oslo_db import exception as db_exception
from oslo_log import log as logging

from cowpath.core.errors import ConflictError, CopyError
from cowpath.core.model import Bytes, Image, Location, StoreName, image_id

CONF = cfg.CONF
LOG = logging.getLogger(__name__)

LOCK = "os_glance_import_task"
IMPORTING = "os_glance_importing_to_stores"
FAILED = "os_glance_failed_import"
_STAGE_HOST = "os_glance_stage_host"

_GONE = {"deleted", "pending_delete", "killed"}
_RUNNING = {"pending", "processing"}
_TRIES = 20

Row = Mapping[str, Any]
Result = TypeVar("Result")


class GoneError(CopyError):
    """The image was deleted."""


class PreemptedError(CopyError):
    """The copy's task was ended by somebody else, or its lock is another's."""


def _is_locked(error: Exception) -> bool:
    """Tell whether SQLite had another writer, which is no reason to give up."""
    return isinstance(error, db_exception.DBError) and "locked" in str(error)


# A statement that lost a deadlock, or a database server that is restarted: for over a
# minute. Whatever is done so may be done twice.
_again = oslo_db_api.wrap_db_retry(
    max_retries=40,
    retry_interval=0.1,
    max_retry_interval=2,
    inc_retry_interval=True,
    retry_on_disconnect=True,
    retry_on_deadlock=True,
    exception_checker=_is_locked,
)


class Ledger:
    """What Glance knows of one image, and of the task that copies it."""

    def __init__(self, image: str, task: str) -> None:
        self.image = image
        self.task = task
        self._context = context.get_admin_context()
        self._db = glance.db.get_api()

    def row(self) -> Row:
        """Return the image as it is now.

        Raises:
            GoneError: It was deleted.
        """
        return self._try(self._row)

    def _row(self) -> Row:
        try:
            found: Row = self._db.image_get(self._context, self.image)
        except exception.NotFound:
            found = {"deleted": True}
        # An administrator sees deleted images too.
        if found["deleted"] or found["status"] in _GONE:
            raise GoneError(
                f"image {self.image} was deleted while it was copied: nothing of the "
                f"copy is kept"
            )
        return found

    def last_known(self) -> Image | None:
        """Return the image, also when it was deleted; None once it was purged."""
        try:
            row: Row = self._try(self._db.image_get, self._context, self.image)
        except exception.NotFound:
            return None
        return as_image(row)

    def is_scheduled_for_deletion(self) -> bool:
        """Tell whether it was deleted, but can be restored until it is scrubbed."""
        try:
            found: Row = self._try(self._db.image_get, self._context, self.image)
        except exception.NotFound:
            return False
        return bool(found["status"] == "pending_delete")

    def begin(self, stores: Iterable[str]) -> None:
        """Say that the image is being copied to some stores, and failed in none."""
        stores = {*stores}
        self.check_lock()
        found = self._properties(
            lambda told: {
                IMPORTING: _merged(told, IMPORTING, add=stores),
                FAILED: _merged(told, FAILED, less=stores),
            }
        )
        if _STAGE_HOST in found:
            # As Glance does: requests would go to a host that has nothing staged.
            self._try(
                self._db.image_property_delete, self._context, _STAGE_HOST, self.image
            )

    def add(self, store: str, location: Location) -> None:
        """Add a location, and say that the image is copied to its store no more.

        Raises:
            GoneError: The image was deleted; it has no such location then.
            PreemptedError: The lock is somebody else's by now.
        """
        self.check_lock()
        if not has_location(self.row(), store):
            self._add(store, location)
        try:
            # The image may have been deleted since: this write says so.
            self._properties(lambda told: _less(told, IMPORTING, {store}))
        except GoneError:
            self.drop(store)
            raise
        except (CopyError, db_exception.DBError) as error:
            # It is listed, and that counts; the flags are settled at the end.
            LOG.warning("Image %s: %s is not cleared yet: %s", self.image, store, error)

    def _add(self, store: str, location: Location) -> None:
        url, key = location.url, CONF.metadata_encryption_key
        kept = crypt.urlsafe_encrypt(key, url) if key else url
        facts = {"url": kept, "metadata": {"store": store}, "status": "active"}
        try:
            self._try(self._list, store, facts)
        except db_exception.DBError:
            if not has_location(self.row(), store):
                raise

    def _list(self, store: str, facts: Row) -> None:
        # Not twice: whether an earlier try was done is to be seen.
        if not has_location(self._row(), store):
            self._db.image_location_add(self._context, self.image, facts)

    def add_again(self, store: str, location: Location) -> bool:
        """Add a location that a user's save dropped; tell whether one had.

        One that Glance removed on purpose leaves its row in another state, or none.
        """
        self.row()
        ends = self._ends_of(store, location)
        dropped = bool(ends) and "pending_delete" not in ends and "active" not in ends
        if dropped:
            self._add(store, location)
        return dropped

    def _ends_of(self, store: str, location: Location) -> set[str]:
        """Return the states of all rows that a location has had."""
        found: Row = self._try(
            partial(self._db.image_get, force_show_deleted=True),
            self._context,
            self.image,
        )
        return {
            each["status"]
            for each in found["locations"]
            if each["metadata"].get("store") == store
            and _clear(each["url"]) == location.url
        }

    def drop(self, store: str) -> None:
        """Take a store's location out, also of an image that was deleted."""
        found: Row = self._try(self._db.image_get, self._context, self.image)
        for each in _locations(found):
            if each["metadata"].get("store") == store and each.get("id"):
                self._try(
                    self._db.image_location_delete,
                    self._context,
                    self.image,
                    each["id"],
                    "deleted",
                )

    def settle(self, stores: Iterable[str], failed: Iterable[str]) -> None:
        """Say that the image is copied to none of the stores any more.

        Args:
            stores: All that were asked for.
            failed: Those that did not get it.

        Raises:
            GoneError: The image was deleted.
        """
        stores, failed = {*stores}, {*failed}
        self._properties(
            lambda told: {
                IMPORTING: _merged(told, IMPORTING, less=stores),
                FAILED: _merged(told, FAILED, add=failed, less=stores - failed),
            }
        )

    def clear(self, stores: Iterable[str]) -> None:
        """Say that the image is being copied to some stores no more."""
        stores = {*stores}
        self._properties(lambda told: _less(told, IMPORTING, stores))

    def unlock(self) -> None:
        """Give Glance's import lock back, if the copy's task has it."""
        try:
            self._try(
                self._db.image_delete_property_atomic, self.image, LOCK, self.task
            )
        except exception.NotFound:
            return

    def holder(self) -> str:
        """Return the task that has the import lock; empty where none has.

        Raises:
            GoneError: The image was deleted.
        """
        return _holder(self.row())

    def check_lock(self) -> None:
        """Be sure that the copy's task has the import lock.

        Raises:
            GoneError: The image was deleted.
            PreemptedError: It has not.
        """
        self._check_lock(self.row())

    def _check_lock(self, row: Row) -> None:
        holder = _holder(row)
        if holder != self.task:
            raise PreemptedError(
                f"the import lock of image {self.image} is no longer this task's but "
                f"{f'task {holder} has it' if holder else 'gone'}: nothing of this "
                f"copy is kept"
            )

    def check_wanted(self, store: str) -> None:
        """Be sure that a copy may get its own name in a store, right before it does.

        What lies there by that name is moved aside then: nobody but us may have put
        it there.

        Raises:
            GoneError: The image was deleted.
            PreemptedError: The lock is somebody else's by now.
            ConflictError: The image has a location in the store.
        """
        row = self.row()
        self._check_lock(row)
        if has_location(row, store):
            raise ConflictError(
                f"somebody else listed image {self.image} in store {store} while it "
                f"was copied there: theirs stays as it is, and nothing of this copy "
                f"is kept"
            )

    def say(self, message: str) -> None:
        """Put a message into the task, which also shows that it lives.

        Glance hands the lock over after an hour without a change of the task.

        Raises:
            GoneError: The image was deleted.
            PreemptedError: The task was ended by somebody else.
        """
        try:
            self.row()
            self._say(message)
        except db_exception.DBError as error:
            # A message is not worth a copy.
            LOG.warning("Task %s: its message is not written: %s", self.task, error)

    def _say(self, message: str) -> None:
        if self.task_status() not in _RUNNING:
            raise PreemptedError(
                f"task {self.task} was ended by somebody else while it copied image "
                f"{self.image}: nothing of this copy is kept"
            )
        self._try(self._db.task_update, self._context, self.task, {"message": message})

    def task_status(self) -> str:
        """Return the state of the copy's task; empty where there is none."""
        try:
            found = self._try(self._db.task_get, self._context, self.task)
        except exception.NotFound:
            return ""
        return str(found["status"])

    def _properties(
        self, change: Callable[[Mapping[str, str]], Mapping[str, str]]
    ) -> Mapping[str, str]:
        """Write some properties of the image; return what all were."""
        for _ in range(_TRIES):
            row = self.row()
            found = properties(row)
            values = {"properties": dict(change(found))}
            try:
                self._update(values, row["status"])
            except exception.Conflict:
                # It was deleted, or deactivated, since it was read.
                continue
            return found
        raise CopyError(
            f"Glance's database did not take a change of image {self.image} in "
            f"{_TRIES} tries: read glance-api's log"
        )

    def _update(self, values: Mapping[str, Any], state: str) -> None:
        update: Callable[..., Any] = self._db.image_update
        context = self._context

        def write() -> None:
            update(context, self.image, values, purge_props=False, from_state=state)

        self._try(write)

    @staticmethod
    def _try(call: Callable[..., Result], *args: object) -> Result:
        done: Result = _again(call)(*args)
        return done


def as_image(row: Row) -> Image:
    """Return an image's row as our noun, with its locations."""
    locations = tuple(
        Location(each["url"], StoreName(each["metadata"]["store"]))
        for each in _locations(row)
        if each["metadata"].get("store")
    )
    algorithm, value = row.get("os_hash_algo"), row.get("os_hash_value")
    size = row["size"]
    return Image(
        id=image_id(row["id"]),
        name=row["name"] or "",
        status=row["status"],
        disk_format=row["disk_format"],
        size=None if size is None else Bytes(size),
        stores=frozenset(each.store for each in locations if each.store),
        lock=properties(row).get(LOCK),
        locations=locations,
        hash=f"{algorithm}:{value}" if algorithm and value else None,
    )


def has_location(row: Row, store: str) -> bool:
    """Tell whether an image has a location in a store."""
    return any(each["metadata"].get("store") == store for each in _locations(row))


def importing(row: Row) -> set[str]:
    """Return the stores that an image is being copied to, as its property says."""
    return {*(properties(row).get(IMPORTING) or "").split(",")} - {""}


def properties(row: Row) -> dict[str, str]:
    """Return an image's properties; deleted ones are kept beside them."""
    return {
        each["name"]: each["value"] for each in row["properties"] if not each["deleted"]
    }


def _holder(row: Row) -> str:
    return properties(row).get(LOCK) or ""


def _locations(row: Row) -> list[Row]:
    """Return an image's locations, their URLs in clear text."""
    return [
        {**each, "url": _clear(each["url"])}
        for each in row["locations"]
        if each["status"] == "active"
    ]


def _clear(url: str) -> str:
    key = CONF.metadata_encryption_key
    return str(crypt.urlsafe_decrypt(key, url)) if key else url


def _less(told: Mapping[str, str], name: str, stores: set[str]) -> Mapping[str, str]:
    return {name: _merged(told, name, less=stores)}


def _merged(
    told: Mapping[str, str],
    name: str,
    *,
    add: set[str] = frozenset(),  # type: ignore[assignment]
    less: set[str] = frozenset(),  # type: ignore[assignment]
) -> str:
    listed = {each for each in (told.get(name) or "").split(",") if each}
    return ",".join(sorted((listed | add) - less))
