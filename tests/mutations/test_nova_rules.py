"""Each of Nova's rules, put back into a copy of our code, makes a test fail."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from glob import glob
from pathlib import Path

import pytest

from tests.mutations.nova_rules import MUTATIONS, Mutation

pytestmark = pytest.mark.mutation

_CHECKOUT = Path(__file__).parents[2]
_TESTS_FAILED = 1


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda each: each.rule)
def test_a_test_notices(mutation: Mutation, tmp_path: Path) -> None:
    source = tmp_path / "src" / "cowpath"
    shutil.copytree(
        _CHECKOUT / "src" / "cowpath",
        source,
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    file = source / mutation.file
    text = file.read_text()
    assert text.count(mutation.ours) == 1, f"not once in {mutation.file}"
    file.write_text(text.replace(mutation.ours, mutation.theirs))
    done = _run(mutation, source.parent)
    assert done.returncode == _TESTS_FAILED, done.stdout[-2000:] + done.stderr[-2000:]


def test_without_a_change_the_same_tests_pass() -> None:
    """Otherwise anything would be noticed."""
    tests = {path for mutation in MUTATIONS for path in _files(mutation)}
    done = _pytest(sorted(tests), _CHECKOUT / "src")
    assert done.returncode == 0, done.stdout[-2000:]


def _run(mutation: Mutation, source: Path) -> subprocess.CompletedProcess[str]:
    return _pytest([*_files(mutation)], source)


def _files(mutation: Mutation) -> Iterator[str]:
    for pattern in mutation.tests:
        found = sorted(glob(pattern, root_dir=_CHECKOUT))  # noqa: PTH207 - relative
        assert found, pattern
        yield from found


def _pytest(tests: list[str], source: Path) -> subprocess.CompletedProcess[str]:
    # One failure is enough, and it need not be made small.
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    return subprocess.run(
        [
            *command,
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
