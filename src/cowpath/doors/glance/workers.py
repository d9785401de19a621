"""Which process serves requests: that one copies, and looks for what was interrupted.

A server may load the application in one process and fork its workers from that, as
gunicorn --preload does. Threads do not come along, and the process that has them
serves nothing: then each worker begins with its first request.
"""

import os
import threading
from collections.abc import Callable
from typing import Any

from oslo_log import log as logging

from cowpath.core.model import Seconds

LOG = logging.getLogger(__name__)

_SETTLED: Seconds = 3
"""Servers that fork do so at once when the application is loaded."""

Look = Callable[[], None]


class Serving:
    """A WSGI application that sees in which processes it is served."""

    def __init__(self, application: Any, look: Look, anew: Look) -> None:
        """Know what to do; nothing is done yet.

        Args:
            application: Is served.
            look: Looks for what was interrupted, as long as the process lives.
            anew: Forgets what a process has from the one that it was forked from.
        """
        self._application = application
        self._look = look
        self._anew = anew
        self._loader = self._process = os.getpid()
        self._lock = threading.Lock()
        self._served = threading.Event()
        self._forked = threading.Event()

    def begin(self) -> None:
        """Begin in this process, unless it turns out to serve nothing."""
        if self._process != os.getpid():
            # A server's own hook after a fork, before any request.
            self._process = os.getpid()
            self._anew()
        os.register_at_fork(before=self._forked.set)
        _spawn(self._look_unless_master)

    def __call__(self, environ: Any, start_response: Any) -> Any:
        """Answer a request."""
        if self._process != os.getpid():
            self._begin_in_worker()
        self._served.set()
        return self._application(environ, start_response)

    def _look_unless_master(self) -> None:
        self._served.wait(_SETTLED)
        if self._served.is_set() or not self._forked.is_set():
            self._look()

    def _begin_in_worker(self) -> None:
        with self._lock:
            if self._process == os.getpid():
                return
            self._process = os.getpid()
            self._anew()
        LOG.warning(
            "Cowpath was loaded by process %d, from which this one was forked: copies "
            "that were interrupted are gone on with from this first request on. Have "
            "each worker load the application (gunicorn without --preload), and they "
            "are gone on with at its start",
            self._loader,
        )
        _spawn(self._look)


def _spawn(work: Look) -> None:
    threading.Thread(target=work, name="cowpath-recovery", daemon=True).start()
