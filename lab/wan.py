"""The kind `wan`: cluster `edge` behind a long and narrow link, all else on this side.

Root only, and only in a network namespace of its own (`unshare --net`), so that nobody
else's addresses are touched. The link and the edge's daemons are in another one.
"""

import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from lab.ceph_cluster import Place
from lab.ceph_clusters import Clusters
from lab.errors import LabError
from lab.files import write
from lab.layout import Layout, standard
from lab.processes import Process, end, find, send, spawn
from lab.programs import clean_environment, need
from lab.services import Service, Step
from lab.waiting import wait_until
from lab.wan_link import FAR_ADDRESS, NEAR_ADDRESS, NEAR_DEVICE, ip, settle

_UP_WITHIN_SECONDS = 10.0
_STOP_WITHIN_SECONDS = 5.0
_FAR = "edge"
_DEVICES = Path("/proc/self/net/dev")
_RECEIVED, _SENT = 0, 8


class Link:
    """The link, and the namespace at its far end."""

    name = "link"
    address = FAR_ADDRESS

    def __init__(self, home: Path) -> None:
        self._home = home

    @property
    def log(self) -> Path:
        """What it complained of."""
        return self._home / "link.log"

    @property
    def _shape(self) -> Path:
        return self._home / "shape"

    def processes(self) -> list[Process]:
        """Return the program that carries the packets."""
        return find("wan_link", self._home)

    def answers(self) -> bool:
        """Tell whether this end's device is there."""
        return bool(self.processes()) and NEAR_DEVICE in _DEVICES.read_text()

    def start(self, settings: Sequence[str] = ()) -> None:
        """Make both ends."""
        if settings:
            raise LabError("The link takes no --set.")
        if self.answers():
            return
        self.stop()
        self._home.mkdir(parents=True, exist_ok=True)
        program = Path(__file__).with_name("wan_link.py")
        spawn(
            [
                *(need("unshare"), "--net", "/usr/bin/python3", str(program)),
                *(str(self._shape), str(os.getpid())),
            ],
            env=clean_environment(self._home),
            cwd=self._home,
            log=self.log,
        )
        if not wait_until(self.answers, within_seconds=_UP_WITHIN_SECONDS):
            raise LabError(f"There is no link: {self.log} says why.")
        ip("link", "set", "lo", "up")
        settle(NEAR_DEVICE, NEAR_ADDRESS)

    def stop(self) -> None:
        """End it; the devices and the far end go with it."""
        self._shape.unlink(missing_ok=True)
        if not end("wan_link", self._home, grace_seconds=_STOP_WITHIN_SECONDS):
            raise LabError("The link cannot be ended: see `status`.")

    clear = stop

    def shape(self, mbit: float, round_trip_milliseconds: float) -> None:
        """Make it narrow and long; zeros: neither."""
        write(self._shape, f"{mbit} {round_trip_milliseconds / 2}\n")
        send(self.processes(), signal.SIGHUP)

    def enter(self) -> Sequence[str]:
        """Return the command line by which a program gets to the far end."""
        found = self.processes()
        if not found:
            raise LabError("The link is down, and with it the far end: start it first.")
        return [need("nsenter"), f"--net=/proc/{found[0].pid}/ns/net", "--"]

    def carried(self) -> tuple[int, int]:
        """Return the bytes that went over it, from this side and to this side."""
        for line in _DEVICES.read_text().splitlines():
            device, _, counts = line.partition(":")
            if device.strip() == NEAR_DEVICE:
                numbers = counts.split()
                return int(numbers[_SENT]), int(numbers[_RECEIVED])
        return 0, 0


class WanLab:
    """Two Ceph clusters with a link between them."""

    kind = "wan"

    def __init__(self) -> None:
        self._layout = layout = standard(self.kind)
        self.link = Link(layout.home / "link")
        far = Place(FAR_ADDRESS, self.link.enter)
        self._clusters = Clusters(layout, places={_FAR: far})

    @property
    def layout(self) -> Layout:
        """Where it lies."""
        return self._layout

    @property
    def foundations(self) -> Sequence[Service]:
        """The clusters' daemons."""
        return self._clusters.daemons

    @property
    def services(self) -> Sequence[Service]:
        """The clusters' daemons: there is nothing else."""
        return self.foundations

    @property
    def goods(self) -> Sequence[Step]:
        """Each cluster's pools."""
        return self._clusters.pools

    def begin(self) -> None:
        """Make the link, which is neither narrow nor long yet.

        Raises:
            LabError: This is the machine's own network namespace.
        """
        if set(_routes()) <= {NEAR_DEVICE}:
            self.link.start()
            return
        raise LabError(
            "The lab of kind wan changes the network: run it as root in a network "
            "namespace of its own, by `unshare --net`."
        )

    def publish(self) -> None:
        """Write lab.json."""
        facts = {"kind": self.kind, "clusters": self._clusters.describe()}
        write(self._layout.manifest, json.dumps(facts, indent=2) + "\n")

    def end(self) -> None:
        """End the link, when nobody is behind it any more."""
        self.link.stop()


def _routes() -> list[str]:
    """Return the devices that this namespace has routes by; a new one has none."""
    lines = Path("/proc/self/net/route").read_text().splitlines()[1:]
    return [line.split()[0] for line in lines]
