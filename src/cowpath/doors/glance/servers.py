"""What a WSGI server does with this process: some fork it, all of them end it."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

from cowpath.core.errors import ConfigError

_ended_by_uwsgi = threading.Event()


def is_ending() -> bool:
    """Tell whether this process ends.

    Python waits for the threads of running copies then, and lets no pool take work
    any more; its main thread looks alive meanwhile. uWSGI has its own hook wait for
    them before, for a minute, answers nothing, and kills what is not done.
    """
    if _ended_by_uwsgi.is_set():
        return True
    with ThreadPoolExecutor(1) as pool:
        try:
            pool.submit(int)
        except RuntimeError:
            return True
    return False


def in_each_worker(begin: Callable[[], None]) -> None:
    """Have something begun in every process that answers requests.

    Without `lazy-apps` uWSGI loads an application in its master and forks. A thread
    that the master had is in no worker then; and what it held at that moment they
    wait for: seen with 2.0.21 is that they never answer.

    Raises:
        ConfigError: This uWSGI runs no threads, and every import is one.
    """
    server = _uwsgi()
    if server is None:
        begin()
        return
    if not server.has_threads:
        raise ConfigError(
            "uWSGI runs no threads, so neither copies nor other imports would ever "
            "begin: start it with --enable-threads (enable-threads = true)"
        )
    _hear_of_the_end(server)
    if server.worker_id():
        begin()
    else:
        _after_the_fork(server, begin)


def _uwsgi() -> Any:
    """Return what uWSGI puts into the Python that it runs; None under other servers."""
    try:
        return import_module("uwsgi")
    except ImportError:
        return None


def _hear_of_the_end(server: Any) -> None:
    # Glance has put its own there.
    glances: Callable[[], None] | None = getattr(server, "atexit", None)

    def end() -> None:
        _ended_by_uwsgi.set()
        if glances is not None:
            glances()

    server.atexit = end


def _after_the_fork(server: Any, begin: Callable[[], None]) -> None:
    others: Callable[[], None] | None = getattr(server, "post_fork_hook", None)

    def forked() -> None:
        if others is not None:
            others()
        begin()

    server.post_fork_hook = forked
