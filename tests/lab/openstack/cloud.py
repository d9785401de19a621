"""The lab's cloud as a user of it has it: servers, images, what Glance was asked."""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4
from warnings import catch_warnings, simplefilter

import rbd
from keystoneauth1.adapter import Adapter
from keystoneauth1.session import Session
from openstack.config import OpenStackConfig

from cowpath.clock import SystemClock
from cowpath.core.model import Seconds
from tests.lab.bench import tool
from tests.lab.ceph.cluster import Ceph
from tests.lab.openstack import pools

CENTRAL, EDGE, FILES = "central", "edge", "files"
SITES = (CENTRAL, EDGE)
IMAGES, VMS = "images", "vms"
ADMIN, MEMBER = "lab-admin", "lab-demo"
ENDED = ("ACTIVE", "ERROR")

_COMPUTE = "2.90"
_PATCH = "application/openstack-images-v2.1-json-patch"
_REFUSED = 400
_GONE = 404

Listing = dict[str, dict[str, list[str]]]
"""By site and pool: the RBD images there, with their snapshots, and the trash."""


class RefusedError(AssertionError):
    """A service said no; the message has what it said."""


class Cloud:
    """Makes servers and images, and removes all of them at the end.

    Attributes:
        lab: What lab.json says.
        clusters: By site.
    """

    def __init__(self, lab: Mapping[str, Any], clusters: Mapping[str, Ceph]) -> None:
        self.lab = lab
        self.clusters = clusters
        self._clock = SystemClock()
        sessions = {name: _log_in(lab["clouds_yaml"], name) for name in (ADMIN, MEMBER)}
        self._computes = {
            name: Adapter(session, "compute", default_microversion=_COMPUTE)
            for name, session in sessions.items()
        }
        self._glances = {
            name: Adapter(session, endpoint_override=lab["glance"]["url"])
            for name, session in sessions.items()
        }
        self._servers: list[str] = []
        self._images: list[str] = []

    # Asking

    def compute(
        self, method: str, path: str, body: object = None, *, user: str = ADMIN
    ) -> Any:
        """Ask Nova; return its JSON."""
        return self._ask(self._computes[user], method, path, body)

    def glance(
        self, method: str, path: str, body: object = None, *, user: str = ADMIN
    ) -> Any:
        """Ask Glance; return its JSON."""
        return self._ask(self._glances[user], method, f"/v2{path}", body)

    def _ask(self, service: Adapter, method: str, path: str, body: object) -> Any:
        return _told(service.request(path, method, json=body, raise_exc=False))

    def openstack(self, *words: str, user: str = ADMIN) -> str:
        """Run the `openstack` program, which must succeed; return what it prints."""
        ours = {"OS_CLIENT_CONFIG_FILE": self.lab["clouds_yaml"], "OS_CLOUD": user}
        rest = {key: text for key, text in os.environ.items() if key[:3] != "OS_"}
        done = subprocess.run(
            [self.lab["openstack"], *words],
            env=rest | ours,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        if done.returncode:
            raise RefusedError(f"openstack {' '.join(words)}: {done.stderr}")
        return done.stdout

    def said(self, *words: str, user: str = ADMIN) -> Any:
        """Run the `openstack` program; return the JSON that it prints."""
        return json.loads(self.openstack(*words, "-f", "json", user=user))

    # Images

    def upload(
        self, file: str | Path = "", *, store: str = CENTRAL, **facts: object
    ) -> str:
        """Publish a file as an image in one store; return its id.

        Args:
            file: The raw file; the guest that stays up where none is given.
            store: Where.
            facts: What is other than a public raw image.
        """
        told: dict[str, object] = {
            "name": f"bench-{uuid4().hex[:8]}",
            "disk_format": "raw",
            "container_format": "bare",
            "visibility": "public",
        }
        made = str(self.glance("POST", "/images", told | facts)["id"])
        self._images.append(made)
        with Path(file or self.lab["guest_stay"]["raw"]).open("rb") as data:
            headers = {
                "Content-Type": "application/octet-stream",
                "X-Image-Meta-Store": store,
            }
            _told(
                self._glances[ADMIN].put(
                    f"/v2/images/{made}/file",
                    data=data,
                    headers=headers,
                    raise_exc=False,
                )
            )
        return made

    def adopt_image(self, image: str) -> str:
        """Have an image that somebody made removed at the end; return its id."""
        self._images.append(image)
        return image

    def image(self, image: str) -> dict[str, Any]:
        """Return what Glance says of an image."""
        told: dict[str, Any] = self.glance("GET", f"/images/{image}")
        return told

    def stores(self, image: str) -> set[str]:
        """Return the stores that have an image."""
        return {*self.image(image)["stores"].split(",")}

    def place(self, image: str, store: str) -> None:
        """Have Glance copy an image, as its administrator, and wait for it."""
        how = {"method": {"name": "copy-image"}, "stores": [store]}
        self.glance("POST", f"/images/{image}/import", how)
        self.wait(lambda: self.is_placed(image, store), f"image {image} in {store}")

    def is_placed(self, image: str, store: str) -> bool:
        """Tell whether a store has an image, and Glance is done with it."""
        told = self.image(image)
        held = told.get("os_glance_import_task")
        return store in told["stores"].split(",") and not held

    def delete_image(self, image: str) -> None:
        """Delete an image."""
        self.glance("DELETE", f"/images/{image}")
        self._images.remove(image)

    def forget(self, image: str) -> None:
        """Delete an image whose copy died with Glance, which has it locked."""
        words = (
            "DELETE FROM image_properties WHERE name LIKE 'os_glance_import%' "  # noqa: S608  # our own words
            f"AND image_id = '{image}'"
        )
        tool(*self.lab["database"]["client"], "glance", "-e", words)
        self.delete_image(image)

    @contextmanager
    def copies_open(self) -> Iterator[None]:
        """Have Glance let every user copy images, as an operator's policy would.

        It reads the file when it has changed, and keeps rules that are no longer in
        it: so the way back is its own default, written out.
        """
        file = Path(self.lab["glance"]["policy_file"])
        try:
            file.write_text('"copy_image": ""\n')
            yield
        finally:
            file.write_text('"copy_image": "rule:context_is_admin"\n')

    # What Glance was asked

    def log(self) -> list[str]:
        """Return Glance's access log, with all that was answered before this call."""
        sentinel = f"/images/{uuid4()}"
        netloc = urlsplit(self.lab["glance"]["url"]).netloc
        with closing(HTTPConnection(netloc, timeout=60)) as connection:
            connection.request("GET", f"/v2{sentinel}")
            connection.getresponse().read()
        path = Path(self.lab["glance"]["access_log"])
        self.wait(lambda: sentinel in path.read_text(), "the access log")
        return [line for line in path.read_text().splitlines() if sentinel not in line]

    def requests(self, image: str, line: str) -> int:
        """Return how many lines of Glance's log about an image match a pattern."""
        about = [each for each in self.log() if image in each]
        return sum(bool(re.match(line, each)) for each in about)

    def copies(self, image: str) -> int:
        """Return how many copies of an image Glance has accepted."""
        return self.requests(image, r"POST \S+/import 202 ")

    def asked(self, image: str) -> int:
        """Return how many copies of an image Glance was asked for, accepted or not."""
        return self.requests(image, r"POST \S+/import ")

    def looks(self, image: str) -> int:
        """Return how often anybody looked at an image."""
        return self.requests(image, r"GET \S+ 200 ")

    # Servers

    def create(
        self,
        image: str,
        site: str,
        *,
        count: int = 1,
        flavor: str = "lab.tiny",
        user: str = ADMIN,
        pinned: bool = True,
    ) -> list[str]:
        """Ask for servers at a site; return their ids.

        Args:
            image: Of which image.
            site: Where.
            count: How many.
            flavor: Of which flavor.
            user: Who asks.
            pinned: Whether Nova knows that they are to remain at this site.
        """
        name = f"bench-{uuid4().hex[:8]}"
        wish = {
            "name": name,
            "imageRef": image,
            "flavorRef": flavor,
            "networks": "none",
            **({"availability_zone": site} if pinned else {"host": site}),
            "min_count": count,
            "max_count": count,
        }
        asked = {"return_reservation_id": True, **wish} if count > 1 else wish
        told = self.compute("POST", "/servers", {"server": asked}, user=user)
        if count == 1:
            made = [str(told["server"]["id"])]
        else:
            query = f"/servers?reservation_id={told['reservation_id']}&all_tenants=1"
            made = [str(each["id"]) for each in self.compute("GET", query)["servers"]]
        self._servers += made
        return made

    def boot(self, image: str, site: str, **more: Any) -> str:
        """Make a server that must become active; return its id."""
        [server] = self.create(image, site, **more)
        self.active(server)
        return server

    def adopt(self, server: str) -> str:
        """Have a server that somebody made removed at the end; return its id."""
        self._servers.append(server)
        return server

    def server(self, server: str) -> dict[str, Any]:
        """Return what Nova says of a server, as its administrator sees it."""
        told: dict[str, Any] = self.compute("GET", f"/servers/{server}")["server"]
        return told

    def fault(self, server: str) -> str:
        """Return why a server failed, in Nova's words to its user."""
        told: dict[str, str] = self.server(server).get("fault", {})
        return told.get("message", "")

    def until(self, server: str, *states: str, within: Seconds = 120) -> dict[str, Any]:
        """Return a server once it is in one of these states and nothing is done to it.

        One that fails instead fails the test, with its fault.
        """
        seen: dict[str, Any] = {}

        def settled() -> bool:
            seen.update(self.server(server))
            state, busy = seen["status"], seen["OS-EXT-STS:task_state"]
            if state == "ERROR" and "ERROR" not in states and not busy:
                raise AssertionError(f"server {server} failed: {seen.get('fault')}")
            return state in states and not busy

        self.wait(settled, f"{server} {' or '.join(states)}", within, every=0.25)
        return seen

    def active(self, server: str) -> dict[str, Any]:
        """Return a server once it is active."""
        return self.until(server, "ACTIVE")

    def failed(self, server: str) -> str:
        """Return the fault of a server once it has failed."""
        self.until(server, "ERROR")
        return self.fault(server)

    def act(self, server: str, action: str, told: object = None) -> None:
        """Do something to a server, by Nova's name of the action."""
        self.compute("POST", f"/servers/{server}/action", {action: told})

    def refused(self, server: str, action: str) -> str:
        """Return why the newest action of a name failed, once it has.

        A server that is well shows no fault: this is `openstack server event show`.
        """
        ended: list[Mapping[str, Any]] = []

        def over() -> bool:
            ended[:] = self._newest(server, action)
            return bool(ended) and all(each["result"] for each in ended)

        self.wait(over, f"the end of {action}", within=120)
        failed = [each for each in ended if each["result"] == "Error"]
        assert failed, ended
        return " ".join(str(each["details"]) for each in failed)

    def _newest(self, server: str, action: str) -> list[Mapping[str, Any]]:
        path = f"/servers/{server}/os-instance-actions"
        made = self.compute("GET", path)["instanceActions"]
        newest = next(each for each in made if each["action"] == action)
        told = self.compute("GET", f"{path}/{newest['request_id']}")
        events: list[Mapping[str, Any]] = told["instanceAction"]["events"]
        return events

    def delete(self, *servers: str) -> None:
        """Delete servers and wait until they are gone."""
        for server in servers:
            with suppress(RefusedError):  # it is gone already
                self.compute("DELETE", f"/servers/{server}")
        for server in servers:
            self.wait(partial(self._is_gone, server), f"the end of {server}")
            self._servers = [each for each in self._servers if each != server]

    def _is_gone(self, server: str) -> bool:
        try:
            told = self.server(server)
        except RefusedError as error:
            return str(error).startswith(str(_GONE))
        assert told["status"] != "ERROR" or told["OS-EXT-STS:task_state"], told
        return False

    # Behind Nova's back

    def site_of(self, server: str) -> str:
        """Return the host of a server."""
        return str(self.server(server)["OS-EXT-SRV-ATTR:host"])

    def folder(self, server: str, site: str) -> Path:
        """Return where a host keeps a server's files."""
        return Path(self.lab["sites"][site]["instances_path"], server)

    def console(self, server: str, site: str) -> str:
        """Return what a server's guest has said on its serial console."""
        file = self.folder(server, site) / "console.log"
        return file.read_text(errors="replace") if file.exists() else ""

    def proves(self, server: str, site: str, times: int = 1) -> None:
        """Wait until a guest has booted, and has said what its bytes are."""
        guest = self.lab["guest_stay"]
        mark = f"{guest['marker']} {guest['uuid']}"
        data = f"GUEST-DATA-MD5 {guest['uuid']} {guest['data_md5']}"

        def said() -> bool:
            text = self.console(server, site)
            assert "FAILED" not in text, text
            return text.count(mark) >= times and text.count(data) >= times

        self.wait(said, f"the guest of {server}", within=120)

    def ticks(self, server: str, site: str) -> int:
        """Return how often a guest has written to its disk and read it back."""
        return self.console(server, site).count(" ok md5=")

    def lives(self, server: str, site: str) -> None:
        """Wait until a guest writes to its disk and reads it back once more."""
        seen = self.ticks(server, site)
        self.wait(lambda: self.ticks(server, site) > seen, f"a sign of {server}")

    def virsh(self, site: str, *words: str) -> str:
        """Run a virsh command at a site; return what it says."""
        uri = self.lab["sites"][site]["libvirt_uri"]
        return tool("virsh", "-q", "-c", uri, *words)

    def domain(self, server: str, site: str) -> str:
        """Return the state of a server's guest in libvirt's words."""
        return self.virsh(site, "domstate", server).strip()

    def parent(self, server: str, site: str, suffix: str = "disk") -> str:
        """Return which snapshot a server's disk is a clone of; empty for a flat one."""
        info = self.clusters[site].json("rbd", "info", f"{VMS}/{server}_{suffix}")
        it = info.get("parent")
        return f"{it['pool']}/{it['image']}@{it['snapshot']}" if it else ""

    def disks(self, server: str, site: str) -> list[str]:
        """Return the names of a server's RBD images at a site."""
        return [
            name for name in self.clusters[site].names(VMS) if name.startswith(server)
        ]

    def arrived(self, image: str, site: str = EDGE) -> int:
        """Return how many bytes of an image a site's cluster has."""
        extents: list[int] = []

        def note(_offset: int, length: int, exists: bool) -> None:  # noqa: FBT001
            extents.append(length if exists else 0)

        with (
            suppress(rbd.ImageNotFound),
            self.clusters[site].opened(IMAGES, image) as seen,
        ):
            seen.diff_iterate(0, seen.size(), None, note)
        return sum(extents)

    def listing(self) -> Listing:
        """Return what is in both clusters: images, their snapshots, the trash."""
        return {
            f"{site} {pool}": {**pools.names(ceph, pool), **pools.trash(ceph, pool)}
            for site, ceph in self.clusters.items()
            for pool in (IMAGES, VMS)
        }

    # Waiting, and cleaning up

    def wait(
        self,
        condition: Callable[[], bool],
        what: str,
        within: Seconds = 60,
        every: Seconds = 0.1,
    ) -> None:
        """Look at a condition until it is true; fails after `within` seconds."""
        end = self._clock.now() + within
        while not condition():
            assert self._clock.now() < end, f"{what} did not come within {within:g} s"
            self._clock.sleep(every)

    def now(self) -> Seconds:
        """Return a time to compare others with."""
        return self._clock.now()

    def clear(self) -> None:
        """Remove the servers and images that were made."""
        self.delete(*self._servers)
        for image in [*self._images]:
            with suppress(RefusedError):
                self.delete_image(image)
        self._images.clear()


def _log_in(clouds: str, name: str) -> Session:
    known = OpenStackConfig(config_files=[clouds], load_envvars=False)
    with catch_warnings():
        # It warns of InfluxDB, which nobody asked it for.
        simplefilter("ignore")
        return known.get_one(cloud=name).get_session()


def _told(reply: Any) -> Any:
    if reply.status_code >= _REFUSED:
        asked = reply.request
        raise RefusedError(
            f"{reply.status_code} {asked.method} {asked.path_url}: {reply.text}"
        )
    kind = reply.headers.get("Content-Type", "")
    return reply.json() if reply.text and "json" in kind else None
