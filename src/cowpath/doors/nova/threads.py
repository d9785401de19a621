"""Native threads in a nova-compute of either mode.

Nova runs its work in native threads, or in green ones of a patched interpreter. In
the second mode what blocks in C stops everybody, unless it runs in eventlet's pool
of native threads.
"""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import TypeVar

Result = TypeVar("Result")


def are_green() -> bool:
    """Tell whether Nova has had eventlet patch the interpreter."""
    eventlet = sys.modules.get("eventlet")
    return bool(eventlet and eventlet.patcher.is_monkey_patched("thread"))


def native() -> ModuleType | None:
    """Return the native threads' own `threading`; None where it is everybody's."""
    if not are_green():
        return None
    original: ModuleType = sys.modules["eventlet"].patcher.original("threading")
    return original


def offload(work: Callable[[], Result]) -> Result:
    """Run blocking work where it stops nobody else, and wait for it."""
    if not are_green():
        return work()
    from eventlet import tpool  # noqa: PLC0415  # Nova decides whether it is loaded

    result: Result = tpool.execute(work)
    return result
