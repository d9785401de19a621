"""The lab as a test uses it: images to make, commands to run, counts to compare."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from cowpath import open_site
from cowpath.clock import SystemClock
from cowpath.core.errors import CowpathError
from lab.processes import Process, find, send
from tests.lab.services import service

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

    @property
    def events(self) -> list[dict[str, Any]]:
        """Return what was told with `--progress json`, line by line."""
        return [json.loads(line) for line in self.err.splitlines()]

    def told(self, event: str) -> list[dict[str, Any]]:
        """Return those of one kind."""
        return [each for each in self.events if each["event"] == event]


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

    def patch(self, image: str, changes: list[dict[str, Any]]) -> None:
        """Change an image by JSON patch."""
        kind = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
        self.ask("PATCH", f"/v2/images/{image}", json.dumps(changes).encode(), **kind)

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

    def hold_glance(self) -> None:
        """Let Glance do nothing, from this very moment on, until `glance_held` ends."""
        send(self._glance(), signal.SIGSTOP)

    @contextmanager
    def glance_held(self, until: Callable[[], bool], what: str) -> Iterator[None]:
        """Hold Glance at the moment when something has come about."""
        try:
            self.wait(until, what, every=0.005)
            self.hold_glance()
            assert until(), f"{what} was over before Glance could be held"
            yield
        finally:
            send(self._glance(), signal.SIGCONT)

    def terminate_glance(self) -> None:
        """Have Glance end: what it is at first, and take no further requests."""
        send(self._glance(), signal.SIGTERM)

    def kill_glance(self) -> None:
        """Kill Glance where it is, held or not, and start it again."""
        send(self._glance(), signal.SIGKILL)
        # Until it has died it has its port, and the next one would take another.
        self.wait(lambda: not self._glance(), "Glance's death")
        self.service("glance", "start")

    def _glance(self) -> list[Process]:
        return find("gunicorn", Path(self.lab["glance"]["access_log"]).parent)

    def staged(self, image: str) -> Path:
        """Return where Glance stages an image that it copies."""
        return Path(self.lab["glance"]["access_log"]).parent / "staging" / image

    def tasks(self, image: str) -> list[tuple[str, str]]:
        """Return the id and state of each of an image's tasks, oldest first."""
        with closing(self._database()) as database:
            rows = database.execute(
                "SELECT id, status FROM tasks WHERE image_id = ? ORDER BY created_at",
                (image,),
            )
            return [(str(task), str(state)) for task, state in rows]

    def age(self, image: str, minutes: int = 61) -> None:
        """Have an image, and what holds its lock, look untouched for so long."""
        back = f"-{minutes} minutes"
        task = self.show(image)["os_glance_import_task"]
        with closing(self._database()) as database, database:
            for table, row in (("tasks", task), ("images", image)):
                database.execute(
                    f"UPDATE {table} SET updated_at = datetime(updated_at, ?) "  # noqa: S608  # our own words
                    "WHERE id = ?",
                    (back, row),
                )

    def _database(self) -> sqlite3.Connection:
        return sqlite3.connect(self.lab["glance"]["database"], timeout=30)

    # Commands

    def conf(self, folder: Path, *, site: str = EDGE, **more: str | int) -> str:
        """Write a site's configuration with some values of its own; return its path.

        Args:
            folder: Where to write it.
            site: Whose.
            more: By the name of the option; all that begin with `images_rbd` are in
                `[libvirt]`, the others in `[cowpath]`.
        """
        own = Path(self.lab["sites"][site]).read_text().rstrip().splitlines()
        # [cowpath] is the last section of a site's configuration.
        lines = [line for line in own if line.split(" ")[0] not in more]
        ours = [key for key in more if not key.startswith("images_rbd")]
        lines += [f"{key} = {more[key]}" for key in ours]
        lines += ["[libvirt]"]
        lines += [f"{key} = {more[key]}" for key in more if key not in ours]
        file = folder / f"{site}-{uuid4().hex[:8]}.conf"
        file.write_text("\n".join([*lines, ""]))
        return str(file)

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
        self, *words: str, conf: str = "", site: str = EDGE, **more: str
    ) -> "subprocess.Popen[str]":
        """Start a cowpath command."""
        return subprocess.Popen(
            self.argv(*words, conf=conf, site=site),
            env=self.environment(**more),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def service(self, *words: str) -> None:
        """Do something to a service of the lab."""
        service(self.lab["kind"], *words)

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
        self,
        condition: Callable[[], bool],
        what: str,
        within: float = 60,
        every: float = 0.05,
    ) -> None:
        """Look at a condition until it is true; fails after `within` seconds."""
        end = self._clock.now() + within
        while not condition():
            assert self._clock.now() < end, f"{what} did not come within {within:g} s"
            self._clock.sleep(every)

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
                self._delete_disk(site, name)
        self._disks.clear()
        for image in [*self._images]:
            with suppress(AssertionError):
                self.delete(image)
            self._forget_files(image)
        self._images.clear()

    def _forget_files(self, image: str) -> None:
        """Remove what broken copies of an image left, which Glance does not know."""
        for site in self.lab["sites"]:
            kept = (self.disks(site) / "leftovers").glob(f"{image}.*")
            for file in (self.glance_file(image, site), *kept):
                file.unlink(missing_ok=True)

    def _delete_disk(self, site: str, name: str) -> None:
        # Here: a process for each of many disks takes its time.
        conf = self.lab["sites"][site]
        with open_site([conf]) as owner, suppress(CowpathError):
            owner.delete_disk(name)


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


def size_of(path: Path) -> int:
    """Return the size of a file; 0 where there is none."""
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def finished(process: "subprocess.Popen[str]") -> Ran:
    """Return what a command that was started left, once it is over.

    Of what it said on stderr, what nobody has read yet.
    """
    # `communicate` would lose what Python has read ahead of a line.
    assert process.stdout
    assert process.stderr
    err, out = process.stderr.read(), process.stdout.read()
    return Ran(process.wait(60), out, err)


def noise(mib: int) -> list[bytes]:
    """Return that many MiB that no filesystem can make smaller."""
    return [os.urandom(_MIB) for _ in range(mib)]
