"""What a Ceph daemon says of itself on its admin socket."""

import json
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_ANSWER_WITHIN_SECONDS = 2.0
_LENGTH = struct.Struct(">I")


def ask(path: Path, command: str) -> Mapping[str, object]:
    """Ask a daemon, without Ceph's tools, which take half a second to start.

    Args:
        path: Its socket, however long.
        command: One of its own commands, such as `status`.

    Returns:
        Its answer; nothing where there is no daemon or it does not answer.
    """
    try:
        with _folder(path) as folder, socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_ANSWER_WITHIN_SECONDS)
            connection.connect(f"{folder}/{path.name}")
            connection.sendall(json.dumps({"prefix": command}).encode() + b"\0")
            with connection.makefile("rb") as stream:
                (length,) = _LENGTH.unpack(stream.read(_LENGTH.size))
                answer = json.loads(stream.read(length))
    except (OSError, struct.error, ValueError):
        return {}
    return answer if isinstance(answer, dict) else {}


@contextmanager
def _folder(path: Path) -> Iterator[str]:
    """Give a path to a socket's folder that fits into a socket's address."""
    descriptor = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
