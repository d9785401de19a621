"""Run Glance's own tests with our door in Glance; write the outcome as JSON.

A program for the virtual environment of a Glance release:
`python against_us.py SUBJECT FILE`; the subject is glance, or ours.
"""

import json
import os
import socket
import sys
import unittest
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from oslo_config import cfg
from oslo_db import options as oslo_db_options
from oslo_policy import opts as oslo_policy_options

from tests.verdicts import Verdicts

_UNIT = "glance.tests.unit"
_FUNCTIONAL = "glance.tests.functional.v2"

MODULES = (
    f"{_UNIT}.async_.flows.test_api_image_import",
    f"{_UNIT}.async_.flows.test_copy_image",
    f"{_UNIT}.async_.flows.test_parallel_api_image_import",
    f"{_FUNCTIONAL}.test_images_import_locking",
    f"{_FUNCTIONAL}.test_multi_store_images",
)
"""All of these, where a release has them.

Not test_parallel_store_import: it is of uploads to several stores, and those go
Glance's own way.
"""

CLASSES = {
    f"{_UNIT}.v2.test_images_resource": ("import", "copy"),
    f"{_FUNCTIONAL}.test_images": ("copyimagepermissions", "quotas.test_copy"),
}
"""Of these, the tests whose class or name has one of the words."""


_BACKEND = "TestImagesMultipleBackend.test_image_import"

RACY = {
    f"{_BACKEND}_{each}"
    for each in (
        "multi_stores",
        "multi_stores_specifying_all_stores",
        "using_glance_direct",
        "using_glance_direct_different_backend",
        "using_web_download",
        "using_web_download_different_backend",
    )
}
"""Glance's own races, run a second time where they fail; nothing of ours runs in them.

They delete an image as soon as it is active, while the import's thread gives its lock
back: the database, SQLite, is locked then, and the answer 500.
"""


@dataclass(slots=True)
class Outcome:
    """What became of the tests.

    Attributes:
        ran: Their names.
        failed: Of each that failed, the end of its traceback.
        skipped: Those that skipped themselves.
        copied: Those in which our own task ran.
        again: Those that failed at first, and were run again.
    """

    ran: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    copied: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)


class Report(Verdicts):
    """Fills in an `Outcome`, with those that skipped themselves."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome, _name)
        self._skipped = outcome.skipped

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:  # noqa: N802
        """Note that a test skipped itself."""
        super().addSkip(test, reason)
        self._skipped.append(_name(test))


def _name(test: unittest.TestCase) -> str:
    return f"{type(test).__name__}.{test.id().rpartition('.')[2]}"


def run(subject: str) -> Outcome:
    """Run the tests against `subject`."""
    _prepare()
    outcome = Outcome()
    if subject != "glance":
        import_module("cowpath.doors.glance.place").install()
    _watch(outcome)
    unittest.TestSuite(_chosen()).run(Report(outcome))
    _once_more(outcome)
    return outcome


def _once_more(outcome: Outcome) -> None:
    """Run again what failed by a race of its own."""
    outcome.again = sorted(RACY & outcome.failed.keys())
    second = Outcome(copied=outcome.copied)
    again = [test for test in _chosen() if _name(test) in outcome.again]
    unittest.TestSuite(again).run(Report(second))
    others = {name: end for name, end in outcome.failed.items() if name not in RACY}
    outcome.failed = others | second.failed


def _prepare() -> None:
    """Have what the tests take for granted when all of Glance's tests are run."""
    _use_native_threads()
    oslo_db_options.set_defaults(cfg.CONF)
    oslo_policy_options.set_defaults(cfg.CONF)
    import_module("glance.api.policy")
    # They download from `localhost.`, which machines without a resolver do not know.
    known = socket.getaddrinfo

    def resolved(host: Any, *args: Any, **kwargs: Any) -> Any:
        return known("localhost" if host == "localhost." else host, *args, **kwargs)

    socket.getaddrinfo = resolved
    # They read their policies from the folder where they are run.
    package = Path(import_module("glance").__file__ or "").parent
    Path("glance").symlink_to(package)


def _use_native_threads() -> None:
    """Run in the way that the WSGI application of every release runs.

    The tests of the older ones would have eventlet patch the interpreter.
    """
    asynchronous: Any = import_module("glance.async_")
    choose = asynchronous.set_threadpool_model
    asynchronous.set_threadpool_model = lambda _asked: choose("native")
    choose("native")
    if find_spec("eventlet"):
        import_module("eventlet").patcher.monkey_patch = dict


def _watch(outcome: Outcome) -> None:
    task: Any = import_module("cowpath.doors.glance.flow").CopyTask
    execute = task.execute

    def noted(self: Any) -> None:
        outcome.copied.append(outcome.ran[-1])
        execute(self)

    task.execute = noted


def _chosen() -> Iterator[unittest.TestCase]:
    load = unittest.defaultTestLoader.loadTestsFromName
    for name in filter(find_spec, MODULES):
        yield from _flat(load(name))
    for name, words in CLASSES.items():
        for test in _flat(load(name)):
            if any(word in _name(test).lower() for word in words):
                yield test


def _flat(suite: Any) -> Iterator[unittest.TestCase]:
    for each in suite:
        if isinstance(each, unittest.TestSuite):
            yield from _flat(each)
        else:
            yield each


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(asdict(run(sys.argv[1]))))
    # Some of these tests leave servers and threads behind, which nobody stops.
    os._exit(0)
