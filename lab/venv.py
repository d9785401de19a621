"""Virtual environments in the lab's cache, one for each list of requirements."""

import hashlib
import os
import shutil
import sys
import threading
from pathlib import Path

from lab.errors import LabError
from lab.files import alone, read, scratch, write
from lab.programs import locate, run

_OLDEST_PYTHON = (3, 11)
# Many services ask for it at once; the lock file is for other commands.
_ONE_AT_A_TIME = threading.Lock()


class Venv:
    """A virtual environment for services of the lab."""

    def __init__(
        self, cache: Path, name: str, requirements: Path | None = None
    ) -> None:
        """Know where it lies; nothing is made yet.

        Args:
            cache: The lab's cache.
            name: What the environment is for.
            requirements: What it is made from; by default `NAME-requirements.txt`
                beside this module.
        """
        self._cache = cache
        self._name = name
        beside = Path(__file__).with_name(f"{name}-requirements.txt")
        self._requirements = requirements or beside
        self._folder = cache / f"{name}-venv"
        self._marker = self._folder / "made-from"

    def program(self, name: str) -> str:
        """Return the path of one of its programs."""
        return str(self._folder / "bin" / name)

    def ensure(self) -> None:
        """Make it where it is missing, half made or made from something else.

        Raises:
            LabError: This Python is too old, or the packages cannot be had.
        """
        self._cache.mkdir(parents=True, exist_ok=True)
        with _ONE_AT_A_TIME, alone(self._cache / f"{self._name}-venv.lock"):
            self._ensure()

    @property
    def recipe(self) -> str:
        """What the environment is made from, and for which place."""
        digest = hashlib.sha256(self._requirements.read_bytes()).hexdigest()
        return f"{self._folder} {digest}\n"

    def add_checkout(self, checkout: Path) -> None:
        """Have it see a checkout's own package and its console scripts.

        Args:
            checkout: The folder of its pyproject.toml, by which the scripts are known:
                they are made again where that has changed.

        Raises:
            LabError: It cannot be built.
        """
        marker = self._folder / "checkout"
        with _ONE_AT_A_TIME, alone(self._cache / f"{self._name}-venv.lock"):
            project = hashlib.sha256((checkout / "pyproject.toml").read_bytes())
            recipe = f"{checkout} {project.hexdigest()}\n"
            if read(marker) != recipe:
                self._install("--no-deps", "--editable", str(checkout))
                write(marker, recipe)

    def _ensure(self) -> None:
        # The interpreter that it was made with may be gone from the machine.
        whole = Path(self.program("python")).exists()
        if whole and read(self._marker) == self.recipe:
            return
        if sys.version_info < _OLDEST_PYTHON:
            raise LabError(
                f"The lab's services need Python 3.11; this is "
                f"{sys.version.split()[0]}. "
                "Run the lab by a newer one: python3.11 -m lab up"
            )
        shutil.rmtree(self._folder, ignore_errors=True)
        uv = _uv()
        if uv:
            python = str(Path(sys.base_prefix) / "bin" / _python_name())
            # Seeded: who runs the lab next may have pip only.
            made = [uv, "venv", "--quiet", "--seed", "--python", python]
            run([*made, str(self._folder)])
        else:
            run([sys.executable, "-m", "venv", str(self._folder)])
        self._install("-r", str(self._requirements))
        write(self._marker, self.recipe)

    def _install(self, *what: str) -> None:
        uv = _uv()
        with scratch(self._cache) as folder:
            # The caller's index and proxies count; where to put things is ours.
            env = {**os.environ, "TMPDIR": str(folder)}
            env.pop("VIRTUAL_ENV", None)
            env.setdefault("UV_CACHE_DIR", str(self._cache / "uv"))
            python = self.program("python")
            if uv:
                command = [uv, "pip", "install", "--quiet", "--python", python]
            else:
                pip = [python, "-m", "pip", "install", "--quiet"]
                command = [*pip, "--disable-pip-version-check", "--no-cache-dir"]
            run([*command, *what], env=env, within_seconds=900)


def _uv() -> str | None:
    own = Path(__file__).parents[1] / ".tools" / "bin" / "uv"
    found = os.environ.get("LAB_UV") or locate("uv")
    return found or (str(own) if own.is_file() else None)


def _python_name() -> str:
    return f"python{sys.version_info[0]}.{sys.version_info[1]}"
