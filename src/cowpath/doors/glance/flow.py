"""Glance's flow of an import, with copy-image done our way where it can be."""

from collections.abc import Callable
from typing import Any

from glance.common import exception
from glance.quota import keystone as quota
from oslo_config import cfg
from oslo_log import log as logging
from taskflow import task
from taskflow.patterns import linear_flow

from cowpath.core.errors import CowpathError, QuotaError, UnsuitableError
from cowpath.core.model import Location
from cowpath.doors.glance.copy import Copy, unexpected
from cowpath.doors.glance.here import Here, here
from cowpath.doors.glance.ledger import Ledger, as_image
from cowpath.doors.glance.progress import SuspendedError
from cowpath.doors.glance.records import Order

CONF = cfg.CONF
LOG = logging.getLogger(__name__)

_METHOD = "copy-image"
_MIB = 1024**2

GetFlow = Callable[..., Any]


class CopyTask(task.Task):  # type: ignore[misc]  # taskflow has no types
    """All of a copy, as one step of Glance's engine."""

    def __init__(self, name: str, copy: Copy) -> None:
        super().__init__(name=name)
        self._copy = copy

    def execute(self) -> None:
        """Copy."""
        self._copy.run()


def replacing(glances: GetFlow) -> GetFlow:
    """Return what Glance is to call in the place of its own `get_flow`."""

    def get_flow(**told: Any) -> Any:
        """Return the flow of an import; arguments as Glance gives them."""
        order = ordered(told)
        if order is None or not CONF.enabled_backends:
            return glances(**told)
        try:
            site, ledger = here(), Ledger(order.image, order.task)
            _check_fit(site, ledger, order)
        except Exception as error:
            known = isinstance(error, CowpathError)
            LOG.warning(
                "Task %s: image %s is copied to %s in Glance's own way: %s",
                *(order.task, order.image, ", ".join(order.stores), error),
                exc_info=None if known else error,
            )
            return glances(**told)
        return _ours(told, order, site, ledger)

    return get_flow


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


def _check_fit(site: Here, ledger: Ledger, order: Order) -> None:
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


def _ours(told: dict[str, Any], order: Order, site: Here, ledger: Ledger) -> Any:
    kind = told["task_type"]
    copy = Copy(site.records.begin(order), ledger, told["task_repo"], site)
    if site.is_stopping():
        # Nothing can be scheduled any more: Glance would fail the task.
        copy.suspend()
        raise SuspendedError
    try:
        ledger.begin(order.stores)
        _check_quota(told, ledger)
    except Exception as error:
        _refuse(copy, error)
        raise
    # Not Glance's own lock check before it: what it raises would end the flow without
    # anybody settling what was said here. The copy looks itself.
    name = f"{kind}-Cowpath-{order.task}"
    return linear_flow.Flow(kind).add(CopyTask(name, copy))


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


def _check_quota(told: dict[str, Any], ledger: Ledger) -> None:
    """Ask for what Glance asks for, although nothing is staged.

    Raises:
        LimitExceeded: The caller's project has no such room.
    """
    caller = told["context"]
    size = (ledger.row()["size"] or 0) // _MIB
    quota.enforce_image_staging_total(caller, caller.owner, delta=size)
    quota.enforce_image_count_uploading(caller, caller.owner)
