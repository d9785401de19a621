"""Glance's flow of an import, with copy-image done our way where it can be."""

from collections.abc import Callable
from typing import Any

from oslo_config import cfg
from oslo_log import log as logging
from taskflow import task
from taskflow.patterns import linear_flow

from cowpath.core.errors import CowpathError
from cowpath.doors.glance.admission import admit, check_fit, ordered
from cowpath.doors.glance.copy import Copy
from cowpath.doors.glance.here import Here, here
from cowpath.doors.glance.ledger import Ledger
from cowpath.doors.glance.progress import SuspendedError
from cowpath.doors.glance.records import Order

CONF = cfg.CONF
LOG = logging.getLogger(__name__)

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


def _check_fit(site: Here, ledger: Ledger, order: Order) -> None:
    """Be sure that we can do it; what was noted of another one is forgotten."""
    try:
        check_fit(site, ledger, order)
    except BaseException:
        site.records.decline(order)
        raise


def _ours(told: dict[str, Any], order: Order, site: Here, ledger: Ledger) -> Any:
    kind, caller = told["task_type"], told["context"]
    copy = Copy(site.records.begin(order), ledger, told["task_repo"], site)
    if site.is_stopping():
        # Nothing can be scheduled any more: Glance would fail the task.
        copy.suspend()
        raise SuspendedError
    admit(copy, ledger, caller, caller.owner)
    # Not Glance's own lock check before it: what it raises would end the flow without
    # anybody settling what was said here. The copy looks itself.
    name = f"{kind}-Cowpath-{order.task}"
    return linear_flow.Flow(kind).add(CopyTask(name, copy))
