"""What Glance stands on beside its stores: identity, database, environment."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from lab import glance_config
from lab.glance_config import Sections
from lab.glance_database import empty_database
from lab.layout import Layout
from lab.venv import Venv


class Kit(Protocol):
    """Who a Glance asks who is asking, and where it keeps what it knows."""

    @property
    def venv(self) -> Venv:
        """The environment that it runs from."""

    @property
    def python_path(self) -> Sequence[Path]:
        """Folders with what it imports beside its environment."""

    @property
    def needed(self) -> Sequence[Path]:
        """Files without which a running one is of no use."""

    @property
    def sections(self) -> Sections:
        """What is added to the standard configuration."""

    def prepare(self) -> None:
        """Make what it needs, or wait until it is there."""

    def paste(self) -> str:
        """Return its paste configuration."""

    def describe(self) -> dict[str, object]:
        """Return what lab.json says of it."""


class Alone:
    """No Keystone and no database server: the token is the identity, SQLite."""

    def __init__(self, layout: Layout) -> None:
        self._cache = layout.cache
        self._home = layout.glance
        self._database = layout.glance / "glance.sqlite"
        self._venv = Venv(layout.cache, "glance")

    @property
    def venv(self) -> Venv:
        """Glance's own."""
        return self._venv

    @property
    def python_path(self) -> Sequence[Path]:
        """The lab's own middleware."""
        return [Path(__file__).with_name("glance_site")]

    @property
    def needed(self) -> Sequence[Path]:
        """The database."""
        return [self._database]

    @property
    def sections(self) -> Sections:
        """The lab's own middleware and the database."""
        return {
            "database": {"connection": f"sqlite:///{self._database}?timeout=30"},
            "paste_deploy": {"flavor": "lab"},
        }

    def prepare(self) -> None:
        """Put an empty database in its place."""
        if not self._database.exists():
            half_made = self._database.with_suffix(".new")
            shutil.copyfile(empty_database(self._cache, self._venv), half_made)
            half_made.replace(self._database)

    def paste(self) -> str:
        """Return a pipeline with the lab's own middleware."""
        return glance_config.paste("lab", "lab_auth:filter_factory")

    def describe(self) -> dict[str, object]:
        """Return where the database is."""
        return {"database": str(self._database)}
