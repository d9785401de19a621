"""The lab of kind ceph as a test uses it, with real sites and Glance."""

import json
import shlex
import subprocess
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.lab.bench import Bench, Ran
from tests.lab.ceph.cluster import Ceph, service

EDGE = "edge"
_PATCH = "application/openstack-images-v2.1-json-patch"
VMS = "vms"
IMAGES = "images"


@dataclass(frozen=True, slots=True)
class Begun:
    """A command that runs, and what it has told so far.

    Attributes:
        lines: The file of its JSON lines.
    """

    process: "subprocess.Popen[str]"
    lines: Path

    @property
    def events(self) -> list[dict[str, Any]]:
        """Its events so far."""
        return parse(self.lines.read_text())

    def tell_of(self, **facts: object) -> list[dict[str, Any]]:
        """Return its events with these facts."""
        return [each for each in self.events if facts.items() <= each.items()]

    def end(self) -> Ran:
        """Wait for its end; return what it left."""
        try:
            out, _ = self.process.communicate(timeout=120)
        finally:
            self.process.kill()
        return Ran(self.process.returncode, out, self.lines.read_text())


def parse(text: str) -> list[dict[str, Any]]:
    """Return the JSON lines of a text, but for a last one that is not whole."""
    whole = text[: text.rfind("\n") + 1]
    return [json.loads(line) for line in whole.splitlines()]


def commands(said: str) -> list[list[str]]:
    """Return the commands that a message has in backticks."""
    return [shlex.split(each) for each in said.split("`")[1::2]]


def kinds(ran: Ran) -> list[str]:
    """Return the names of what was told, in order, without progress.

    Looks in vain are left out too: a busy machine may bring one at any time.
    """
    names = [str(each["event"]) for each in ran.events]
    return [name for name in names if name not in {"CopyProgress", "LookFailed"}]


def phases(ran: Ran) -> list[str]:
    """Return the phases that a copy was told to be in, each once, in order."""
    return [*dict.fromkeys(str(each["phase"]) for each in ran.told("CopyProgress"))]


def why(ran: Ran) -> str:
    """Return the message that a copy failed with."""
    [failed] = ran.told("CopyFailed")
    return str(failed["error"]["message"])


class CephBench(Bench):
    """Makes images and disks in the lab, and removes all of them at the end.

    Attributes:
        clusters: By site.
    """

    def __init__(self, lab: dict[str, Any], clusters: dict[str, Ceph]) -> None:
        super().__init__(lab)
        self.clusters = clusters

    def run(  # type: ignore[override]  # words are text here
        self, *words: str, conf: str = "", site: str = EDGE, cloud: str = "lab-admin"
    ) -> Ran:
        """Run a cowpath command to its end."""
        return super().run(*words, conf=conf, site=site, cloud=cloud)

    def conf(self, folder: Path, site: str = EDGE, **more: str | int) -> str:
        """Write a site's configuration with some values of its own; return its path."""
        return super().conf(folder, site=site, **more)

    def begin(
        self, folder: Path, *words: str, site: str = EDGE, conf: str = ""
    ) -> Begun:
        """Start a cowpath command that tells its events as JSON lines.

        Args:
            folder: Where these go.
            *words: The command.
            site: Where.
            conf: The configuration file; empty: the site's.
        """
        file = folder / f"{uuid4().hex[:8]}.jsonl"
        with file.open("w") as lines:
            process = subprocess.Popen(
                self.argv("--progress", "json", *words, conf=conf, site=site),
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=lines,
                text=True,
            )
        return Begun(process, file)

    def tell(self, *words: str, site: str = EDGE, conf: str = "") -> Ran:
        """Run a cowpath command that tells its events as JSON lines to its end."""
        return self.run("--progress", "json", *words, site=site, conf=conf)

    def until(self, begun: Begun, **facts: object) -> None:
        """Return once a command has told an event with these facts."""

        def told() -> bool:
            found = begun.tell_of(**facts)
            ended = begun.process.poll() is not None
            assert found or not ended or begun.tell_of(**facts), begun.events
            return bool(found)

        self.wait(told, f"an event with {facts}")

    def asked(self, image: str) -> int:
        """Return how many imports of an image Glance was asked for, accepted or not."""
        line = f"POST /images/{image}/import "
        return sum(each.startswith(line) for each in self.log())

    def kill_glance(self) -> None:
        """Kill Glance where it is, and start it again at the same address."""
        service("glance", "kill")
        # Until it has died it has its port.
        self.wait(lambda: not self._glance(), "Glance's death")
        service("glance", "start")

    def cowpath(self, *words: str, site: str = EDGE, conf: str = "") -> Ran:
        """Run a cowpath command that must succeed."""
        ran = self.run(*words, site=site, conf=conf)
        assert ran.code == 0, ran
        return ran

    def patch(self, image: str, changes: list[dict[str, Any]]) -> None:
        """Change an image by JSON patch."""
        headers = {"Content-Type": _PATCH}
        # Encoded here: a list would be sent as it is.
        self.ask(
            "PATCH", f"/v2/images/{image}", json.dumps(changes).encode(), **headers
        )

    def forge(self, image: str, url: str) -> None:
        """Have Glance show a location in store `edge` that it would not take itself."""
        told = (image, url, json.dumps({"store": EDGE}))
        self._execute(
            "INSERT INTO image_locations (image_id, value, meta_data, status, deleted, "
            "created_at) VALUES (?, ?, ?, 'active', 0, datetime('now'))",
            told,
        )

    def forget_location(self, image: str, url: str) -> None:
        """Remove a location behind Glance's back.

        Glance itself would take along the data that it names, whosever they are.
        """
        words = "DELETE FROM image_locations WHERE image_id = ? AND value = ?"
        self._execute(words, (image, url))

    def _execute(self, words: str, told: tuple[str, ...]) -> None:
        with closing(self._database()) as database, database:
            database.execute(words, told)

    def name(self, site: str = EDGE) -> str:
        """Return a name for a new disk, which is removed at the end."""
        made = f"bench-{uuid4().hex[:8]}"
        self._disks.append((site, made))
        return made

    def info(self, name: str, site: str = EDGE, pool: str = VMS) -> dict[str, Any]:
        """Return what `rbd info` says."""
        told: dict[str, Any] = self.clusters[site].json("rbd", "info", f"{pool}/{name}")
        return told

    def clear(self) -> None:
        """Remove guests, disks and images that were made."""
        guests = self.virsh("list", "--all", "--name").split()
        for site, name in self._disks:
            if name in guests:
                with suppress(AssertionError):  # it may be off, or gone when off
                    self.virsh("destroy", name)
                with suppress(AssertionError):
                    self.virsh("undefine", name)
            self.clusters[site].drop(VMS, name)
        self._disks.clear()
        for image in [*self._images]:
            with suppress(AssertionError):
                self.delete(image)
        self._images.clear()
