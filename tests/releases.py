"""Releases of a service that are tested: an environment for each, and what runs there.

The service is Nova or Glance; beside its tests, a folder `releases` has a list of
requirements for each of its releases, such as `nova-34.txt`.
"""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab.layout import standard
from lab.venv import Venv

_CHECKOUT = Path(__file__).parents[1]


class Releases:
    """The releases of a service.

    Attributes:
        every: Their numbers, the newest first.
    """

    def __init__(self, service: str, folder: Path) -> None:
        """Look them up.

        Args:
            service: Its name, which the names of the lists begin with.
            folder: Where the folder `releases` is.
        """
        self._service = service
        self._lists = folder / "releases"
        numbers = (path.stem.rpartition("-")[2] for path in self._lists.iterdir())
        self.every = tuple(sorted(map(int, numbers), reverse=True))

    def chosen(self, told: str, by_default: int) -> tuple[int, ...]:
        """Return those that somebody has chosen.

        Args:
            told: Numbers, or `all`.
            by_default: How many of the newest, where nothing is told.
        """
        if told == "all":
            return self.every
        named = tuple(int(each) for each in told.replace(",", " ").split())
        return named or self.every[:by_default]

    def venv(self, release: int) -> Venv:
        """Return the virtual environment of a release, in the lab's cache."""
        name = f"{self._service}-{release}"
        cache = standard(self._service).cache
        return Venv(cache, name, requirements=self._lists / f"{name}.txt")


def run_there(
    venv: Venv,
    program: Path,
    words: tuple[str, ...],
    *,
    folder: Path,
    told: Path,
    environment: Mapping[str, str],
) -> Any:
    """Run a program of ours in an environment, and return what it has written.

    Args:
        venv: Which.
        program: Its last argument is the file that it writes.
        words: Its other arguments.
        folder: Where it runs.
        told: The file.
        environment: Variables of its own.
    """
    venv.ensure()
    command = [venv.program("python"), str(program), *words]
    ran = subprocess.run(
        [*command, str(told)],
        cwd=folder,
        env={**_clean(), **environment},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=900,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-4000:]
    return json.loads(told.read_text())


def _clean() -> dict[str, str]:
    """Return our environment without what is for our own tests."""
    ours = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("OS_", "PYTHON", "VIRTUAL_ENV"))
    }
    quiet = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONWARNINGS": "ignore"}
    path = os.pathsep.join(map(str, (_CHECKOUT / "src", _CHECKOUT)))
    return {**ours, **quiet, "PYTHONPATH": path}
