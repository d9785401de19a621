"""What becomes a copy of ours: what is asked, whether it can be done, what it needs.

It is noted when Glance takes the request, before its task is in the database, because
it may wait long for one of Glance's threads: a process that is killed meanwhile is
the only one that knows of it.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from glance.common import exception
from glance.quota import keystone as quota
from oslo_config import cfg
from oslo_log import log as logging

from cowpath.core.errors import CowpathError, QuotaError, UnsuitableError
from cowpath.core.model import Location
from cowpath.doors.glance.copy import Copy, unexpected
from cowpath.doors.glance.here import Here, here
from cowpath.doors.glance.ledger import Ledger, as_image
from cowpath.doors.glance.records import Order

CONF = cfg.CONF
LOG = logging.getLogger(__name__)

_TYPE = "api_image_import"
_METHOD = "copy-image"
_MIB = 1024**2

AddTask = Callable[[Any, Any], None]


def noting(glances: AddTask) -> AddTask:
    """Return what Glance is to call in the place of its own `TaskRepo.add`."""

    def add(repo: Any, task: Any) -> None:
        """Note a copy that we shall make, and put its task into the database."""
        site, order = _fitting(task)
        if site is None or order is None:
            glances(repo, task)
            return
        site.records.accept(order)
        try:
            glances(repo, task)
        except BaseException:
            site.records.decline(order)
            raise

    return add


def _fitting(task: Any) -> tuple[Here, Order] | tuple[None, None]:
    """Return what a new task asks of us; nothing where it is Glance's own matter.

    Why it is, is said when its turn has come.
    """
    # The request is not to fail for what we look up.
    with suppress(Exception):
        told = {"task_id": task.task_id, **(task.task_input or {})}
        order = ordered(told) if task.type == _TYPE and CONF.enabled_backends else None
        if order is not None:
            site = here()
            check_fit(site, Ledger(order.image, order.task), order)
            return site, order
    return None, None


def ordered(told: dict[str, Any]) -> Order | None:
    """Return what is to be copied; None where it is another kind of import."""
    asked = told.get("import_req") or {}
    stores = tuple(told.get("backend") or ())
    if asked.get("method", {}).get("name") != _METHOD or not all(stores):
        return None
    return Order(
        told["task_id"],
        told["image_id"],
        stores,
        all_or_none=bool(asked.get("all_stores_must_succeed", True)),
    )


def check_fit(site: Here, ledger: Ledger, order: Order) -> None:
    """Be sure that all that is to be read and written can be by us.

    Raises:
        UnsuitableError: It cannot.
    """
    known = site.copying.stores.keys()
    others = [each for each in order.stores if each not in known]
    if others:
        raise UnsuitableError(f"{', '.join(others)} can be written by Glance only")
    image = as_image(ledger.row())
    if not any(_is_ours(site, image.id, each) for each in image.locations):
        listed = ", ".join(sorted(image.stores)) or "no store"
        raise UnsuitableError(
            f"it is in {listed}, where only Glance can read it: that is of another "
            f"kind, or it lies in another place than this store's images"
        )
    if not image.size:
        raise UnsuitableError("Glance does not know its size")


def _is_ours(site: Here, image: str, location: Location) -> bool:
    told = site.stores.get(location.store) if location.store else None
    return told is not None and told.has(location.url, image)


def admit(copy: Copy, ledger: Ledger, context: Any, project: str) -> None:
    """Have a copy begin as Glance has it, or be at its end.

    Raises:
        Exception: It cannot begin; its task, flags and lock say so already.
    """
    try:
        ledger.begin(copy.order.stores)
        copy.notices.updated()
        _check_quota(ledger, context, project)
    except Exception as error:
        _refuse(copy, error)
        raise


def _refuse(copy: Copy, error: Exception) -> None:
    """Bring a copy to its end that cannot begin; Glance is told of the error too."""
    try:
        if isinstance(error, exception.LimitExceeded):
            copy.refuse(QuotaError(str(error)))
        elif isinstance(error, CowpathError):
            copy.refuse(error)
        else:
            copy.refuse(unexpected(error))
    finally:
        copy.leave()


def _check_quota(ledger: Ledger, context: Any, project: str) -> None:
    """Ask for what Glance asks for, although nothing is staged.

    Raises:
        LimitExceeded: The caller's project has no such room.
    """
    size = (ledger.row()["size"] or 0) // _MIB
    quota.enforce_image_staging_total(context, project, delta=size)
    quota.enforce_image_count_uploading(context, project)
