"""Glance's own virtual environment, and an empty database for it."""

import hashlib
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from lab.errors import LabError
from lab.files import alone, ini, read, write
from lab.programs import clean_environment, locate, run

REQUIREMENTS = Path(__file__).with_name("glance-requirements.txt")

_OLDEST_PYTHON = (3, 11)


class GlanceVenv:
    """The virtual environment in the lab's cache."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._folder = cache / "glance-venv"
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
        with alone(self._cache / "glance-venv.lock"):
            self._ensure()

    def _ensure(self) -> None:
        # The interpreter that it was made with may be gone from the machine.
        whole = Path(self.program("python")).exists()
        if whole and read(self._marker) == self._recipe():
            return
        if sys.version_info < _OLDEST_PYTHON:
            raise LabError(
                f"Glance 33 needs Python 3.11; this is {sys.version.split()[0]}. "
                "Run the lab by a newer one: python3.11 -m lab up"
            )
        shutil.rmtree(self._folder, ignore_errors=True)
        uv = os.environ.get("LAB_UV") or locate("uv")
        with _scratch(self._cache) as scratch:
            # The caller's index and proxies count; where to put things is ours.
            env = {**os.environ, "TMPDIR": str(scratch)}
            env.pop("VIRTUAL_ENV", None)
            if uv:
                self._make_with_uv(uv, env)
            else:
                self._make_with_pip(env)
        write(self._marker, self._recipe())

    def _recipe(self) -> str:
        """Say what the environment is made from, and for which place."""
        digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
        return f"{self._folder} {digest}\n"

    def _make_with_uv(self, uv: str, env: dict[str, str]) -> None:
        env.setdefault("UV_CACHE_DIR", str(self._cache / "uv"))
        python = str(Path(sys.base_prefix) / "bin" / _python_name())
        run([uv, "venv", "--quiet", "--python", python, str(self._folder)], env=env)
        install = [uv, "pip", "install", "--quiet", "--python", self.program("python")]
        run([*install, "-r", str(REQUIREMENTS)], env=env)

    def _make_with_pip(self, env: dict[str, str]) -> None:
        run([sys.executable, "-m", "venv", str(self._folder)], env=env)
        install = [self.program("python"), "-m", "pip", "install", "--quiet"]
        options = ["--disable-pip-version-check", "--no-cache-dir"]
        requirements = ["-r", str(REQUIREMENTS)]
        run([*install, *options, *requirements], env=env, within_seconds=900)

    def empty_database(self) -> Path:
        """Return a database with Glance's tables and nothing in them.

        Its migrations take five seconds, so they run once for an environment.
        """
        digest = hashlib.sha256(self._recipe().encode()).hexdigest()[:12]
        database = self._cache / f"glance-{digest}.sqlite"
        if not database.exists():
            with _scratch(self._cache) as folder:
                self._migrate(folder).replace(database)
        return database

    def _migrate(self, folder: Path) -> Path:
        database = folder / "glance.sqlite"
        conf = folder / "glance.conf"
        write(conf, ini({"database": {"connection": f"sqlite:///{database}"}}))
        run(
            [self.program("glance-manage"), "--config-file", str(conf), "db_sync"],
            env=clean_environment(folder),
            cwd=folder,
        )
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
        return database


def _python_name() -> str:
    return f"python{sys.version_info[0]}.{sys.version_info[1]}"


@contextmanager
def _scratch(parent: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=parent) as name:
        yield Path(name)
