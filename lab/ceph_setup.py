"""What only the cluster itself can do, asked through Ceph's own binding.

Run by the machine's own Python, which sees it: `python3 -m lab.ceph_setup CONF
register UUID | calm | pools NAME…`. Each can be repeated.
"""

import importlib
import json
import sys
from typing import Any

from lab.waiting import wait_until

_CONNECT_WITHIN_SECONDS = 30
_CAPACITY_WITHIN_SECONDS = 30
_OLDEST_CLIENT = "mimic"


def _command(cluster: Any, prefix: str, **arguments: object) -> None:
    words = {"prefix": prefix, "format": "json", **arguments}
    status, _, said = cluster.mon_command(json.dumps(words), b"")
    if status:
        message = f"`{prefix}` failed with status {status}: {said}"
        raise SystemExit(message)


def _connect(conf: str) -> Any:
    rados = importlib.import_module("rados")
    cluster = rados.Rados(conffile=conf, rados_id="admin")
    # We are to wait for daemons that are only starting; other clients are not.
    for option in ("client_mount_timeout", "rados_osd_op_timeout"):
        cluster.conf_set(option, str(_CONNECT_WITHIN_SECONDS))
    cluster.connect()
    return cluster


def _register(cluster: Any, uuid: str) -> None:
    _command(cluster, "osd new", uuid=uuid, id=0)


def _calm(cluster: Any) -> None:
    # The manager would make a pool of its own for the health of our sparse file. The
    # monitor learns the option from the manager, hence by force.
    option = "mgr/devicehealth/enable_monitoring"
    _command(cluster, "config set", who="mgr", name=option, value="false", force=True)


def _pools(cluster: Any, names: list[str]) -> None:
    rbd = importlib.import_module("rbd").RBD()
    # Clones of format 2 need no protected snapshot; older clients cannot read them.
    _command(cluster, "osd set-require-min-compat-client", version=_OLDEST_CLIENT)
    missing = set(names) - set(cluster.list_pools())
    for name in names:
        if name in missing:
            _command(cluster, "osd pool create", pool=name)
        _command(cluster, "osd pool application enable", pool=name, app="rbd")
    for name in names:
        with cluster.open_ioctx(name) as pool:
            rbd.pool_init(pool, True)  # noqa: FBT003 - the binding knows no keyword
    # The monitor says 0 until the manager has told it.
    if not wait_until(
        lambda: bool(cluster.get_cluster_stats()["kb"]),
        within_seconds=_CAPACITY_WITHIN_SECONDS,
    ):
        raise SystemExit("The cluster does not tell its capacity: read mgr.log.")


def main(arguments: list[str]) -> None:
    """Do one thing.

    Args:
        arguments: A client's ceph.conf, what to do, and to what.
    """
    conf, verb, *names = arguments
    cluster = _connect(conf)
    match verb:
        case "register":
            _register(cluster, *names)
        case "calm":
            _calm(cluster)
        case "pools":
            _pools(cluster, names)
        case _:
            message = f"Nothing is called {verb!r} here."
            raise SystemExit(message)
    cluster.shutdown()


if __name__ == "__main__":
    main(sys.argv[1:])
