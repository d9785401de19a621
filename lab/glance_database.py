"""An empty SQLite database for Glance."""

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

from lab.files import ini, scratch, write
from lab.programs import clean_environment, run
from lab.venv import Venv


def empty_database(cache: Path, venv: Venv) -> Path:
    """Return a database with Glance's tables and nothing in them.

    Its migrations take five seconds, so they run once for an environment.

    Args:
        cache: Where it is kept.
        venv: Glance's environment.
    """
    digest = hashlib.sha256(venv.recipe.encode()).hexdigest()[:12]
    database = cache / f"glance-{digest}.sqlite"
    if not database.exists():
        with scratch(cache) as folder:
            _migrate(venv, folder).replace(database)
    return database


def _migrate(venv: Venv, folder: Path) -> Path:
    database = folder / "glance.sqlite"
    conf = folder / "glance.conf"
    write(conf, ini({"database": {"connection": f"sqlite:///{database}"}}))
    run(
        [venv.program("glance-manage"), "--config-file", str(conf), "db_sync"],
        env=clean_environment(folder),
        cwd=folder,
    )
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    return database
