"""Run Nova's own test classes against ours; write the outcome as JSON.

A program for the virtual environment of a Nova release, where pytest is not:
`python against_us.py SUBJECT FILE`.
"""

import json
import sys
import unittest
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from cowpath import stores
from cowpath.catalog import wire
from cowpath.core.model import Base, Bytes, Capacity, Image, Intake
from tests.verdicts import Verdicts

_ROOM = Bytes(1024**4)
_TIMEOUT = "images_rbd_glance_copy_timeout"
_SOON = 2
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Suite:
    """One of Nova's test classes, and what it tests.

    Attributes:
        tests: The module of the test class `RbdTestCase`.
        home: The module where Nova, and its tests, look the tested class up.
        name: The tested class there.
        ours: The module of ours that has one of the same name.
        broken: Methods that the subject `broken` has raise.
        attribute: Where its tests keep the tested class; empty: they look it up.
    """

    tests: str
    home: str
    name: str
    ours: str
    broken: tuple[str, ...]
    attribute: str = ""


SUITES = {
    "backend": Suite(
        "nova.tests.unit.virt.libvirt.test_imagebackend",
        "nova.virt.libvirt.imagebackend",
        "Rbd",
        "cowpath.doors.nova.backend",
        ("clone", "copy_to_store"),
        # As Nova's driver does, which has a list of such classes. Releases before 26
        # name the class when it calls its base, so it cannot be replaced by name.
        "image_class",
    ),
    "ceph": Suite(
        "nova.tests.unit.storage.test_rbd",
        "nova.storage.rbd_utils",
        "RBDDriver",
        "cowpath.doors.nova.ceph",
        ("clone", "is_cloneable", "_connect_to_rados"),
    ),
}


class BrokenOnPurposeError(Exception):
    """What the methods of the subject `broken` raise."""


class ListedIsHere:
    """This site's store where Ceph's libraries are mocks: Glance's word is the truth.

    Without locks: it is called from green threads and from native ones.
    """

    territory = "the pool of Nova's own tests"

    def find_base(self, image: Image) -> Base:
        """Return the base of an image that Glance lists here; nobody asks of others."""
        where = f"images/{image.id}@snap"
        return Base(image=image.id, where=where, size=image.size or Bytes(0))

    def arrival(self, _image: Image) -> None:
        """Show nothing of a copy in progress."""

    def leftover(self, _image: Image) -> None:
        """Show nothing in the way of a copy."""

    def capacity(self) -> Capacity:
        """Return room for any image."""
        return Capacity(total=_ROOM, free=_ROOM)

    def intake(self) -> Intake:
        """Return room for any image."""
        return Intake(free=_ROOM)

    def close(self) -> None:
        """Let go of nothing."""


@dataclass(frozen=True, slots=True)
class InMemory:
    """Stands where `stores.STORES` has the kind rbd."""

    def make(self, _config: object, _clock: object = None) -> ListedIsHere:
        """Return the store."""
        return ListedIsHere()


@dataclass(slots=True)
class Outcome:
    """What became of the tests.

    Attributes:
        tested: The class that they were run against.
        ran: Their names.
        failed: Of each that failed, the end of its traceback.
        callers: Of each method that is broken in the subject `broken`, the tests that
            called it.
    """

    tested: str
    ran: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    callers: dict[str, list[str]] = field(default_factory=dict)


def _name(test: unittest.TestCase) -> str:
    return test.id().rpartition(".")[2]


def run(subject: str) -> dict[str, Outcome]:
    """Run each suite against `subject`: nova, ours or broken."""
    # As upstream runs them: these decide between threads and eventlet.
    import_module("nova.tests.unit")
    import_module("nova.test")
    if subject != "nova":
        _install()
    # The second puts a class in Nova's place for good, so their order counts.
    return {name: _run(suite, subject) for name, suite in SUITES.items()}


def _install() -> None:
    """Put our classes in the place of Nova's, over a store that needs no Ceph."""
    cast("dict[str, object]", stores.STORES)["rbd"] = InMemory()
    # Glance's ids are UUIDs, and the image of these tests is called foo.
    vars(wire)["is_image_id"] = bool
    _hurry()
    _put(SUITES["ceph"], _ours(SUITES["ceph"]))


def _ours(suite: Suite) -> Any:
    return getattr(import_module(suite.ours), suite.name)


def _novas(suite: Suite) -> Any:
    return getattr(import_module(suite.home), suite.name)


def _put(suite: Suite, tested: type) -> None:
    """Put a class where Nova looks its own up."""
    setattr(import_module(suite.home), suite.name, tested)


def _run(suite: Suite, subject: str) -> Outcome:
    tested = _novas(suite) if subject == "nova" else _ours(suite)
    outcome = Outcome(f"{tested.__module__}.{tested.__qualname__}")
    watched = _watched(tested, suite, outcome, broken=subject == "broken")
    if suite.attribute:
        case = _with_attribute(import_module(suite.tests).RbdTestCase, suite, watched)
    else:
        _put(suite, watched)
        # Only now: its decorators patch the class that they find.
        case = import_module(suite.tests).RbdTestCase
    unittest.defaultTestLoader.loadTestsFromTestCase(case).run(Verdicts(outcome, _name))
    return outcome


def _with_attribute(case: Any, suite: Suite, tested: type) -> type[unittest.TestCase]:
    """Return a test class that is `case`, against another class."""

    def set_up(self: Any) -> None:
        case.setUp(self)
        setattr(self, suite.attribute, tested)

    return type(case.__name__, (case,), {"setUp": set_up})


def _hurry() -> None:
    """Shorten the time after which a copy is given up, for whoever waits that long.

    The test of it has Nova's private timer expire at once; ours is a real one.
    """
    registered = import_module("nova.conf.libvirt").libvirt_imagebackend_opts
    (option,) = [one for one in registered if one.dest == _TIMEOUT]
    option.default = _SOON


def _watched(tested: Any, suite: Suite, outcome: Outcome, *, broken: bool) -> type:
    """Return a subclass that notes, or breaks, the calls of some methods."""
    methods: Mapping[str, Callable[..., Any]] = {
        name: _method(name, getattr(tested, name), outcome, broken=broken)
        for name in suite.broken
    }
    return type(tested.__name__, (tested,), dict(methods))


def _method(
    name: str, real: Callable[..., Any], outcome: Outcome, *, broken: bool
) -> Callable[..., Any]:
    def called(*args: Any, **kwargs: Any) -> Any:
        noted = outcome.callers.setdefault(name, [])
        if outcome.ran[-1] not in noted:
            noted.append(outcome.ran[-1])
        if broken:
            raise BrokenOnPurposeError(name)
        return real(*args, **kwargs)

    return called


if __name__ == "__main__":
    told = {name: asdict(each) for name, each in run(sys.argv[1]).items()}
    Path(sys.argv[2]).write_text(json.dumps(told))
