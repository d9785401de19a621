"""A store behind a service's own threads, and the modules that are made for those."""

import importlib
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TypeVar

import pytest

from cowpath.core.errors import NotFoundError
from cowpath.core.model import Bytes, ImageId, Leftover, StoreName
from cowpath.stores.memory import MemoryConfig, MemoryStore
from cowpath.stores.offloaded import Offloaded, importing
from cowpath.testing.clock import FakeClock
from cowpath.testing.glance_simulator import GlanceSimulator

Result = TypeVar("Result")


@dataclass
class Elsewhere:
    """Runs work in a thread of its own and counts it."""

    threads: set[int] = field(default_factory=set)
    works: int = 0

    def __call__(self, work: Callable[[], Result]) -> Result:
        self.works += 1
        found: list[Result] = []
        raised: list[BaseException] = []

        def run() -> None:
            self.threads.add(threading.get_ident())
            try:
                found.append(work())
            except BaseException as error:  # noqa: BLE001  # carried over
                raised.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        if raised:
            raise raised[0]
        return found[0]


def test_every_call_of_the_store_runs_where_the_service_says() -> None:
    store, elsewhere = MemoryStore(MemoryConfig(StoreName("edge1"))), Elsewhere()
    image = GlanceSimulator(FakeClock()).upload("debian", size=1024)
    offloaded = Offloaded(store, elsewhere)

    assert offloaded.territory == store.territory
    assert offloaded.find_base(image) is None
    assert offloaded.arrival(image) is None
    assert offloaded.leftover(image) is None
    assert offloaded.capacity() == store.capacity()
    assert offloaded.intake() == store.intake()
    assert elsewhere.works == 6
    assert threading.get_ident() not in elsewhere.threads


def test_what_the_store_raises_comes_back() -> None:
    store, elsewhere = MemoryStore(MemoryConfig(StoreName("edge1"))), Elsewhere()
    nothing = Leftover(
        ImageId("6c1a2d8e-0001-4000-8000-000000000001"), "here", Bytes(1), ""
    )

    with pytest.raises(NotFoundError):
        Offloaded(store, elsewhere).set_aside(nothing, lambda: None)


def test_modules_that_are_imported_meanwhile_get_the_threads_that_are_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "locked_by_whom.py").write_text("import threading\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    native = ModuleType("threading")

    with importing(native):
        module = importlib.import_module("locked_by_whom")

    assert module.threading is native
    assert sys.modules["threading"] is threading
    monkeypatch.delitem(sys.modules, "locked_by_whom")
