"""Nova's own unit tests of what we replace, run against our classes, unmodified.

For the newest releases of Nova; NOVA_RELEASES=all has all that are known.
"""

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.nova.left_out import LEFT_OUT
from tests.nova.venvs import ALL, CHOSEN, RELEASES, environment, modes
from tests.releases import run_there

pytestmark = pytest.mark.nova_upstream

_HERE = Path(__file__).parent
_SUITES = tuple(LEFT_OUT)
_WAYS = tuple((release, mode) for release in CHOSEN for mode in modes(release))
_BROKEN = _WAYS[0]
_FIRST_WAYS = tuple((release, modes(release)[0]) for release in CHOSEN)

every_way = pytest.mark.parametrize(("release", "mode"), _WAYS, ids=str)
every_release = pytest.mark.parametrize(("release", "mode"), _FIRST_WAYS, ids=str)
every_suite = pytest.mark.parametrize("suite", _SUITES)


@dataclass(frozen=True, slots=True)
class Run:
    """A program of this folder, in the environment of a release.

    Attributes:
        release: Of Nova.
        mode: How Nova runs its work.
        program: Its file.
        words: Its arguments before the file that it writes.
    """

    release: int
    mode: str
    program: str
    words: tuple[str, ...] = ()

    def done(self, folder: Path) -> Any:
        """Return what it wrote."""
        name = "-".join([*map(str, (self.release, self.mode)), *self.words])
        return run_there(
            RELEASES.venv(self.release),
            _HERE / self.program,
            self.words,
            folder=folder,
            told=folder / f"{self.program}-{name}.json",
            environment=environment(self.mode),
        )


def _against(subject: str, way: tuple[int, str]) -> Run:
    return Run(*way, "against_us.py", (subject,))


def _seams(way: tuple[int, str]) -> Run:
    return Run(*way, "seams_here.py")


Runs = Mapping[Run, "Future[Any]"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """Return all that is run, several at a time, in the order of the tests."""
    wanted = [
        *(_against(subject, way) for way in _WAYS for subject in ("nova", "ours")),
        _against("broken", _BROKEN),
        *map(_seams, _FIRST_WAYS),
    ]
    folder = tmp_path_factory.mktemp("nova")
    pool = ThreadPoolExecutor(os.cpu_count() or 1)
    yield {run: pool.submit(run.done, folder) for run in wanted}
    pool.shutdown(cancel_futures=True)


@every_suite
@every_way
def test_novas_class_passes(release: int, mode: str, suite: str, runs: Runs) -> None:
    """Otherwise it would tell nothing that ours does, or does not."""
    nova = runs[_against("nova", (release, mode))].result()[suite]
    assert nova["ran"]
    assert nova["failed"] == {}
    assert nova["tested"].startswith("nova.")


@every_suite
@every_way
def test_ours_passes_all_but_those_left_out(
    release: int, mode: str, suite: str, runs: Runs
) -> None:
    """One that is left out and passes must be taken off the list."""
    nova = runs[_against("nova", (release, mode))].result()[suite]
    ours = runs[_against("ours", (release, mode))].result()[suite]
    assert ours["tested"].startswith("cowpath.doors.nova.")
    assert sorted(ours["ran"]) == sorted(nova["ran"])
    left_out = LEFT_OUT[suite].keys() & set(nova["ran"])
    assert ours["failed"].keys() == left_out, ours["failed"]


@every_suite
def test_what_is_left_out_is_there_and_has_a_reason(suite: str, runs: Runs) -> None:
    nova = runs[_against("nova", _BROKEN)].result()[suite]
    assert LEFT_OUT[suite].keys() <= set(nova["ran"])
    assert all(LEFT_OUT[suite].values())


@every_suite
def test_a_broken_class_fails_where_it_is_called(suite: str, runs: Runs) -> None:
    """So it is our class that the tests run against."""
    nova = runs[_against("nova", _BROKEN)].result()[suite]
    broken = runs[_against("broken", _BROKEN)].result()[suite]
    callers = {name for names in nova["callers"].values() for name in names}
    assert all(nova["callers"].values())
    assert broken["failed"].keys() == callers


@every_release
def test_the_seams_are_there(release: int, mode: str, runs: Runs) -> None:
    seen = runs[_seams((release, mode))].result()
    assert seen["missing"] == []
    assert seen["unlisted"] == [], "replaced, and not in doors/nova/seams.py"
    assert seen["narrower"] == [], "Nova may call it in a way that ours does not take"
    assert seen["accepted"] == []
    assert len(seen["ours at last"]) == len({*seen["ours at last"]}) > 2


@every_release
def test_another_nova_is_refused(release: int, mode: str, runs: Runs) -> None:
    seen = runs[_seams((release, mode))].result()
    backend = "nova.virt.libvirt.imagebackend.Rbd"
    gone = f"{backend}.clone is not there"
    (changed,) = seen["with another signature"]
    assert seen["without a method"] == seen["refused"] == [gone]
    assert changed.startswith(f"{backend}.copy_to_store does not take self, context")
    assert seen["ours after that"] == []


def test_the_newest_releases_are_tested() -> None:
    assert len(ALL) > 2
    assert list(ALL) == list(range(ALL[0], ALL[-1] - 1, -1))
