"""Glance's own tests of copies, import locks and several stores, with our door in it.

For the newest release; GLANCE_RELEASES=all has all that the door knows.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.glance.left_out import LEFT_OUT
from tests.glance.venvs import ALL, CHOSEN, RELEASES
from tests.releases import run_there

pytestmark = pytest.mark.glance_upstream

_HERE = Path(__file__).parent

every_release = pytest.mark.parametrize("release", CHOSEN)


@dataclass(frozen=True, slots=True)
class Run:
    """A program of this folder, in the environment of a release."""

    release: int
    program: str
    words: tuple[str, ...] = ()

    def done(self, folder: Path) -> Any:
        """Return what it wrote."""
        place = folder / "-".join([str(self.release), self.program, *self.words])
        place.mkdir()
        return run_there(
            RELEASES.venv(self.release),
            _HERE / self.program,
            self.words,
            folder=place,
            told=place / "told.json",
            environment={},
        )


def _against(subject: str, release: int) -> Run:
    return Run(release, "against_us.py", (subject,))


Runs = Mapping[Run, "Future[Any]"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """Return all that is run: one after the other, for some tests are in a hurry."""
    wanted = [
        *(Run(release, "seams_here.py") for release in CHOSEN),
        # In the order of the tests: none waits for more than its own.
        *(_against(who, release) for who in ("ours", "glance") for release in CHOSEN),
    ]
    folder = tmp_path_factory.mktemp("glance")
    pool = ThreadPoolExecutor(1)
    yield {run: pool.submit(run.done, folder) for run in wanted}
    pool.shutdown(cancel_futures=True)


@every_release
def test_the_seams_are_there(release: int, runs: Runs) -> None:
    seen = runs[Run(release, "seams_here.py")].result()
    assert seen["unknown"] == []
    assert seen["found by its entry point"] == "cowpath.doors.glance.flow"


@every_release
def test_another_glance_is_known_to_be_one(release: int, runs: Runs) -> None:
    seen = runs[Run(release, "seams_here.py")].result()
    flow = "glance.async_.flows.api_image_import.get_flow"
    (news,) = seen["another release"]
    assert news.startswith(f"it is release {release}.")
    assert news.endswith("those that Cowpath knows are 1, 2")
    assert seen["another signature"] == [f"{flow} does not take parameters of any name"]
    assert seen["without it"] == [f"{flow} is not there"]


@every_release
def test_ours_passes_all_but_those_left_out(release: int, runs: Runs) -> None:
    """One that is left out and passes must be taken off the list."""
    ours = runs[_against("ours", release)].result()
    left_out = LEFT_OUT.keys() & {*ours["ran"]}
    assert ours["failed"].keys() == left_out, ours["failed"]
    assert ours["skipped"] == []
    assert {*ours["again"]} & {*ours["copied"]} == set(), "a race that may be ours"


@every_release
def test_glance_itself_passes_those_in_which_we_copy(release: int, runs: Runs) -> None:
    """Otherwise it would tell nothing that ours does, or does not.

    Others of them, of uploads, race with themselves: at times one fails.
    """
    glance = runs[_against("glance", release)].result()
    ours = runs[_against("ours", release)].result()
    assert {*glance["ran"]} == {*ours["ran"]}
    told = {*ours["copied"]} - LEFT_OUT.keys()
    assert glance["failed"].keys() & told == set()
    assert glance["copied"] == []


@every_release
def test_our_task_is_what_copies_in_them(release: int, runs: Runs) -> None:
    ours = runs[_against("ours", release)].result()
    backend = "TestImagesMultipleBackend"
    assert {
        f"{backend}.test_copy_image_lifecycle",
        f"{backend}.test_copy_image_revert_lifecycle",
        "TestCopyImagePermissions.test_copy_public_image_as_non_admin_permitted",
    } <= {*ours["copied"]}


def test_what_is_left_out_has_a_reason_and_is_there(runs: Runs) -> None:
    newest = runs[_against("glance", CHOSEN[0])].result()
    assert LEFT_OUT.keys() <= {*newest["ran"]}
    assert all(LEFT_OUT.values())


def test_the_newest_releases_are_tested() -> None:
    assert len(ALL) > 2
    assert list(ALL) == list(range(ALL[0], ALL[-1] - 1, -1))
