"""Each of Nova's rules, put back into a copy of our code, makes a test fail."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from glob import glob
from pathlib import Path
from typing import cast
from xml.etree import ElementTree as ET

import pytest

from tests.mutations.nova_rules import MUTATIONS, Mutation

pytestmark = pytest.mark.mutation

_CHECKOUT = Path(__file__).parents[2]
_TESTS_FAILED = 1
_NOTICED = re.compile(
    # Failed is what pytest.raises says. The last is itself a rule of Nova's.
    r"assert |AssertionError\b|Failed: |cowpath\.core\.errors\.\w+|KeyError: 'stores'$"
)
"""How a failure begins that tells what the code did, not that it cannot run."""

Outcomes = Mapping[str, "Future[Ran]"]


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of the tests.

    Attributes:
        code: Pytest's exit code.
        failed: Of each test that failed, how its failure begins.
        errors: Of each file that could not be collected, or test that could not be
            begun, why.
        said: What pytest wrote last.
    """

    code: int
    failed: tuple[str, ...]
    errors: tuple[str, ...]
    said: str

    @property
    def noticed(self) -> bool:
        """Tell whether a test said that the code does the wrong thing."""
        ran = self.code == _TESTS_FAILED and bool(self.failed) and not self.errors
        return ran and all(_NOTICED.match(each) for each in self.failed)


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Outcomes]:
    """Return the run of each mutation that was chosen, several at a time."""
    chosen: list[Mutation] = [
        cast("Mutation", item.callspec.params["mutation"])
        for item in request.session.items
        if isinstance(item, pytest.Function) and "outcomes" in item.fixturenames
    ]
    # The one about followers, among the last, waits half a minute for threads that
    # never come: it is begun early, and its wait takes nobody's place.
    pool = ThreadPoolExecutor((os.cpu_count() or 1) + 1)
    yield {
        each.rule: pool.submit(_run, each, tmp_path_factory.mktemp("mutant"))
        for each in chosen[::-1]
    }
    pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda each: each.rule)
def test_a_test_notices(mutation: Mutation, outcomes: Outcomes) -> None:
    ran = outcomes[mutation.rule].result()
    assert ran.noticed, ran


@pytest.mark.parametrize(
    ("rule", "theirs"),
    [
        # Where the tests' own conftest imports it, in a test's file, in a test.
        ("one HTTP 500", "_TRANSIENT = ("),
        ("a request whose reply was lost", "import nobody_s_module"),
        ("an image without `stores`", "stores=nobody_s_name,"),
    ],
)
def test_code_that_cannot_run_is_not_noticed(
    rule: str, theirs: str, tmp_path: Path
) -> None:
    (real,) = [each for each in MUTATIONS if each.rule.startswith(rule)]
    ran = _run(replace(real, theirs=theirs), tmp_path)
    assert ran.code
    assert not ran.noticed, ran


def test_without_a_change_the_same_tests_pass(tmp_path: Path) -> None:
    """Otherwise anything would be noticed."""
    tests = {path for mutation in MUTATIONS for path in _files(mutation)}
    ran = _pytest(sorted(tests), _CHECKOUT / "src", tmp_path)
    assert ran.code == 0, ran.said


def _run(mutation: Mutation, folder: Path) -> Ran:
    source = folder / "src" / "cowpath"
    shutil.copytree(
        _CHECKOUT / "src" / "cowpath",
        source,
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    file = source / mutation.file
    text = file.read_text()
    assert text.count(mutation.ours) == 1, f"not once in {mutation.file}"
    file.write_text(text.replace(mutation.ours, mutation.theirs))
    return _pytest([*_files(mutation)], source.parent, folder)


def _files(mutation: Mutation) -> Iterator[str]:
    for pattern in mutation.tests:
        found = sorted(glob(pattern, root_dir=_CHECKOUT))  # noqa: PTH207 - relative
        assert found, pattern
        yield from found


def _pytest(tests: list[str], source: Path, folder: Path) -> Ran:
    report = folder / "report.xml"
    # One failure is enough, and it need not be made small.
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [
            *command,
            f"--junit-xml={report}",
            "-o",
            f"pythonpath={source} .",
            "--hypothesis-profile=mutant",
            *tests,
        ],
        cwd=_CHECKOUT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    said = done.stdout[-2000:] + done.stderr[-2000:]
    return Ran(done.returncode, *_messages(report), said)


def _messages(report: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return how each failure begins, and each error."""
    if not report.exists():
        return (), ()  # it did not come to any test
    cases = ET.parse(report)  # noqa: S314  # pytest's own
    failed, errors = (
        tuple(case.get("message", "") for case in cases.iter(kind))
        for kind in ("failure", "error")
    )
    return failed, errors
