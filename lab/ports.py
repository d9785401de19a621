"""Free ports of the loopback address."""

import socket
from collections.abc import Iterable

from lab.errors import LabError

HOST = "127.0.0.1"


def is_free(port: int) -> bool:
    """Tell whether a program could listen there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def first_free(blocks: Iterable[range]) -> range:
    """Return the first block of ports that are all free.

    Raises:
        LabError: There is none.
    """
    tried = list(blocks)
    for block in tried:
        if all(is_free(port) for port in block):
            return block
    message = (
        f"No ports are free for the lab between {tried[0].start} and "
        f"{tried[-1].stop - 1}."
    )
    raise LabError(message)
