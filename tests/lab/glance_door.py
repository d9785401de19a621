"""The lab's Glance with our door in it, for tests on any kind of store."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.lab.bench import Bench

SLOW = "cowpath.bandwidth=*:*=16M"
TO_COME = 64
"""MiB: four seconds of a slow copy."""


class Door:
    """The lab's Glance with our door, asked as its users ask it."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    @contextmanager
    def serving(self) -> Iterator["Door"]:
        """Serve our application, and Glance's own again afterwards."""
        # One that runs already may run another state of this checkout.
        self.bench.service("glance", "stop")
        self.start()
        try:
            yield self
        finally:
            self.bench.service("glance", "start")

    def start(self, *settings: str) -> None:
        """Serve our application, with some settings."""
        more = [word for each in settings for word in ("--set", each)]
        self.bench.service("glance", "start", "--door", "cowpath", *more)

    def ask(self, image: str, *stores: str, **how: object) -> str:
        """Ask for copies; return the task."""
        where = {"stores": [*stores]} if stores else {"all_stores": True}
        body = {"method": {"name": "copy-image"}, **where, **how}
        self.bench.ask("POST", f"/v2/images/{image}/import", body)
        return str(self.bench.tasks(image)[-1][0])

    def copied(self, image: str, *stores: str, **how: object) -> dict[str, Any]:
        """Ask for copies and wait for their end; return the task."""
        task = self.ask(image, *stores, **how)
        return self.ended(image, task)

    def ended(self, image: str, task: str) -> dict[str, Any]:
        """Return a task once the image's lock is gone."""
        self.bench.wait(lambda: not self.is_locked(image), "the copy's end")
        return self.task(task)

    def is_locked(self, image: str) -> bool:
        """Tell whether an import of an image runs, as Glance says."""
        return bool(self.bench.show(image).get("os_glance_import_task"))

    def task(self, task: str) -> dict[str, Any]:
        """Return a task."""
        told: dict[str, Any] = self.bench.ask("GET", f"/v2/tasks/{task}")
        return told

    def begun(self, task: str) -> None:
        """Wait until bytes have arrived."""
        self.bench.wait(
            lambda: self.task(task)["message"].startswith("Copied "), "the first bytes"
        )

    def files(self, image: str, site: str) -> list[str]:
        """Return the names of all that a store has of an image."""
        store = Path(self.bench.lab["stores"][site])
        return [path.name for path in store.rglob(f"*{image}*")]

    @property
    def records(self) -> list[Path]:
        """Return which copies are noted as running."""
        return [*self.bench.staged(".cowpath").glob("*.copy")]


@pytest.fixture(scope="module")
def served(bench: Bench) -> Iterator[Door]:
    """Have the lab's Glance serve our door."""
    with Door(bench).serving() as made:
        yield made


@pytest.fixture
def door(served: Door) -> Door:
    """Return it as it is by default."""
    served.start()
    return served


@pytest.fixture
def slow(served: Door) -> Door:
    """Return one that copies 64 MiB in four seconds."""
    served.start(SLOW)
    return served
