"""SQLite that several threads of Glance can write to."""

import importlib
from typing import Any

# oslo.db begins a SQLite transaction itself unless it finds this mark, which is its
# own, on the connection.
_OSLO_DB_BEGAN = "in_transaction"


def _begin(connection: Any) -> None:
    """Take the write lock at the start of a transaction, and wait for it there.

    A transaction that has read can wait for no lock: SQLite answers "database is
    locked" at once, whatever the timeout, and Glance's copies hang for ever. Seen
    with 12 copies at once: all succeed with this, 1 to 3 without.
    """
    if connection.dialect.name == "sqlite" and _OSLO_DB_BEGAN not in connection.info:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        connection.info[_OSLO_DB_BEGAN] = True


def take_the_write_lock_first() -> None:
    """Have every engine of this process begin its transactions so."""
    engine = importlib.import_module("sqlalchemy.engine").Engine
    event = importlib.import_module("sqlalchemy.event")
    if not event.contains(engine, "begin", _begin):
        event.listen(engine, "begin", _begin)
