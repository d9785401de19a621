"""The lab as a test uses it: images to make, commands to run, counts to compare."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from cowpath.clock import SystemClock

_CHECKOUT = Path(__file__).parents[2]
_ADMIN = "admin:admin-project:admin"
_MIB = 2**20
EDGE = "edge1"


@dataclass(frozen=True, slots=True)
class Ran:
    """What one command left."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Return the one JSON document on stdout."""
        return json.loads(self.out)


class Bench:
    """Makes images and disks in the lab, and removes all of them at the end.

    Attributes:
        lab: What lab.json says.
    """

    def __init__(self, lab: dict[str, Any]) -> None:
        self.lab = lab
        self._clock = SystemClock()
        self._images: list[str] = []
        self._imported: set[str] = set()
        self._disks: list[tuple[str, str]] = []

    # Glance

    def ask(self, method: str, path: str, body: object = None, **more: str) -> Any:
        """Ask Glance as its administrator; return its JSON."""
        raw = isinstance(body, (bytes, list))
        kind = "octet-stream" if raw else "json"
        headers = {"X-Auth-Token": _ADMIN, "Content-Type": f"application/{kind}"}
        sent: Any = body if raw else json.dumps(body) if body else None
        netloc = urlsplit(self.lab["glance"]["url"]).netloc
        with closing(HTTPConnection(netloc, timeout=60)) as connection:
            connection.request(
                method,
                path,
                sent,
                headers | more,
                encode_chunked=isinstance(body, list),
            )
            reply = connection.getresponse()
            text = reply.read()
        assert reply.status < 300, (method, path, reply.status, text)
        return json.loads(text) if text else None

    def announce(self, name: str = "", **facts: object) -> str:
        """Publish an image without data; return its id."""
        told = {
            "name": name or f"bench-{uuid4().hex[:8]}",
            "disk_format": "raw",
            "container_format": "bare",
        }
        made = str(self.ask("POST", "/v2/images", told | facts)["id"])
        self._images.append(made)
        return made

    def upload(
        self, content: bytes | list[bytes], *, store: str = "central", **facts: object
    ) -> str:
        """Publish an image as it is, in one store; return its id."""
        image = self.announce(**facts)  # type: ignore[arg-type]  # Glance's own facts
        headers = {"X-Image-Meta-Store": store}
        self.ask("PUT", f"/v2/images/{image}/file", content, **headers)
        return image

    def convert(self, file: Path) -> str:
        """Publish a qcow2 file by import, which makes it raw; return its id."""
        image = self.announce(disk_format="qcow2")
        self.ask("PUT", f"/v2/images/{image}/stage", file.read_bytes())
        how = {"method": {"name": "glance-direct"}, "stores": ["central"]}
        self.ask("POST", f"/v2/images/{image}/import", how)
        self._imported.add(image)
        self.wait(lambda: self.show(image)["status"] == "active", "the import")
        return image

    def show(self, image: str) -> dict[str, Any]:
        """Return what Glance says of an image."""
        told: dict[str, Any] = self.ask("GET", f"/v2/images/{image}")
        return told

    def stores(self, image: str) -> set[str]:
        """Return the stores that have an image."""
        return {*self.show(image)["stores"].split(",")}

    def delete(self, image: str) -> None:
        """Delete an image."""
        self.ask("DELETE", f"/v2/images/{image}")
        self._images.remove(image)

    def log(self) -> list[str]:
        """Return Glance's access log, with all that was answered before this call."""
        sentinel = f"/v2/images/{uuid4()}"
        with suppress(AssertionError):  # there is none of course
            self.ask("GET", sentinel)
        path = Path(self.lab["glance"]["access_log"])
        mark = sentinel.removeprefix("/v2")
        self.wait(lambda: mark in path.read_text(), "the access log")
        lines = path.read_text().splitlines()
        return [line for line in lines if mark not in line]

    def copies(self, image: str) -> int:
        """Return how many copies of an image Glance has accepted."""
        line = rf"POST \S*{image}/import 202 "
        accepted = sum(bool(re.match(line, each)) for each in self.log())
        return accepted - (image in self._imported)

    def copy_requests(self) -> int:
        """Return how many imports Glance was asked for, accepted or not."""
        return sum(bool(re.match(r"POST \S+/import ", each)) for each in self.log())

    # Commands

    def argv(
        self, *words: str | bytes, conf: str = "", site: str = EDGE
    ) -> list[str | bytes]:
        """Return the words of a cowpath command at a site."""
        file = conf or self.lab["sites"][site]
        return [sys.executable, "-m", "cowpath", "--config-file", file, *words]

    def environment(self, cloud: str = "lab-admin", **more: str) -> dict[str, str]:
        """Return the environment of such a command."""
        given = {"OS_CLIENT_CONFIG_FILE": self.lab["clouds_yaml"], "OS_CLOUD": cloud}
        ours = ("OS_", "COWPATH_")
        rest = {
            key: text for key, text in os.environ.items() if not key.startswith(ours)
        }
        return rest | given | more

    def run(
        self,
        *words: str | bytes,
        conf: str = "",
        site: str = EDGE,
        cloud: str = "lab-admin",
        **more: str,
    ) -> Ran:
        """Run a cowpath command to its end."""
        done = subprocess.run(
            self.argv(*words, conf=conf, site=site),
            env=self.environment(cloud, **more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
            check=False,
        )
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())

    def start(
        self, *words: str, site: str = EDGE, **more: str
    ) -> "subprocess.Popen[str]":
        """Start a cowpath command."""
        return subprocess.Popen(
            self.argv(*words, site=site),
            env=self.environment(**more),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def service(self, *words: str) -> None:
        """Do something to a service of the lab."""
        command = [sys.executable, "-m", "lab", "service", *words]
        subprocess.run(command, cwd=_CHECKOUT, check=True, timeout=120)

    def virsh(self, *words: str) -> str:
        """Run a virsh command; return what it says."""
        return tool("virsh", "-q", "-c", self.lab["libvirt_uri"], *words)

    # Disks

    def name(self, site: str = EDGE) -> str:
        """Return a name for a new disk, which is deleted at the end."""
        made = f"bench-{uuid4().hex[:8]}"
        self._disks.append((site, made))
        return made

    def disks(self, site: str = EDGE) -> Path:
        """Return a site's folder of disks."""
        return Path(self.lab["disks"][site])

    def glance_file(self, image: str, site: str = EDGE) -> Path:
        """Return where Glance has an image in a site's store."""
        return Path(self.lab["stores"][site], image)

    def base(self, image: str, site: str = EDGE) -> Path:
        """Return where an image's base is at a site."""
        return self.disks(site) / "bases" / image

    # All of it

    def state(self) -> dict[str, object]:
        """Return what is where: Glance's images and every site's files."""
        listed = self.ask("GET", "/v2/images?limit=500")["images"]
        images = {each["id"]: (each["status"], each.get("stores")) for each in listed}
        folders = [*self.lab["disks"].values(), *self.lab["stores"].values()]
        found = (path for folder in folders for path in Path(folder).rglob("*"))
        files = {str(path): path.lstat().st_size for path in found if path.is_file()}
        return {"images": images, "files": files}

    def wait(
        self, condition: Callable[[], bool], what: str, within: float = 60
    ) -> None:
        """Look at a condition until it is true; fails after `within` seconds."""
        end = self._clock.now() + within
        while not condition():
            assert self._clock.now() < end, f"{what} did not come within {within:g} s"
            self._clock.sleep(0.05)

    def clear(self) -> None:
        """Remove guests, disks and images that were made."""
        guests = self.virsh("list", "--all", "--name").split()
        for site, name in self._disks:
            if name in guests:
                with suppress(AssertionError):  # it may be off, or gone when off
                    self.virsh("destroy", name)
                with suppress(AssertionError):
                    self.virsh("undefine", name)
            if (self.disks(site) / f"{name}.qcow2").exists():
                self.run("disk", "delete", name, site=site)
        self._disks.clear()
        for image in [*self._images]:
            with suppress(AssertionError):
                self.delete(image)
        self._images.clear()


def tool(*words: str | Path) -> str:
    """Run a program of the system that must succeed; return its stdout."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout


def follow(lines: Iterable[str], text: str) -> None:
    """Read lines until one holds `text`."""
    seen = []
    for line in lines:
        seen.append(line)
        if text in line:
            return
    raise AssertionError(f"never said {text!r}: {seen}")


def noise(mib: int) -> list[bytes]:
    """Return that many MiB that no filesystem can make smaller."""
    return [os.urandom(_MIB) for _ in range(mib)]
