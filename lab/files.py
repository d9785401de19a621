"""Writing files so that nobody ever reads half of one, and one writer at a time."""

import fcntl
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_DEFAULT_MODE = 0o644


def write(path: Path, text: str, *, mode: int = _DEFAULT_MODE) -> None:
    """Write a file at once: readers see the old text or the new.

    Args:
        path: Which file; its folder is made where it is missing.
        text: What it is to hold.
        mode: Its permissions, from its first moment on.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)
    Path(name).replace(path)


def read(path: Path) -> str:
    """Return a file's text, or nothing where there is no such file."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def ini(sections: dict[str, dict[str, str]]) -> str:
    """Return sections of keys and values as every oslo.config program reads them."""
    blocks = [
        "\n".join([f"[{name}]", *(f"{key} = {value}" for key, value in keys.items())])
        for name, keys in sections.items()
    ]
    return "\n\n".join(blocks) + "\n"


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Let one command at a time change something; a dead one's lock is free."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for another command of the lab …", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """Give a folder beside others that is gone afterwards."""
    with tempfile.TemporaryDirectory(dir=parent) as name:
        yield Path(name)
