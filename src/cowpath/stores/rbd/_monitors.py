"""The monitors' addresses, from `ceph mon dump` as JSON; pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from cowpath.core.model import RbdHost

# QEMU hands host and port to librados without saying which protocol they speak; a v1
# address is what Nova gives it too, and every release understands it.
_PREFERRED = ("v1", "v2", "any")


def hosts(dump: Mapping[str, Any]) -> tuple[RbdHost, ...]:
    """Return an address of every monitor, v1 where it has one; IPv6 without brackets.

    Args:
        dump: What the monitors answer to `mon dump`.
    """
    found = (_preferred(monitor) for monitor in dump.get("mons", ()))
    return tuple(_host(address) for address in found if address)


def _preferred(monitor: Mapping[str, Any]) -> str | None:
    shown = dict(_addresses(monitor))
    return next((shown[kind] for kind in _PREFERRED if kind in shown), None)


def _host(address: str) -> RbdHost:
    name, _, port = address.rpartition(":")
    return RbdHost(name.strip("[]"), int(port))


def _addresses(monitor: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for entry in monitor.get("public_addrs", {}).get("addrvec", ()):
        yield str(entry["type"]), str(entry["addr"])
    # Before Nautilus there is only `addr`, with a nonce behind the port.
    if "addr" in monitor:
        yield "any", str(monitor["addr"]).partition("/")[0]
