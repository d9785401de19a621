"""The peers of a copy: `rbd`'s own pipes, bare deep_copy, and hashing alone."""

import hashlib
import subprocess
from collections.abc import Callable
from contextlib import closing

import rados
import rbd

from benchmarks.cold_clusters import POOL, SNAP, Cluster, Source

_USER = "glance"
_BLOCK = bytes(8 * 1024**2)
# What deep_copy needs to be told: with another order than the source's it fails.
_ORDER = 23

Copy = Callable[[Source], None]


def deep_copy(source: Cluster, target: Cluster) -> tuple[Copy, Callable[[], None]]:
    """Return librbd's own copy on two open connections, and what closes them."""
    clients = [_connected(each) for each in (source, target)]
    here, there = (client.open_ioctx(POOL) for client in clients)

    def copy(what: Source) -> None:
        with rbd.Image(here, what.image, snapshot=SNAP, read_only=True) as opened:
            opened.deep_copy(there, what.image, order=_ORDER)

    def close() -> None:
        for pool in (here, there):
            pool.close()
        for client in clients:
            client.shutdown()

    return copy, close


def _connected(cluster: Cluster) -> rados.Rados:
    client = rados.Rados(rados_id=_USER, conffile=cluster.conf)
    client.connect()
    return client


def hashing(what: Source) -> None:
    """Take the SHA-512 of as many bytes as the image has, holes included."""
    digest = hashlib.sha512()
    for _ in range(what.shape.size // len(_BLOCK)):
        digest.update(_BLOCK)
    digest.hexdigest()


def export_import(source: Cluster, target: Cluster) -> Copy:
    """Return `rbd export | rbd import`."""

    def copy(what: Source) -> None:
        name = f"{POOL}/{what.image}"
        _pipe(
            [*_rbd(source), "export", f"{name}@{SNAP}", "-"],
            [*_rbd(target), "import", "--object-size", "8M", "-", name],
        )

    return copy


def export_diff(source: Cluster, target: Cluster) -> Copy:
    """Return `rbd create`, then `rbd export-diff | rbd import-diff`."""

    def copy(what: Source) -> None:
        name = f"{POOL}/{what.image}"
        made = ["create", "--object-size", "8M", "--size", f"{what.shape.size}B", name]
        subprocess.run([*_rbd(target), *made], check=True)  # noqa: S603
        _pipe(
            [*_rbd(source), "export-diff", f"{name}@{SNAP}", "-"],
            [*_rbd(target), "import-diff", "-", name],
        )

    return copy


def _rbd(cluster: Cluster) -> list[str]:
    return ["rbd", "-c", cluster.conf, "--id", _USER, "--no-progress"]


def _pipe(producer: list[str], consumer: list[str]) -> None:
    with subprocess.Popen(producer, stdout=subprocess.PIPE) as sending:  # noqa: S603
        if sending.stdout is None:
            return
        with closing(sending.stdout) as stream:
            subprocess.run(consumer, stdin=stream, check=True)  # noqa: S603
    if sending.returncode:
        raise subprocess.CalledProcessError(sending.returncode, producer)
